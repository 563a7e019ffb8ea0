"""What the report says about prompts and skipped images: on the first screen, beside the results, with the data, and in the run's note."""

from dataclasses import replace
from typing import Any

import pytest

from qbias.benchmarks.prompts import BERG240, OXAI319
from qbias.comparison import Comparison, compare
from qbias.report.datasets import MOST_SHOWN, cut, fact_texts, is_long, prompt_lists, prompts_of, skipped_counts
from qbias.report.markdown import summary_markdown
from qbias.report.page import table_page
from qbias.report.summary import summarize
from qbias.report.tables import table1, table2
from tests.evidence_records import evidence_of, without_statistics
from tests.made import made_outcomes
from tests.synthetic import synthetic_evaluations, with_outcomes
from tests.test_report_page import Page, page_of

SHA = "4f" * 32
BERG: dict[str, Any] = {"prompt_set": BERG240.name, "prompts": len(BERG240.prompts), "prompts_reconstructed": BERG240.reconstructed}
OXAI: dict[str, Any] = {"prompt_set": OXAI319.name, "prompts": len(OXAI319.prompts), "prompts_reconstructed": OXAI319.reconstructed}


def study(benchmark: str, facts: dict[str, Any], *, models: int = 3, other: dict[str, Any] | None = None) -> Comparison:
    """A study whose benchmark has these facts too, in the last model `other` ones."""
    evaluations = synthetic_evaluations(models, 2)
    found = []
    for place, row in enumerate(evaluations):
        more = other if other is not None and place >= len(evaluations) - 2 else facts
        sha = SHA if more is facts else "0" * 64
        known = {**row.outcomes[benchmark].facts, **more}
        found.append(with_outcomes(row, benchmark, facts=known, prompts_sha256=sha))
    return compare(found)


def facts_of(comparison: Comparison) -> dict[str, str]:
    return dict(summarize(comparison, without_statistics()).facts)


def first_screen(text: str) -> str:
    return text[: text.index("How to reproduce")]


def test_a_reconstruction_is_flagged_wherever_skew_stands() -> None:
    comparison = study("fairface", BERG)
    text, told = Page(page_of(comparison)).text, "berg240 (240 prompts; a reconstruction: the authors never published the 240)"
    assert f"Prompts FairFace: {told}" in first_screen(text)
    sentence = f"Prompts of the skew: {told}, sha256 {SHA}."
    beside = text[text.index("Table 2: change of FairFace skew") : text.index("How to read these tables")]
    data = text[text.index("Protocol, data and machine") :]
    for part in (beside, data, Page(table_page(table2(comparison), evidence_of(comparison))).text):
        assert sentence in part
    assert table1(comparison).notes == ()
    assert "a reconstruction: the authors never published the 240" in summary_markdown(comparison, evidence_of(comparison))


def test_a_published_list_is_not_flagged() -> None:
    text = Page(page_of(study("fairface", OXAI))).text
    assert f"Prompts of the skew: oxai319 (319 prompts), sha256 {SHA}." in text
    assert "reconstruction" not in text


def test_two_lists_are_both_named() -> None:
    comparison = study("fairface", BERG, other=OXAI)
    assert [(name, lists.name) for name, lists in prompt_lists(comparison)] == [("fairface", "berg240"), ("fairface", "oxai319")]
    assert len(table2(comparison).notes) == 2
    assert "never published the 240); FairFace: oxai319 (319 prompts)" in facts_of(comparison)["Prompts"]


@pytest.mark.parametrize("facts", [{}, {"prompt_set": "inline"}, {"prompt_set": ""}])
def test_a_list_without_a_name_has_its_length_all_the_same(facts: dict[str, Any]) -> None:
    prompts = prompts_of(made_outcomes("skew", **facts))
    assert prompts is not None
    assert prompts.text == "a list of one's own (9 prompts)"
    assert "prompts" not in made_outcomes("skew").facts, "or the length would come from the facts"


def test_without_skew_there_is_no_word_of_prompts() -> None:
    assert prompts_of(made_outcomes("retrieval")) is None
    evaluations = [replace(row, outcomes={"coco": row.outcomes["coco"]}) for row in synthetic_evaluations(3, 2)]
    assert "Prompts" not in facts_of(compare(evaluations))


def test_skipped_images_stand_on_the_first_screen() -> None:
    comparison = study("imagenet", {"skipped_images": 1_203})
    told = "Skipped images ImageNet 1,203: they cannot be decoded; both sides of every pair used the same images"
    assert told in first_screen(Page(page_of(comparison)).text)
    assert "**Skipped images**: ImageNet 1,203: they cannot be decoded" in summary_markdown(comparison, evidence_of(comparison))


def test_skipped_images_that_differ_between_models_are_a_range() -> None:
    assert skipped_counts(study("coco", {"skipped_images": 2}, other={})) == [("coco", "0 to 2")]


@pytest.mark.parametrize("facts", [{}, {"skipped_images": 0}])
def test_where_nothing_was_skipped_nothing_is_said(facts: dict[str, Any]) -> None:
    comparison = study("coco", facts)
    assert skipped_counts(comparison) == []
    assert "Skipped" not in first_screen(Page(page_of(comparison)).text)


def test_facts_are_short_texts_and_a_long_mapping_is_json() -> None:
    facts = {"ks": [1, 5], "wnids": list("abcdefg"), "source": None, "pairs": [{"name": "g", "first": "a", "second": "b"}], "none": []}
    assert dict(fact_texts(facts)) == {"ks": "1, 5", "wnids": "7 values", "source": "none", "pairs": "g (a − b)", "none": "none"}
    (_, short), (_, long) = fact_texts({"one": {"kind": "skew", "k": 5}, "two": {str(n): "x" * 20 for n in range(20)}})
    assert short == "kind: skew; k: 5"
    assert long.startswith('{\n "0": "xxxx')
    assert (is_long(short), is_long(long), is_long("a\nb\nc\nd")) == (False, True, True)


def test_only_the_beginning_of_a_very_long_text_is_shown() -> None:
    assert cut("x" * MOST_SHOWN) == "x" * MOST_SHOWN
    shown = cut("x" * (MOST_SHOWN + 1_500))
    assert shown.count("x") == MOST_SHOWN
    assert shown.endswith("… 1,500 characters more: comparison.json beside this page has the whole")
