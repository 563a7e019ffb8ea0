"""The comparison: which cells there are, what each is made of, and when a cell has no test."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from qbias.comparison import (
    OTHER,
    TABLES,
    Cell,
    Churn,
    Comparison,
    absent_pairs,
    compare,
    table_metrics,
    unmeasured,
)
from qbias.records import Evaluation, Insufficient
from qbias.significance import PairedTest
from tests.synthetic import K, changed, synthetic_evaluations, with_outcomes, without_metric

GAP = "facet/skin_ld/max_disparity_at_1"


def cell_of(comparison: Comparison, quantizer: str, metric: str) -> Cell:
    (found,) = [cell for cell in comparison.cells if (cell.quantizer, cell.metric) == (quantizer, metric)]
    return found


def insufficient(comparison: Comparison, quantizer: str, metric: str) -> Insufficient:
    found = cell_of(comparison, quantizer, metric).result
    assert isinstance(found, Insufficient)
    return found


def at(evaluations: list[Evaluation], model: str, quantizer: str) -> int:
    return next(row for row, found in enumerate(evaluations) if (found.model, found.quantizer) == (model, quantizer))


def test_the_papers_study_has_its_66_cells() -> None:
    comparison = compare(synthetic_evaluations(8, 4))
    assert len([cell for cell in comparison.cells if cell.family == TABLES]) == 66
    assert len({(cell.quantizer, cell.metric) for cell in comparison.cells}) == len(comparison.cells)


def test_our_five_settings_have_four_columns() -> None:
    comparison = compare(synthetic_evaluations())
    assert comparison.quantizers == ("bnb-int8", "bnb-nf4", "torch-int8", "ort-int8")
    assert len(comparison.pairings) == 32
    assert len([cell for cell in comparison.cells if cell.family == TABLES]) == 88
    assert comparison.refusals == ()
    assert all(isinstance(cell.result, PairedTest) and cell.result.n == 8 for cell in comparison.cells)


def test_each_cell_is_the_paired_test_of_its_metric() -> None:
    evaluations = synthetic_evaluations(6, 3)
    found = cell_of(compare(evaluations), "bnb-nf4", GAP).result
    sides = [[row.metrics[GAP] for row in evaluations if row.quantizer == name] for name in ("bnb-nf4", "fp32")]
    assert isinstance(found, PairedTest)
    assert found.p == pytest.approx(stats.ttest_rel(*sides).pvalue)
    assert found.mean_difference == pytest.approx(np.mean(sides[0]) - np.mean(sides[1]))
    assert list(found.differences) == [row.model for row in evaluations if row.quantizer == "fp32"]


def test_precisions_come_as_asked_then_as_they_appear() -> None:
    comparison = compare(synthetic_evaluations(3), order=("ort-int8", "unknown", "bnb-nf4"))
    assert comparison.quantizers == ("ort-int8", "bnb-nf4", "bnb-int8", "torch-int8")


def test_a_refused_first_pair_does_not_change_the_order() -> None:
    evaluations = changed(synthetic_evaluations(4), 1, machine={"threads": "9"})
    assert compare(evaluations).quantizers[0] == "bnb-int8"


def test_a_metric_missing_on_one_side_leaves_no_test_and_says_for_whom() -> None:
    evaluations = synthetic_evaluations(5, 3)
    row = at(evaluations, "toy-m8-balanced", "bnb-int8")
    evaluations[row] = without_metric(evaluations[row], GAP)
    comparison = compare(evaluations)
    found = insufficient(comparison, "bnb-int8", GAP)
    assert found.reason == "measured on one side only for toy-m8-balanced"
    assert found.counts == {"pairs": 5, "pairs with both values": 4}
    assert isinstance(cell_of(comparison, "bnb-nf4", GAP).result, PairedTest)


def test_a_metric_missing_on_both_sides_takes_that_model_out() -> None:
    evaluations = [without_metric(row, GAP) if row.model == "toy-s8-balanced" else row for row in synthetic_evaluations(5, 2)]
    found = cell_of(compare(evaluations), "bnb-int8", GAP).result
    assert isinstance(found, PairedTest)
    assert found.n == 4
    assert "toy-s8-balanced" not in found.differences


def test_a_declared_metric_that_nobody_measured_stays_declared() -> None:
    evaluations = [without_metric(row, GAP) for row in synthetic_evaluations(4, 2)]
    comparison = compare(evaluations)
    assert insufficient(comparison, "bnb-int8", GAP).counts == {"pairs": 4, "pairs with both values": 0}
    assert len([cell for cell in comparison.cells if cell.family == TABLES]) == 22


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_value_that_is_not_finite_counts_as_missing(value: float) -> None:
    evaluations = synthetic_evaluations(4, 2)
    evaluations[1] = replace(evaluations[1], metrics={**evaluations[1].metrics, GAP: value})
    comparison = compare(evaluations)
    assert "one side only" in insufficient(comparison, "bnb-int8", GAP).reason
    json.dumps([change.candidate for change in comparison.changes], allow_nan=False)


@pytest.mark.parametrize("models", [1, 2])
def test_fewer_than_three_models_have_changes_but_no_test(models: int) -> None:
    comparison = compare(synthetic_evaluations(models, 3))
    assert len(unmeasured(comparison)) == len(comparison.cells)
    assert insufficient(comparison, "bnb-int8", GAP).reason == "a t-test across models needs at least three models"
    assert {change.model for change in comparison.changes} == set(comparison.models)


def test_models_measured_on_other_data_are_not_averaged() -> None:
    model = "toy-s8-balanced"
    evaluations = [
        with_outcomes(row, "facet", dataset_digest="another") if row.model == model else row for row in synthetic_evaluations(4, 2)
    ]
    comparison = compare(evaluations)
    assert comparison.refusals == ()
    assert insufficient(comparison, "bnb-int8", GAP).counts["different settings"] == 2
    assert isinstance(cell_of(comparison, "bnb-int8", "imagenet/accuracy_at_1").result, PairedTest)


def test_changes_hold_every_metric_of_every_pair() -> None:
    evaluations = synthetic_evaluations(2, 3)
    comparison = compare(evaluations)
    assert len(comparison.changes) == 4 * len(evaluations[0].metrics)
    for change in comparison.changes:
        before = evaluations[at(evaluations, change.model, "fp32")].metrics[change.metric]
        after = evaluations[at(evaluations, change.model, change.quantizer)].metrics[change.metric]
        assert (change.baseline, change.candidate, change.difference) == (before, after, after - before)


def test_metrics_that_belong_to_no_benchmark_are_left_out() -> None:
    evaluations = [replace(row, metrics={**row.metrics, "seconds": 3.0, "system/cpu": 0.5}) for row in synthetic_evaluations(3, 2)]
    assert {"seconds", "system/cpu"}.isdisjoint(compare(evaluations).metrics)


def test_churn_is_the_share_of_images_with_another_first_prediction() -> None:
    evaluations = synthetic_evaluations(1, 2)
    frame = evaluations[0].outcomes["imagenet"].frames["images"]
    top = frame["top_1"].to_numpy().copy()
    top[[3, 17]] += 1
    evaluations[1] = with_outcomes(evaluations[0], "imagenet", frames={"images": frame.assign(top_1=top)})
    evaluations[1] = replace(evaluations[1], version="2", quantizer="bnb-int8", run_id="b")
    churn = {row.benchmark: row for row in compare(evaluations).churn}
    assert churn["imagenet"] == Churn(evaluations[0].model, "bnb-int8", "imagenet", 2, 40)
    assert churn["imagenet"].share == 0.05
    assert churn["facet"].changed == 0
    assert set(churn) == {"imagenet", "facet"}


def test_only_the_newest_version_of_a_model_and_precision_counts() -> None:
    evaluations = synthetic_evaluations(3, 2)
    newer = replace(evaluations[1], version="10", run_id="newer")
    for order in ([*evaluations, newer], [newer, *evaluations]):
        comparison = compare(order)
        assert {row.candidate.version for row in comparison.pairings if row.candidate.model == newer.model} == {"10"}
        (refusal,) = comparison.refusals
        assert (refusal.model, refusal.version) == (newer.model, "2")
        assert refusal.differences[0][1:] == ("version 10 is used", "version 2")


def test_the_tables_follow_what_was_measured() -> None:
    evaluations = [
        replace(row, outcomes={name: value for name, value in row.outcomes.items() if name != "facet"})
        for row in synthetic_evaluations(3, 2)
    ]
    comparison = compare(evaluations)
    names = table_metrics(comparison.pairings)
    assert names == [f"fairface/{slice_}/{side}_skew_at_{K}" for slice_ in ("gender", "race", "age") for side in ("min", "max")]
    assert not any(name.startswith("facet/") for name in comparison.metrics)
    assert {cell.family for cell in comparison.cells} == {TABLES, OTHER}


def test_pairs_that_might_be_expected_are_named() -> None:
    evaluations = synthetic_evaluations(3, 3)
    evaluations = [row for row in evaluations if (row.model, row.quantizer) != ("toy-s8-balanced", "bnb-nf4")]
    assert absent_pairs(compare(evaluations)) == [("toy-s8-balanced", "bnb-nf4")]


def test_nothing_and_only_baselines_give_an_empty_comparison() -> None:
    assert compare([]).cells == ()
    comparison = compare(synthetic_evaluations(3, 1))
    assert (comparison.pairings, comparison.quantizers, len(comparison.baselines)) == ((), (), 3)


def test_a_declared_precision_without_a_pair_keeps_its_cells() -> None:
    rows = [row for row in synthetic_evaluations(3, quantizers=3) if row.quantizer != "bnb-nf4"]
    less, declared = compare(rows), compare(rows, declared=("bnb-int8", "bnb-nf4"))
    assert len(declared.cells) == 2 * len(less.cells)
    empty = [cell for cell in declared.cells if cell.quantizer == "bnb-nf4"]
    assert len(empty) == len(less.cells)
    assert all(isinstance(cell.result, Insufficient) for cell in empty)
    assert ("toy-s16-balanced", "bnb-nf4") in absent_pairs(declared)
