"""The figures beside Figure 1: what they show, that nothing is clipped or covers another text, the same bytes each time."""

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from qbias.comparison import Comparison, compare
from qbias.report import bands_figure, forest, heatmap, inflation, slopes
from qbias.report.bands_figure import chosen_bands, shown
from qbias.report.drawing import MARKS, SHADES, THEME, Drawing, inline_svg, settings, svg_of, tick_text
from qbias.report.drawings import NAMES, drawings
from qbias.report.heatmap import blocks
from qbias.report.inflation import Inflation, inflation_of
from qbias.report.labels import VERDICTS
from qbias.report.slopes import headline_metrics
from qbias.significance.records import Evidence
from tests.evidence_records import evidence_of, without_statistics
from tests.synthetic import synthetic_evaluations, without_metric

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LONG = "skateboarder on a very long wave of a class name that does not end"


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    return compare(synthetic_evaluations(4, 5))


@pytest.fixture(scope="module")
def evidence(comparison: Comparison) -> Evidence:
    return evidence_of(comparison)


@pytest.fixture(scope="module")
def figures(comparison: Comparison, evidence: Evidence) -> dict[str, "Figure"]:
    return figures_of(comparison, evidence)


@pytest.fixture(scope="module")
def drawn(comparison: Comparison, evidence: Evidence) -> dict[str, Drawing]:
    return drawings(comparison, evidence)


def figures_of(comparison: Comparison, evidence: Evidence) -> dict[str, "Figure"]:
    """The matplotlib figures themselves."""
    found: dict[str, Figure] = {}

    def kept(figure: "Figure", *, title: str = "", text: str = "") -> str:
        found[title] = figure
        return svg_of(figure, title=title, text=text)

    with pytest.MonkeyPatch.context() as patch:
        for module in (forest, slopes, heatmap, bands_figure, inflation):
            patch.setattr(module, "svg_of", kept)
        drawings(comparison, evidence)
    return found


@pytest.mark.parametrize("names", [("gardener", "nurse"), (LONG, r"a $\frac$ & _b_")])
@pytest.mark.parametrize("quantizers", [2, 5])
def test_no_text_is_clipped_or_covers_another(names: tuple[str, ...], quantizers: int) -> None:
    evaluations = synthetic_evaluations(3, quantizers)
    if names[0] == LONG:
        evaluations = [replace(row, model=row.model + LONG) for row in evaluations]
    comparison = compare(evaluations)
    for title, figure in figures_of(comparison, evidence_of(comparison, names=names)).items():
        with settings():
            figure.draw_without_rendering()
        texts = [*figure.texts, *(text for axis in figure.axes for text in (*axis.texts, axis.title, axis._left_title, axis._right_title))]
        slanted = {id(text) for text in texts if text.get_rotation()}
        boxes = [(text.get_text(), text.get_window_extent(), id(text) in slanted) for text in texts if text.get_text()]
        width, height = figure.get_size_inches() * figure.dpi
        for text, box, _ in boxes:
            assert -1 <= box.x0 < box.x1 <= width + 1, (title, text)
            assert -1 <= box.y0 < box.y1 <= height + 1, (title, text)
        flat = [(text, box) for text, box, turned in boxes if not turned]
        covered = [(one[0], two[0]) for place, one in enumerate(flat) for two in flat[place + 1 :] if one[1].overlaps(two[1])]
        assert covered == [], title


def test_the_same_evidence_gives_the_same_bytes(comparison: Comparison, evidence: Evidence, drawn: dict[str, Drawing]) -> None:
    first, second = drawn, drawings(comparison, evidence)
    assert tuple(first) == NAMES
    assert all(first[name].svg == second[name].svg for name in NAMES)
    assert all("date" not in row.svg.lower().replace("candidate", "") for row in first.values())


def test_each_stands_alone_with_its_title_and_words(drawn: dict[str, Drawing]) -> None:
    for row in drawn.values():
        assert f"<title>{row.title}</title>" in row.svg
        assert "<dc:description>" in row.svg


@pytest.mark.parametrize("models", [0, 2])
def test_without_tests_there_is_no_forest(models: int) -> None:
    comparison = compare(synthetic_evaluations(models, 3))
    found = drawings(comparison, evidence_of(comparison))
    assert not {"forest", "inflation"} & set(found)
    assert ("slopes" in found) == bool(models)
    assert drawings(comparison, without_statistics()).keys() <= {"slopes"}


def test_the_forest_draws_every_interval_margin_and_floor_where_they_are(evidence: Evidence, figures: dict[str, "Figure"]) -> None:
    figure = figures[forest.TITLE]
    cell = next(cell for cell in evidence.cells if cell.metric == "imagenet/accuracy_at_1" and cell.quantizer == "bnb-nf4")
    axis = figure.axes[1]
    spans = {tuple(round(float(x), 9) for x in path.vertices[:, 0]) for lines in axis.collections for path in lines.get_paths()}
    test = forest.test_of(cell)
    assert test
    assert (round(test.ci_low, 9), round(test.ci_high, 9)) in spans
    widths = {round(float(bar.get_width()), 9) for bar in axis.patches}
    assert cell.margin
    assert cell.noise
    assert {round(2 * cell.margin, 9), round(2 * cell.noise, 9)} <= widths
    reach = [axis.get_xlim() for axis in figure.axes[:4]]
    assert len(set(reach)) == 1, "one scale for the panels of a benchmark"


def test_a_precision_without_the_test_says_so() -> None:
    evaluations = synthetic_evaluations(4, 3)
    evaluations[1] = without_metric(evaluations[1], "imagenet/accuracy_at_1")
    comparison = compare(evaluations)
    figure = figures_of(comparison, evidence_of(comparison))[forest.TITLE]
    assert [text.get_text() for axis in figure.axes[:2] for text in axis.texts] == ["no test"]


def test_slopes_start_at_the_baseline_and_count_directions(
    comparison: Comparison, evidence: Evidence, figures: dict[str, "Figure"]
) -> None:
    metrics = headline_metrics(comparison, evidence)
    assert metrics[0] == "imagenet/accuracy_at_1"
    assert len(metrics) == 6
    axis = figures[slopes.TITLE].axes[0]
    ends = {tuple(round(float(y), 9) for y in path.vertices[:, 1]) for lines in axis.collections for path in lines.get_paths()}
    rows = [row for row in comparison.changes if row.metric == metrics[0]]
    assert ends == {(round(row.baseline or 0, 9), round(row.candidate or 0, 9)) for row in rows}
    said = [text.get_text() for text in axis.texts]
    first = [row.difference or 0 for row in rows if row.quantizer == "bnb-int8"]
    assert said[0] == f"{sum(value > 0 for value in first)} up, {sum(value < 0 for value in first)} down"


def test_the_heat_map_has_every_cell_once(comparison: Comparison, evidence: Evidence, drawn: dict[str, Drawing]) -> None:
    cells = [cell for block in blocks(comparison, evidence) for row in block.rows for cell in block.row(*row) if cell]
    assert sorted((cell.quantizer, cell.metric) for cell in cells) == sorted((cell.quantizer, cell.metric) for cell in evidence.cells)
    drawing = drawn["heatmap"]
    for name in ("equivalent", "inconclusive", "insufficient"):
        count = sum(cell.verdict.name == name for cell in evidence.cells)
        assert f"{count} {VERDICTS[name]}" in drawing.text
        assert drawing.svg.count(f"fill: {SHADES[name]}") == count


def test_slices_with_the_same_statistics_share_a_block(comparison: Comparison, evidence: Evidence) -> None:
    found = [(block.benchmark, {slice_ for slice_, _ in block.rows}) for block in blocks(comparison, evidence)]
    assert ("facet", {"gender_mf", "skin_ld", "age_my", "age_mo"}) in found, "although the macro gap of one is no primary endpoint"
    assert ("facet", {""}) in found


def test_a_panel_shows_the_model_with_the_largest_change_and_its_largest_classes(evidence: Evidence) -> None:
    for (benchmark, slice_, subject, _), row in chosen_bands(evidence).items():
        for quantizer, band in row.items():
            rivals = [
                entry for other in evidence.bands for entry in other.entries
                if (other.benchmark, other.slice_, other.subject, other.quantizer) == (benchmark, slice_, subject, quantizer)
            ]  # fmt: skip
            assert shown(band)[0] == max(rivals, key=lambda entry: abs(entry.difference))
            assert len(shown(band)) <= bands_figure.ENTRIES


def test_accuracies_of_groups_come_last_with_a_heading_of_their_own(evidence: Evidence) -> None:
    keys = list(chosen_bands(evidence))
    subjects = [subject for _, _, subject, _ in keys]
    assert subjects == sorted(subjects, key=lambda subject: subject == "accuracy")
    assert subjects.count("accuracy") == 2
    assert bands_figure.heading(keys[-1]) == "FACET Gender & Age: change of the accuracy at 1 of each group"


def test_bands_of_the_lowest_rank_are_drawn(evidence: Evidence) -> None:
    higher = tuple(replace(band, k=band.k + 4) for band in evidence.bands)
    assert chosen_bands(replace(evidence, bands=(*higher, *evidence.bands))) == chosen_bands(evidence)


def test_the_curve_speaks_of_as_many_models_as_the_tests_have(evidence: Evidence) -> None:
    curve = inflation_of(evidence)
    assert curve
    assert (curve.n, curve.points[0]) == (4, (0.0, pytest.approx(0.05)))
    drawing = inflation.inflation_figure(Inflation(8, 0.05, [(0.0, 0.05), (0.1, 0.1), (0.3, 0.298)]), evidence)
    assert drawing
    assert "correlation .30: 29.8 %" in drawing.text
    assert inflation.inflation_figure(None, evidence) is None


def test_a_drawing_in_the_page_follows_its_style_and_keeps_its_ids_apart(drawn: dict[str, Drawing]) -> None:
    svg = drawn["heatmap"].svg
    inline = str(inline_svg(svg, prefix="one-"))
    assert all(f"var({variable})" in inline for variable in ("--ink", "--soft", "--v-equivalent"))
    assert not any(f": {colour}" in inline for colour in THEME)
    ids = set(re.findall(r'\sid="([^"]*)"', inline))
    assert ids
    assert all(name.startswith("one-") for name in ids)
    assert set(re.findall(r'href="#([^"]*)"', inline)) | set(re.findall(r"url\(#([^)]*)\)", inline)) <= ids
    assert "<title>" not in inline
    assert "<metadata>" not in inline


def test_every_verdict_has_a_shape_of_its_own() -> None:
    assert set(MARKS) == set(SHADES) == set(VERDICTS)
    assert len({shape for shape, _ in MARKS.values()}) == len(MARKS)


@pytest.mark.parametrize(("value", "text"), [(0.0, "0"), (-0.0, "0"), (0.05, ".05"), (-0.1, "−.1"), (10.0, "10"), (1.05, "1.05")])
def test_ticks_read_like_the_tables(value: float, text: str) -> None:
    assert tick_text(value) == text
