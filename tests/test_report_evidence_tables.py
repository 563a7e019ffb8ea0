"""The lines of the page's evidence tables: right numbers in the right places, words where there are none."""

from dataclasses import replace

import pytest

from qbias.comparison import compare
from qbias.report.cells import left_out_ranges, of_role, shown_metrics, verdict_counts
from qbias.report.evidence_tables import (
    MAIN,
    NONE,
    cell_lines,
    choices,
    churn_rows,
    companion_texts,
    mcnemar_rows,
    noise_rows,
    null_rows,
    swap_rows,
)
from qbias.report.labels import p_text, percent_text, short
from qbias.significance.records import Evidence, ExtremeNull, GroupChurn, LeftOut, SwapTest
from tests.evidence_records import PLAN, evidence_of, without_statistics
from tests.synthetic import synthetic_evaluations


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    return evidence_of(compare(synthetic_evaluations(4, 3)))


def test_primary_cells_come_in_the_order_of_the_plan(evidence: Evidence) -> None:
    shuffled = replace(evidence, cells=tuple(reversed(evidence.cells)))
    metrics = list(dict.fromkeys(cell.metric for cell in of_role(shuffled, "primary")))
    assert metrics == [row.metric for row in PLAN.endpoints]


def test_a_line_holds_the_cells_numbers(evidence: Evidence) -> None:
    line = next(line for line in cell_lines(evidence)["primary"] if line.cell.companions)
    cell = line.cell
    assert cell.corrected
    assert cell.equivalence
    assert cell.margin
    assert cell.noise
    said = dict(zip(MAIN, line.main, strict=True))
    assert said["Holm p"] == p_text(cell.corrected.holm)
    assert said["BH p"] == p_text(cell.corrected.bh)
    assert said["TOST p"] == p_text(cell.equivalence.p)
    assert (said["margin"], said["noise floor"]) == (short(cell.margin), short(cell.noise))
    facts = dict(line.facts)
    assert facts["family"] == "primary, 12 tests"
    assert "(smallest reachable .125; exact)" in facts["sign-flip p"]
    assert "smallest change found with 80 %" in facts


def test_a_monte_carlo_test_names_its_draws_and_seed(evidence: Evidence) -> None:
    cell = next(cell for cell in evidence.cells if cell.companions)
    assert cell.companions
    drawn = replace(cell, companions=replace(cell.companions, sign_flip_method="monte carlo", draws=10000, seed=7))
    facts = dict(cell_lines(replace(evidence, cells=(drawn,)))["secondary"][0].facts)
    assert facts["sign-flip p"].endswith("; 10,000 draws, seed 7)")


def test_a_cell_without_a_test_has_dashes_and_its_reason(evidence: Evidence) -> None:
    line = next(line for line in cell_lines(evidence)["primary"] if line.cell.verdict.name == "insufficient")
    assert line.main == (NONE, NONE, ".010", NONE, NONE, NONE, NONE, NONE)
    assert dict(line.facts)["verdict because"] == "measured for no model"
    assert set(companion_texts(line.cell)) == {NONE}


def test_models_left_out_give_a_range_per_label(evidence: Evidence) -> None:
    cell = replace(evidence.cells[0], left_out=(LeftOut("size", "s", 3, 0.02, None, None), LeftOut("size", "m", 3, -0.01, None, None)))
    assert left_out_ranges(cell) == {"size": (-0.01, 0.02)}
    assert companion_texts(cell)[-2:] == (NONE, "−.010, .020")


def test_churn_is_a_mean_with_its_range() -> None:
    rows = [GroupChurn(f"m{n}", "q", "facet", "gender", "fem", n, 10, n / 10, 0, 1, 0.95) for n in (1, 3)]
    ((label, (cell, empty)),) = churn_rows(replace(without_statistics(), churn=tuple(rows)), ["q", "other"])
    assert label == "FACET, Gender: fem"
    assert cell
    assert (cell.text, cell.below) == (percent_text(0.2), "10.0 % to 30.0 %")
    assert empty is None


def test_swaps_count_small_p_values() -> None:
    rows = [SwapTest(f"m{n}", "q", "facet/x/max_disparity_at_1", 0.1, p, 100, 1) for n, p in enumerate((0.01, 0.05, 0.5))]
    ((_, (cell,)),) = swap_rows(replace(without_statistics(), swaps=tuple(rows)), ["q"])
    assert cell
    assert (cell.text, cell.below) == ("1 of 3", "smallest p .010")


@pytest.mark.parametrize(
    ("observed", "q95", "beyond"), [((0.3, 0.1), 0.2, 1), ((0.3, 0.4), 0.2, 2), ((-0.3, 0.1), -0.2, 1), ((-0.1, 0.3), -0.2, 0)]
)
def test_a_null_counts_models_beyond_the_extreme_side(observed: tuple[float, float], q95: float, beyond: int) -> None:
    expected = q95 / 2
    rows = [ExtremeNull(f"m{n}", "fp32", "x", value, expected, q95, value - expected, 10, 1) for n, value in enumerate(observed)]
    names, ((_, (cell,)),) = null_rows(replace(without_statistics(), nulls=tuple(rows)))
    assert names == ["fp32"]
    assert cell
    assert f"{beyond} of 2 beyond" in cell.below


def test_choices_list_the_verdicts_that_flip(evidence: Evidence) -> None:
    found = choices(evidence)
    assert sum(row.cells for row in found) == len(evidence.sensitivity)
    assert sum(len(row.flips) for row in found) == sum(row.changed for row in evidence.sensitivity) > 0
    assert len({(row.choice, row.value) for row in found}) == len(found)


def test_noise_rows_begin_with_the_endpoints(evidence: Evidence) -> None:
    rows = noise_rows(evidence)
    assert rows[0][0] == PLAN.endpoints[0].metric
    assert len(rows) == len(evidence.noise[0].change_by_metric), "an endpoint that no arm has is left out"


def test_accuracies_stand_by_metric_and_model(evidence: Evidence) -> None:
    rows = mcnemar_rows(evidence, ["bnb-int8", "nothing"])
    assert len(rows) == 2 * 4
    assert all(cells[0] is not None and cells[1] is None for _, _, cells in rows)


def test_figures_show_primary_tables_and_whole_benchmarks(evidence: Evidence) -> None:
    comparison = compare(synthetic_evaluations(4, 3))
    facet = shown_metrics(comparison, evidence, "facet")
    assert len(facet) == 16 + 3 + 1
    assert facet[0] == "facet/gender_mf/macro_gap_at_1"
    assert set(shown_metrics(comparison, evidence, "imagenet")) == {"imagenet/accuracy_at_1", "imagenet/accuracy_at_5"}


def test_counts_name_every_verdict(evidence: Evidence) -> None:
    assert sum(verdict_counts(evidence.cells).values()) == len(evidence.cells)
    assert verdict_counts([]) == dict.fromkeys(verdict_counts([]), 0)
