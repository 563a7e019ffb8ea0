"""The sentences of the first screen: computed from the data, careful in their words, and right about what is missing."""

import re
from dataclasses import replace

import pytest

from qbias.comparison import Comparison, compare
from qbias.records import Evaluation
from qbias.report.markdown import LONGEST, summary_markdown
from qbias.report.summary import Summary, limits_sentence, quality_sentence, sentence_on_endpoints, summarize
from qbias.report.summary import sentence_on_tests as sentence_on_all_tests
from qbias.significance.records import Evidence, Verdict
from tests.evidence_records import evidence_of, without_statistics
from tests.synthetic import changed, synthetic_evaluations, with_outcomes

FORBIDDEN = re.compile(r"unbiased|debiased|fair model|no bias|is fair", re.IGNORECASE)


def sentence_on_tests(comparison: Comparison) -> str:
    return sentence_on_all_tests(comparison, evidence_of(comparison))


def summary_of(comparison: Comparison) -> Summary:
    return summarize(comparison, evidence_of(comparison))


def markdown_of(comparison: Comparison) -> str:
    return summary_markdown(comparison, evidence_of(comparison))


def shifted(evaluations: list[Evaluation], metric: str, by: list[float]) -> list[Evaluation]:
    """The candidate's metric moved away from its baseline's by `by`, model after model."""
    found, steps = [], iter(by)
    for row in evaluations:
        baseline = next(other for other in evaluations if other.model == row.model)
        value = baseline.metrics[metric] + (0 if row is baseline else next(steps))
        found.append(replace(row, metrics={**row.metrics, metric: value}))
    return found


def only(evaluations: list[Evaluation], *benchmarks: str) -> list[Evaluation]:
    return [replace(row, outcomes={name: row.outcomes[name] for name in benchmarks}) for row in evaluations]


def test_the_mean_change_of_accuracy_in_points() -> None:
    evaluations = shifted(synthetic_evaluations(3, 2), "imagenet/accuracy_at_1", [-0.01, -0.02, -0.06])
    expected = "ImageNet zero-shot accuracy@1 changed by −3.0 in bnb-int8 (percentage points, mean over 3 models)."
    assert quality_sentence(compare(evaluations)) == expected


def test_without_accuracy_the_recall_is_taken() -> None:
    assert quality_sentence(compare(only(synthetic_evaluations(3, 2), "coco", "facet"))).startswith(
        "COCO text-to-image recall@5 changed by"
    )


def test_small_p_values_stand_beside_what_chance_gives() -> None:
    evaluations = synthetic_evaluations(8, 2)
    evaluations = shifted(evaluations, "facet/skin_ld/max_disparity_at_1", [0.1 + 0.0001 * row for row in range(8)])
    comparison = compare(evaluations)
    small = sum(cell.result.p < 0.05 for cell in comparison.cells if cell.family == "tables 1 and 2")  # type: ignore[union-attr]
    sentence = sentence_on_tests(comparison)
    assert sentence.startswith(f"Of the 22 paired t-tests of Tables 1 and 2, {small} ha")
    assert "chance alone gives 1.1 on average" in sentence
    assert sentence.endswith("after Holm's correction over the 36 tests of the secondary family 1 remains.")


def test_two_models_have_no_tests_and_the_sentence_says_why() -> None:
    sentence = sentence_on_tests(compare(synthetic_evaluations(2, 3)))
    assert "a t-test across models needs at least three models, and this comparison has 2" in sentence


def test_the_largest_change_of_one_model_is_named() -> None:
    metric = "facet/age_mo/max_disparity_at_5"
    comparison = compare(shifted(synthetic_evaluations(4, 2), metric, [0.0, -0.55, 0.01, 0.02]))
    sentence = limits_sentence(comparison)
    assert sentence.startswith("A large p-value is not evidence of no change: the 95 % intervals for FACET reach up to ")
    assert "disparity changed by up to −.550 (toy-s8-balanced in bnb-int8, FACET Age (MO) Max Disp@5 from" in sentence
    assert sentence.endswith("review required.")


def test_without_facet_the_skew_is_spoken_of() -> None:
    assert "skew changed by up to" in limits_sentence(compare(only(synthetic_evaluations(4, 2), "fairface")))


@pytest.mark.parametrize("benchmarks", [("imagenet",), ("coco",), ("facet",), ("fairface",)])
def test_each_benchmark_alone_has_its_sentences(benchmarks: tuple[str, ...]) -> None:
    summary = summary_of(compare(only(synthetic_evaluations(3, 2), *benchmarks)))
    assert len(summary.sentences) == 3
    assert sum("was not measured" in line for line in summary.missing) == 3
    assert all(sentence.endswith(".") for sentence in summary.sentences)


def test_nothing_measured_is_no_evidence() -> None:
    assert "there is no evidence at all" in limits_sentence(compare(only(synthetic_evaluations(3, 2), "imagenet")))
    assert "nothing is said about disparity" in sentence_on_tests(compare(only(synthetic_evaluations(3, 2), "imagenet")))


def test_a_missing_pair_and_a_refused_one_are_told_apart() -> None:
    evaluations = synthetic_evaluations(3, 3)
    del evaluations[2]
    evaluations = changed(evaluations, 3, machine={"threads": "9"})
    missing = summary_of(compare(evaluations)).missing
    assert "toy-s16-balanced has no pair in bnb-nf4." in missing
    assert sum("toy-s8-balanced" in line for line in missing) == 1
    assert any("machine: threads (2 / 9)" in line for line in missing)


def test_image_counts_that_differ_are_a_range() -> None:
    evaluations = synthetic_evaluations(2, 2)
    for row in (0, 1):
        frame = evaluations[row].outcomes["coco"].frames["images"].head(10)
        evaluations[row] = with_outcomes(evaluations[row], "coco", frames={**evaluations[row].outcomes["coco"].frames, "images": frame})
    assert "COCO 10 to 40" in dict(summary_of(compare(evaluations)).facts)["Images"]


@pytest.mark.parametrize(("models", "quantizers"), [(0, 5), (1, 2), (2, 5), (8, 5)])
def test_the_words_are_careful(models: int, quantizers: int) -> None:
    text = markdown_of(compare(synthetic_evaluations(models, quantizers)))
    assert not FORBIDDEN.search(text)
    assert "review required" in text
    assert "not evidence of no change" in text
    assert "No correction for multiple testing is applied in Tables 1 and 2" in text


def test_the_markdown_escapes_names() -> None:
    evaluations = [replace(row, model="a|b*<img src=x>[x](y)") for row in synthetic_evaluations(1, 2)]
    text = markdown_of(compare(evaluations))
    assert "<img" not in text
    assert r"a\|b\*&lt;img src=x&gt;\[x\](y)" in text


def test_no_change_at_all_is_told_as_such() -> None:
    found = synthetic_evaluations(3, 2)
    baselines = {row.model: row for row in found if row.version == row.baseline_version}
    same = [replace(row, metrics=baselines[row.model].metrics, outcomes=baselines[row.model].outcomes) for row in found]
    sentence = limits_sentence(compare(same))
    assert "no disparity or skew of any model changed on these images" in sentence
    assert sentence.endswith("review required.")


def verdicts(*names: str, shifted_one: bool = False) -> Evidence:
    """Evidence with one primary cell of each verdict."""
    comparison = compare(synthetic_evaluations(4, 2))
    template = next(cell for cell in evidence_of(comparison).cells if cell.role == "primary" and cell.companions)
    cells = tuple(
        replace(template, metric=f"facet/slice-{place}/macro_gap_at_1", verdict=Verdict(name, shifted_one, "because"))  # type: ignore[arg-type]
        for place, name in enumerate(names)
    )
    return replace(evidence_of(comparison), cells=cells)


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (
            ["worse", "equivalent"],
            ["1 changed in the direction that hurts (FACET slice-0 macro gap@1 in", "1 changed by less than its margin"],
        ),
        (["better"], ["none was shown to have changed in the direction that hurts; 1 changed in the direction that does not hurt"]),
        (["changed"], ["1 changed where no direction is better"]),
        (["equivalent"] * 3, ["3 changed by less than their margin; 0 give no evidence either way."]),
        (["inconclusive"], ["none changed by less than their margin; 1 gives no evidence either way."]),
        (["insufficient", "inconclusive"], ["1 could not be tested."]),
        (["worse"] * 5, ["and 2 more)"]),
    ],
)
def test_the_first_sentence_counts_the_verdicts(names: list[str], says: list[str]) -> None:
    sentence = sentence_on_endpoints(verdicts(*names))
    assert all(part in sentence for part in says), sentence
    assert not FORBIDDEN.search(sentence)


def test_a_shift_within_the_margin_is_told() -> None:
    assert "(1 of them shifted: away from 0 all the same)" in sentence_on_endpoints(verdicts("equivalent", shifted_one=True))


def test_without_endpoints_the_sentence_says_so() -> None:
    assert sentence_on_endpoints(without_statistics()).startswith("No primary endpoint was declared")


def test_counts_add_up_to_the_cells() -> None:
    evidence = evidence_of(compare(synthetic_evaluations(4, 3)))
    counts = dict(summarize(compare(synthetic_evaluations(4, 3)), evidence).counts)
    assert {role: sum(found.values()) for role, found in counts.items()} == {
        role: sum(cell.role == role for cell in evidence.cells) for role in ("primary", "secondary")
    }


def test_notes_and_endpoints_without_a_test_are_missing() -> None:
    missing = summary_of(compare(synthetic_evaluations(4, 2))).missing
    assert "The primary endpoint facet/accuracy_at_1 has no test." in missing
    assert missing[-1].startswith("The fp32 versions have no second evaluation")


def test_the_note_holds_counts_and_primary_endpoints() -> None:
    text = markdown_of(compare(synthetic_evaluations(8, 3)))
    assert "| cells | changed, worse | changed, better | changed | within the margin | no evidence either way | no test |" in text
    assert "| ImageNet zero-shot accuracy@1 | bnb-int8 |" in text
    assert "Holm p (12 tests)" in text
    assert len(text) <= LONGEST


@pytest.mark.parametrize("length", [20, 120, 250])
def test_the_note_fits_into_a_tag_however_long_the_names(length: int) -> None:
    evaluations = [replace(row, model=row.model + "*" * length) for row in synthetic_evaluations(9, 5)]
    evaluations[1] = replace(evaluations[1], machine={str(n): "_" * 300 for n in range(20)})
    text = markdown_of(compare(evaluations))
    assert len(text) <= LONGEST < 8000, "what a tag of a run holds"
    assert "### Primary endpoints" in text or length > 20
