"""The HTML page: self-contained, everything from the data escaped, careful words, and every part that a reader needs."""

from dataclasses import dataclass, fields, replace
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree

import pytest

from qbias.comparison import Comparison, compare
from qbias.protocol import Protocol
from qbias.records import Evaluation
from qbias.report.drawings import drawings
from qbias.report.labels import metric_label, p_text, short
from qbias.report.markdown import summary_markdown
from qbias.report.page import report_page, table_page
from qbias.report.published import STUDY, beside_published, read_published
from qbias.report.summary import summarize
from qbias.report.tables import table1
from qbias.significance import PairedTest
from qbias.significance.records import Endpoint, Evidence, Margin
from tests.evidence_records import evidence_of, without_statistics
from tests.synthetic import MACHINE, synthetic_evaluations, with_outcomes, without_metric

HOSTILE = "<script>alert(1)</script>"
SVG = (
    '<?xml version="1.0"?>\n<!DOCTYPE svg>\n'
    '<svg width="9pt" height="9pt" viewBox="0 0 9 9" xmlns="http://www.w3.org/2000/svg"><g id="x"/></svg>'
)


@dataclass(frozen=True)
class Problem:
    model: str
    version: str
    run_id: str
    reason: str


class Page(HTMLParser):
    """Tags with their attributes, and the text that a reader sees."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.parts: list[str] = []
        self.feed(html)
        self.text = " ".join(" ".join(self.parts).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.parts.append(data)

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def page_of(comparison: Comparison, evidence: Evidence | None = None, **named: Any) -> str:
    """The page without figures, with made evidence; arguments of `report_page` by name."""
    chosen: dict[str, Any] = {"title": "Report", "commands": (), "figure_svg": SVG, "figures": {}, **named}
    return report_page(comparison, evidence_of(comparison) if evidence is None else evidence, **chosen)


def hostile_study() -> list[Evaluation]:
    """Names with markup wherever a name can come from the data."""
    evaluations = []
    for row in synthetic_evaluations(3, 3):
        model = HOSTILE if row.model == "toy-s8-balanced" else row.model
        quantizer = HOSTILE if row.quantizer == "bnb-nf4" else row.quantizer
        facts = {"classes": [HOSTILE], "pairs": [{"name": HOSTILE, "first": HOSTILE, "second": HOSTILE}], HOSTILE: HOSTILE}
        changed = replace(row, model=model, quantizer=quantizer, run_id=row.run_id + HOSTILE, machine={**MACHINE, "torch": HOSTILE})
        evaluations.append(with_outcomes(changed, "facet", facts=facts, protocol={HOSTILE: HOSTILE}, dataset_digest=HOSTILE))
    evaluations[1] = replace(evaluations[1], machine={"threads": HOSTILE})
    evaluations[4] = replace(evaluations[4], metrics={**evaluations[4].metrics, f"facet/{HOSTILE}": 0.1})
    return evaluations


def hostile_evidence(comparison: Comparison) -> Evidence:
    """Markup in every text of the evidence: reasons, classes, groups, arms, choices, notes."""
    found = evidence_of(comparison, names=(HOSTILE, "gardener"))
    bad = {"margin_why": HOSTILE, "member": HOSTILE, "verdict": replace(found.cells[0].verdict, reason=HOSTILE)}
    return replace(
        found,
        plan=replace(
            found.plan, endpoints=(*found.plan.endpoints, Endpoint(HOSTILE, 0.1, HOSTILE)), margins=(Margin(HOSTILE, 0.1, HOSTILE),)
        ),
        cells=tuple(replace(row, **bad) for row in found.cells),  # type: ignore[arg-type]
        mcnemar=tuple(replace(row, metric=f"{HOSTILE}/accuracy_at_1") for row in found.mcnemar),
        churn=tuple(replace(row, attribute=HOSTILE, group=HOSTILE) for row in found.churn),
        swaps=tuple(replace(row, metric=HOSTILE) for row in found.swaps),
        nulls=tuple(replace(row, metric=HOSTILE, quantizer=HOSTILE) for row in found.nulls),
        noise=tuple(replace(row, arm=HOSTILE) for row in found.noise),
        sensitivity=tuple(replace(row, choice=HOSTILE, value=HOSTILE) for row in found.sensitivity),
        notes=(HOSTILE,),
    )


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    return compare(synthetic_evaluations())


@pytest.fixture(scope="module")
def page(comparison: Comparison) -> Page:
    evidence = evidence_of(comparison)
    return Page(
        page_of(comparison, evidence, commands=("mlflow run . -e compare -P models=<name>",), figures=drawings(comparison, evidence))
    )


def test_it_needs_no_network_and_its_one_script_is_inline(page: Page) -> None:
    assert {"link", "iframe", "img", "object", "base"}.isdisjoint(name for name, _ in page.tags)
    assert page.named("script") == [{}]
    assert [row["href"] for row in page.named("a") if not (row["href"] or "").startswith("#")] == []
    style = "".join(page.parts)
    assert "@import" not in style
    assert "url(" not in style


def test_every_link_leads_somewhere(page: Page) -> None:
    ids = {row.get("id") for _, row in page.tags}
    assert {(row["href"] or "")[1:] for row in page.named("a")} <= ids


def test_names_from_the_data_are_escaped() -> None:
    comparison = compare(hostile_study())
    assert comparison.refusals
    evidence = hostile_evidence(comparison)
    figures = drawings(comparison, evidence)
    links = {row.candidate.run_id: f'https://example.org/"><script>{HOSTILE}' for row in comparison.pairings}
    html = page_of(
        comparison, evidence, title=HOSTILE, commands=(HOSTILE,), problems=(Problem(HOSTILE, HOSTILE, HOSTILE, HOSTILE),), figures=figures,
        run_links=links,
    )  # fmt: skip
    found = Page(html)
    assert html.count("<script") == 1, "the page's own, which sorts"
    assert found.text.count(HOSTILE) > 200
    assert not [name for _, row in found.tags for name in row if name.startswith("on")]
    for text in (table_page(table1(comparison), evidence), summary_markdown(comparison, evidence), *(row.svg for row in figures.values())):
        assert "<script" not in text
    assert len(figures) == 5
    for drawing in figures.values():
        tags = {element.tag.rpartition("}")[2] for element in ElementTree.fromstring(drawing.svg).iter()}  # noqa: S314
        assert "script" not in tags


def test_an_attribute_cannot_be_left() -> None:
    name = '" onmouseover="alert(1)'
    evaluations = [replace(row, model=name) if row.model == "toy-s8-balanced" else row for row in synthetic_evaluations(3, 2)]
    evaluations[1] = without_metric(evaluations[1], "facet/gender_mf/max_disparity_at_1")
    evaluations[3] = without_metric(evaluations[3], "facet/gender_mf/max_disparity_at_1")
    found = Page(page_of(compare(evaluations), problems=(Problem(name, "1", "", name),)))
    assert name in found.text
    assert not [key for _, row in found.tags for key in row if key.startswith("on")]


def test_the_first_screen_says_what_was_compared_found_and_missing(comparison: Comparison, page: Page) -> None:
    summary = summarize(comparison, evidence_of(comparison))
    first = page.text[: page.text.index("How to reproduce")]
    assert all(text in first for _, text in summary.facts)
    assert all(sentence in first for sentence in summary.sentences)
    assert len(summary.sentences) == 3
    assert all(line in first for line in summary.missing)
    assert "primary 3 0 0 " in first, "counts of verdicts"
    assert "ImageNet 40, COCO 40, FACET 40, FairFace 40" in first


def test_it_holds_every_parameter_digest_fact_and_run(comparison: Comparison, page: Page) -> None:
    protocol, text = Protocol(skew_k=20), page.text
    assert all(f"{field.name} {getattr(protocol, field.name)}" in text for field in fields(Protocol))
    assert protocol.digest() in text
    for row in comparison.pairings:
        assert row.candidate.run_id in text
        assert row.candidate.weights_sha256 in text
        for outcomes in row.candidate.outcomes.values():
            assert outcomes.dataset_digest in text
            assert outcomes.prompts_sha256 in text
    assert all(f"{name} {value}" in text for name, value in MACHINE.items())


def test_it_says_how_to_reproduce(page: Page) -> None:
    assert "mlflow run . -e compare -P models=<name>" in page.text


def test_the_tables_are_coloured_and_marked(comparison: Comparison, page: Page) -> None:
    for level, mark in (("q95", "**"), ("q90", "*")):
        cells = [row for row in page.named("td") if level in (row.get("class") or "").split()]
        assert cells, mark
        assert len(cells) % 2 == 0


def test_the_figure_has_words_beside_it(page: Page) -> None:
    drawn = [row for row in page.named("div") if row.get("role") == "img"]
    assert "mean over models" in (drawn[0]["aria-label"] or "")
    assert len(drawn) == len(page.named("svg")) == 6
    assert all(row["aria-label"] for row in drawn)
    assert all(svg["aria-hidden"] == "true" and "width" not in svg for svg in page.named("svg"))


def test_no_id_stands_twice(page: Page) -> None:
    ids = [row["id"] for _, row in page.tags if "id" in row]
    assert sorted(ids) == sorted(set(ids))


def test_it_follows_light_and_dark_and_prints(comparison: Comparison) -> None:
    html = page_of(comparison)
    assert "prefers-color-scheme: dark" in html
    assert "@media print" in html
    assert "overflow-x: auto" in html


@pytest.mark.parametrize("models", [1, 2])
def test_fewer_than_three_models_get_their_tables_and_the_reason(models: int) -> None:
    comparison = compare(synthetic_evaluations(models, 3))
    found = Page(page_of(comparison))
    assert f"A t-test across models needs at least three models; this comparison has {models}." in found.text
    change = next(row for row in comparison.changes if row.metric == "imagenet/accuracy_at_1")
    assert change.baseline is not None
    assert f"{change.baseline:.3f}"[1:] in found.text
    assert not [row for row in found.named("td") if "q95" in (row.get("class") or "")]
    assert "There is nothing to draw" in found.text


def test_what_was_refused_stands_there_in_full() -> None:
    evaluations = synthetic_evaluations(4, 3)
    evaluations[1] = with_outcomes(replace(evaluations[1], machine={**MACHINE, "threads": "7"}), "coco", dataset_digest="another-set")
    found = Page(page_of(compare(evaluations), problems=(Problem("toy-x", "4", "run-lost", "its outcomes were altered"),)))
    for text in ("coco: dataset digest digest-of-coco another-set", "machine: threads 2 7", "toy-x version 4, run run-lost"):
        assert text in found.text
    assert "its outcomes were altered." in found.text[: found.text.index("How to reproduce")]


def test_cells_without_a_test_are_listed_with_reason_and_counts() -> None:
    evaluations = synthetic_evaluations(4, 2)
    evaluations[1] = without_metric(evaluations[1], "facet/gender_mf/max_disparity_at_1")
    text = Page(page_of(compare(evaluations))).text
    listed = text[text.index("1 cell: ") :]
    assert listed.startswith("1 cell: measured on one side only for toy-s16-balanced pairs: 4; pairs with both values: 3")
    assert "facet/gender_mf/max_disparity_at_1" in listed


def test_settings_that_differ_between_models_are_marked() -> None:
    evaluations = [
        replace(row, machine={**MACHINE, "torch": "2.14.0"}) if row.model == "toy-s8-balanced" else row
        for row in synthetic_evaluations(3, 2)
    ]
    assert "torch 2.15.0; 2.14.0 (differs between evaluations)" in Page(page_of(compare(evaluations))).text


def test_an_empty_comparison_still_makes_a_page() -> None:
    text = Page(page_of(compare([]))).text
    assert "nothing could be paired" in text
    assert "Table 1. Empty: FACET was not measured" in text


def test_a_comparison_without_statistics_says_what_is_not_there(comparison: Comparison) -> None:
    text = Page(page_of(comparison, without_statistics())).text
    for part in (
        "No primary endpoint was declared", "no corrected p-value was made", "There is nothing to draw", "No model was evaluated twice",
        "No other choice was tried",
    ):  # fmt: skip
        assert part in text, part


def test_every_primary_cell_stands_there_with_its_companions(comparison: Comparison, page: Page) -> None:
    cells = [cell for cell in evidence_of(comparison).cells if cell.role == "primary" and cell.companions]
    assert len(cells) == 20
    for cell in cells:
        assert cell.companions
        assert cell.power
        flips = f"{p_text(cell.companions.sign_flip_p)} ({p_text(cell.companions.smallest_sign_flip_p)})"
        row = f"{cell.companions.up}, {cell.companions.down} {short(cell.companions.d_z or 0, digits=2)} {flips}"
        assert f"{metric_label(cell.metric)} {cell.quantizer} {row}" in page.text
        assert cell.verdict.reason in page.text


def test_corrected_p_values_stand_with_family_and_size(page: Page) -> None:
    assert "Holm's correction within this family: primary, 24 tests." in page.text
    assert "Family: secondary, 144 tests" in page.text
    assert "With 144 tests and 7 degrees of freedom, Holm's correction at 0.05 needs p of at most" in page.text


def test_runs_lead_to_the_tracking_server_where_their_address_is_known(comparison: Comparison) -> None:
    first, second = (row.candidate.run_id for row in comparison.pairings[:2])
    found = Page(page_of(comparison, run_links={first: "https://example.org/runs/1", second: "javascript:alert(1)"}))
    outside = [row["href"] for row in found.named("a") if not (row["href"] or "").startswith("#")]
    assert outside == ["https://example.org/runs/1"]


def test_a_published_study_stands_beside_ours(comparison: Comparison) -> None:
    tests = {(cell.quantizer, cell.metric): cell.result for cell in comparison.cells if isinstance(cell.result, PairedTest)}
    rows = beside_published(read_published(STUDY), tests)
    text = Page(page_of(comparison, published=rows)).text
    assert f"{sum(row.overlap for row in rows)} of {len(rows)} intervals overlap" in text
    assert "Beside the published study" not in Page(page_of(comparison)).text
    row = rows[0]
    assert f"{row.cell.low.text}, {row.cell.high.text}" in text


def test_headers_of_sortable_tables_are_plain_until_the_script_runs(page: Page) -> None:
    assert not page.named("button")
    assert len([row for row in page.named("table") if "sortable" in (row.get("class") or "")]) > 8
