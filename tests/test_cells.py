"""Every cell of a comparison: families, corrections, verdicts, what stands beside the test."""

from dataclasses import replace

import numpy as np
import pytest

from qbias.cells import cells_of
from qbias.comparison import compare
from qbias.records import Insufficient
from qbias.significance import AnalysisPlan, Endpoint, Margin, PairedTest
from qbias.significance.records import NoiseArm
from tests.synthetic import synthetic_evaluations, without_metric

ACCURACY, GAP = "imagenet/accuracy_at_1", "facet/gender_mf/macro_gap_at_1"
LARGEST = "fairface/largest_mean_skew_change"
PLAN = AnalysisPlan(
    endpoints=(Endpoint(ACCURACY, 0.01, "quality"), Endpoint(GAP, 0.02, "gap"), Endpoint(LARGEST, 0.05, "search")),
    margins=(Margin("*recall*", 0.01, "share"),),
)


def evaluations(changes=None, models=8):
    """Two precisions; `changes` maps a metric to the change of each model, in place of the drawn value, in every precision."""
    found = synthetic_evaluations(models, quantizers=3)
    names = list(dict.fromkeys(row.model for row in found))
    for metric, change in (changes or {}).items():
        base = {row.model: row.metrics.get(metric, 0.2) for row in found if row.quantizer == "fp32"}
        found = [
            replace(row, metrics=row.metrics | {metric: base[row.model] + (row.quantizer != "fp32") * change[names.index(row.model)]})
            for row in found
        ]
    return found


def cells(found, plan=PLAN, **parts):
    return {(row.quantizer, row.metric): row for row in cells_of(compare(found), plan, **parts)}


def spread(mean, size=0.004):
    return mean + size * np.linspace(-1, 1, 8)


def test_every_declared_cell_is_there_once_with_its_familys_size():
    found = cells_of(compare(evaluations()), PLAN)
    primary = [row for row in found if row.role == "primary"]
    assert [(row.metric, row.quantizer) for row in primary] == [
        (metric, quantizer) for metric in (ACCURACY, GAP, LARGEST) for quantizer in ("bnb-int8", "bnb-nf4")
    ]
    assert len({(row.quantizer, row.metric) for row in found}) == len(found)
    assert {row.corrected.size for row in primary if row.corrected} == {6}
    assert {row.corrected.size for row in found if row.role == "secondary" and row.corrected} == {len(found) - 6}


def test_an_endpoint_that_no_model_measured_is_insufficient_and_still_counts():
    found = cells([without_metric(row, GAP) for row in evaluations()])
    assert found["bnb-int8", GAP].verdict.name == "insufficient"
    assert found["bnb-int8", ACCURACY].corrected.size == 6


@pytest.mark.parametrize(
    ("metric", "change", "name", "shifted"),
    [
        (ACCURACY, spread(-0.03), "worse", False),
        (ACCURACY, spread(0.03), "better", False),
        (ACCURACY, spread(0.0), "equivalent", False),
        (ACCURACY, spread(-0.004, 0.002), "equivalent", True),
        (ACCURACY, spread(0.0, 0.2), "inconclusive", False),
        (GAP, spread(0.05), "changed", False),
    ],
)
def test_verdicts(metric, change, name, shifted):
    found = cells(evaluations({metric: change}))["bnb-int8", metric]
    assert (found.verdict.name, found.verdict.shifted) == (name, shifted)
    assert found.companions.n == found.companions.up + found.companions.down + found.companions.unchanged == 8


def test_two_models_are_insufficient_everywhere():
    found = cells(evaluations(models=2))
    assert {row.verdict.name for row in found.values()} == {"insufficient"}
    assert all(isinstance(row.test, Insufficient) and row.companions is None for row in found.values())


def test_the_composite_speaks_for_the_group_that_changed_most_and_pays_for_choosing_it():
    young, old = "fairface/age/0-2/mean_skew_at_20", "fairface/age/50-59/mean_skew_at_20"
    found = cells(evaluations({young: spread(0.01), old: spread(-0.08)}))
    cell, member = found["bnb-int8", LARGEST], found["bnb-int8", old]
    assert cell.member == old
    assert isinstance(cell.test, PairedTest)
    assert isinstance(member.test, PairedTest)
    assert cell.test.p == pytest.approx(2 * member.test.p)
    assert cell.test.ci_low < member.test.ci_low
    assert cell.verdict.name == "changed"
    assert not cell.equivalence.equivalent


def test_the_floor_is_the_largest_change_of_any_arm_and_of_any_group():
    young, old = "fairface/age/0-2/mean_skew_at_20", "fairface/age/50-59/mean_skew_at_20"
    arms = [
        NoiseArm("other batches", ("a",), {ACCURACY: 0.001, young: 0.02}, 0.0),
        NoiseArm("bf16", ("a",), {ACCURACY: 0.003, old: 0.01}, 0.0),
    ]
    found = cells(evaluations({young: spread(0.01), old: spread(-0.08)}), noise=arms)
    assert found["bnb-int8", ACCURACY].noise == 0.003
    assert found["bnb-int8", LARGEST].noise == 0.02
    assert found["bnb-int8", GAP].noise is None


def test_sources_and_sizes_are_left_out_in_turn():
    found = cells(evaluations({ACCURACY: spread(-0.03)}))["bnb-nf4", ACCURACY]
    models = {row.model: (row.source, row.size) for row in evaluations()}
    for place, label in enumerate(("source", "size")):
        assert {row.value for row in found.left_out if row.label == label} == {pair[place] for pair in models.values()}
