"""A report on nothing but the user's own benchmarks is complete: every kind, readable names, a definition that does not flood the page."""

import json
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from qbias.comparison import Comparison, compare
from qbias.measure import measure
from qbias.outcomes import outcomes_of
from qbias.protocol import Protocol
from qbias.records import Evaluation, Outcomes
from qbias.report import write_report
from qbias.report.figures import figure1, figure_metrics
from qbias.report.record import as_record
from qbias.report.summary import limits_sentence, quality_sentence, sentence_on_tests, summarize
from qbias.report.tables import other_tables
from tests.evidence_records import evidence_of, without_statistics
from tests.made import MAKERS
from tests.synthetic import MACHINE, synthetic_evaluations
from tests.test_report_page import Page, page_of

NAMES = {"classification": "work-tools", "retrieval": "street-signs", "skew": "portraits"}
DEFINITION = {"name": "work-tools", "kind": "classification", "classes": {f"tool-{n}": f"name of tool {n}" for n in range(900)}}


@cache
def own_outcomes(kind: str, model: int, noise: float) -> Outcomes:
    """A custom benchmark's outcomes: the model's own embeddings, moved by `noise` in a candidate."""
    dataset, image_ND, text_MD = MAKERS[kind](3)
    random = np.random.default_rng(model)
    for scale in (0.05, noise):
        image_ND = image_ND + scale * random.standard_normal(image_ND.shape)
        image_ND /= np.linalg.norm(image_ND, axis=1, keepdims=True)
    facts = {**dataset.facts, "source": "manifest.csv", "definition": DEFINITION}
    return outcomes_of(replace(dataset, benchmark=NAMES[kind], facts=facts), image_ND, text_MD, Protocol())


def own_study(kinds: Iterable[str] = tuple(NAMES), models: int = 4) -> list[Evaluation]:
    """Models in three precisions on the user's own benchmarks."""
    found = []
    for model in range(models):
        for version, (quantizer, noise) in enumerate([("fp32", 0.0), ("bnb-int8", 0.02), ("bnb-nf4", 0.1)], start=1):
            outcomes = {NAMES[kind]: own_outcomes(kind, model, noise) for kind in kinds}
            metrics = {row.name: row.value for each in outcomes.values() for row in measure(each)[0]}
            run = f"run-{model}-{version}"
            row = Evaluation(f"clip-{model}", quantizer, str(version), "1", "own", "s", run, "0" * 64, MACHINE, outcomes, metrics)
            found.append(row)
    return found


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    return compare(own_study())


@pytest.fixture(scope="module")
def page(comparison: Comparison) -> Page:
    return Page(page_of(comparison))


def test_tables_1_and_2_say_that_they_are_empty_and_the_next_show_what_was_compared(page: Page) -> None:
    for text in (
        "Table 1. Empty: FACET was not measured in this comparison.",
        "Table 2. Empty: FairFace was not measured in this comparison.",
        "Table 3: change of work-tools disparity",
        "Table 4: change of portraits skew",
        "No correction for multiple testing is applied here",
    ):
        assert text in page.text
    ids = {row.get("id") for _, row in page.tags}
    assert {(row["href"] or "")[1:] for row in page.named("a")} <= ids
    assert {"table3", "table4"} < ids


def test_the_other_tables_hold_the_tests_of_pairs_and_attributes(comparison: Comparison) -> None:
    first, second = other_tables(comparison)
    assert first.statistics == ("Min Disp@1", "Max Disp@1", "Min Disp@5", "Max Disp@5")
    assert [row.demographic for row in first.rows] == ["Gender (MF)", "Skin Tone (LD)"] * 2
    assert [row.demographic for row in second.rows] == ["Gender", "Race", "mood"] * 2
    assert [row.span for row in second.rows] == [3, 0, 0] * 2
    cells = {(cell.quantizer, cell.metric): cell for cell in comparison.cells}
    for cell in (*first.cells, *second.cells):
        assert cell is cells[cell.quantizer, cell.metric]
        assert cell.family == "other metrics"


def test_a_pair_that_no_model_could_measure_keeps_its_row() -> None:
    evaluations = []
    for row in own_study(("classification",), 3):
        kept = {name: value for name, value in row.metrics.items() if "/skin_ld/" not in name}
        evaluations.append(replace(row, metrics=kept))
    (table,) = other_tables(compare(evaluations))
    assert [row.demographic for row in table.rows] == ["Gender (MF)", "Skin Tone (LD)"] * 2
    assert {cell.result.reason for cell in table.rows[1].cells} == {"measured for no model"}  # type: ignore[union-attr]
    assert "no test" in Page(page_of(compare(evaluations))).text


def test_the_sentences_speak_of_the_users_benchmarks(comparison: Comparison) -> None:
    assert quality_sentence(comparison).startswith("work-tools zero-shot accuracy@1 changed by ")
    tests = sentence_on_tests(comparison, evidence_of(comparison))
    assert tests.startswith("Neither FACET nor FairFace was measured, so Tables 1 and 2 are empty. Of the ")
    assert "paired t-tests of Tables 3 and 4, " in tests
    assert "nothing is said" not in tests
    assert f"after Holm's correction over the {len(comparison.cells)} tests of the secondary family" in tests
    limits = limits_sentence(comparison)
    assert "the 95 % intervals for work-tools reach up to" in limits
    assert "disparity changed by up to" in limits
    assert summarize(comparison, without_statistics()).missing[:2] == ("ImageNet was not measured.", "COCO was not measured.")


@pytest.mark.parametrize(
    ("kind", "tables", "says"),
    [
        ("classification", 1, "paired t-tests of Table 3, "),
        ("retrieval", 0, "nothing is said about disparity between groups"),
        ("skew", 1, "paired t-tests of Table 3, "),
    ],
)
def test_each_kind_alone_makes_a_page(kind: str, tables: int, says: str) -> None:
    comparison = compare(own_study((kind,), 3))
    text = Page(page_of(comparison)).text
    assert len(other_tables(comparison)) == tables
    assert says in text
    assert f"{NAMES[kind]} ({kind}" in text
    assert f"Images {NAMES[kind]} {MAKERS[kind](3)[0].images.shape[0]}" in text


def test_own_and_published_benchmarks_stand_side_by_side() -> None:
    own, published = own_study(("skew",), 3), synthetic_evaluations(3, 3)
    both = [
        replace(row, outcomes={**row.outcomes, **other.outcomes}, metrics={**row.metrics, **other.metrics})
        for row, other in zip(published, own, strict=True)
    ]
    comparison = compare(both)
    assert [table.number for table in other_tables(comparison)] == [3]
    assert figure_metrics(comparison) == ["imagenet/accuracy_at_1", "coco/image_retrieval_recall_at_5"]
    sentence = sentence_on_tests(comparison, evidence_of(comparison))
    assert "paired t-tests of Tables 1 and 2, " in sentence
    assert "paired t-tests of Table 3, " in sentence


def test_figure_1_falls_back_to_what_there_is(comparison: Comparison, tmp_path: Path) -> None:
    assert figure_metrics(comparison) == ["work-tools/accuracy_at_1", "street-signs/image_retrieval_recall_at_5"]
    evaluations = [
        replace(row, metrics={name.replace("_at_1", "_at_3").replace("_at_5", "_at_2"): value for name, value in row.metrics.items()})
        for row in own_study(("classification",), 3)
    ]
    assert figure_metrics(compare(evaluations)) == ["work-tools/accuracy_at_2"]
    comparison = compare(own_study(("skew",), 3))
    assert "Neither accuracy" in write_report(comparison, tmp_path, evidence=evidence_of(comparison), title="Own", commands=())[
        "report.md"
    ].read_text(encoding="utf-8")
    figure = figure1(comparison)
    assert [text.get_text() for text in figure.texts] == ["Neither accuracy nor retrieval recall was measured."]
    assert figure.get_size_inches()[1] < 1, "a sentence needs no room for a drawing"


@pytest.mark.parametrize("kinds", [("classification",), ("classification", "retrieval")])
def test_a_long_name_stays_inside_the_figure(kinds: tuple[str, ...]) -> None:
    evaluations = []
    for row in own_study(kinds, 3):
        long = {name: f"{name}-{'w' * 64}"[:64] for name in row.outcomes}
        outcomes = {long[name]: replace(each, benchmark=long[name]) for name, each in row.outcomes.items()}
        metrics = {f"{long[name.partition('/')[0]]}/{name.partition('/')[2]}": value for name, value in row.metrics.items()}
        evaluations.append(replace(row, outcomes=outcomes, metrics=metrics))
    figure = figure1(compare(evaluations))
    figure.draw_without_rendering()
    boxes = [axis.title.get_window_extent() if axis.title.get_text() else axis._left_title.get_window_extent() for axis in figure.axes]
    assert len(boxes) == len(kinds)
    assert boxes[-1].x1 <= figure.get_size_inches()[0] * figure.dpi
    assert not any(left.overlaps(right) for left, right in pairwise(boxes))


def test_a_long_definition_is_folded_cut_and_whole_in_the_record(comparison: Comparison) -> None:
    html = page_of(comparison)
    folded = [part.split("</details>")[0] for part in html.split('<details class="long">')[1:]]
    assert len(folded) == 3, "one per benchmark"
    assert all(len(text) < 10_000 for text in folded)
    assert "name of tool 20" in folded[0]
    assert "name of tool 899" not in html
    assert "characters more: comparison.json beside this page has the whole" in folded[0]
    facts = dict(as_record(comparison, without_statistics())["datasets"][0]["facts"])
    assert json.loads(facts["definition"]) == DEFINITION
    assert facts["source"] == "manifest.csv"
