"""The sentences of the first screen: computed from the data, careful in their words, and right about what is missing."""

import re
from dataclasses import replace

import pytest

from qbias.comparison import compare
from qbias.records import Evaluation
from qbias.report.summary import limits_sentence, quality_sentence, sentence_on_tests, summarize, summary_markdown
from tests.synthetic import changed, synthetic_evaluations, with_outcomes

FORBIDDEN = re.compile(r"unbiased|debiased|fair model|no bias|is fair", re.IGNORECASE)


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
    assert sentence.endswith("after Holm's correction over 22 tests 1 remains.")


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
    summary = summarize(compare(only(synthetic_evaluations(3, 2), *benchmarks)))
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
    missing = summarize(compare(evaluations)).missing
    assert "toy-s16-balanced has no pair in bnb-nf4." in missing
    assert sum("toy-s8-balanced" in line for line in missing) == 1
    assert any("machine: threads (2 / 9)" in line for line in missing)


def test_image_counts_that_differ_are_a_range() -> None:
    evaluations = synthetic_evaluations(2, 2)
    for row in (0, 1):
        frame = evaluations[row].outcomes["coco"].frames["images"].head(10)
        evaluations[row] = with_outcomes(evaluations[row], "coco", frames={**evaluations[row].outcomes["coco"].frames, "images": frame})
    assert "COCO 10 to 40" in dict(summarize(compare(evaluations)).facts)["Images"]


@pytest.mark.parametrize(("models", "quantizers"), [(0, 5), (1, 2), (2, 5), (8, 5)])
def test_the_words_are_careful(models: int, quantizers: int) -> None:
    text = summary_markdown(compare(synthetic_evaluations(models, quantizers)))
    assert not FORBIDDEN.search(text)
    assert "review required" in text
    assert "not evidence of no change" in text
    assert "No correction for multiple testing is applied in Tables 1 and 2" in text


def test_the_markdown_escapes_names() -> None:
    evaluations = [replace(row, model="a|b*<img src=x>[x](y)") for row in synthetic_evaluations(1, 2)]
    text = summary_markdown(compare(evaluations))
    assert "<img" not in text
    assert r"a\|b\*&lt;img src=x&gt;\[x\](y)" in text


def test_no_change_at_all_is_told_as_such() -> None:
    found = synthetic_evaluations(3, 2)
    baselines = {row.model: row for row in found if row.version == row.baseline_version}
    same = [replace(row, metrics=baselines[row.model].metrics, outcomes=baselines[row.model].outcomes) for row in found]
    sentence = limits_sentence(compare(same))
    assert "no disparity or skew of any model changed on these images" in sentence
    assert sentence.endswith("review required.")
