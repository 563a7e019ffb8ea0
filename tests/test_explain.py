"""A policy in plain words: what it asks, how likely it is to pass when nothing changed, and what it would take."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from registry.cards import VersionCard
from registry.explain import explain_text, explanation
from registry.planning import Noise, flip_noise
from registry.policies import policies
from registry.policy import Policy, load_policy, policy_from
from registry.prospects import draws_needed, prospects
from registry.subjects import Subject
from tests.conftest import Toy
from tests.evidence_builder import register

PROJECT = Path(__file__).resolve().parent.parent
IMAGES = {"imagenet": 50_000, "coco": 5_000, "facet": 21_000, "fairface": 10_954}
LOAD = "import sys; from registry.policy import load_policy; from registry.explain import explain_text; "


def policy(*rules: dict[str, Any], **planning: Any) -> Policy:
    raw = load_policy().model_dump(mode="json")
    filled = [{"name": f"rule {place}", "kind": "equivalence", "why": "a test says so"} | row for place, row in enumerate(rules)]
    return policy_from(raw | {"rules": filled, "planning": {"images": IMAGES, "why": "published sizes."} | planning})


ACCURACY = {"kind": "non-inferiority", "metric": "imagenet/accuracy_at_1", "margin": 0.01}
GAPS = {"metric": "facet/*/macro_gap_at_1", "margin": 0.05}
CLASSES = {"metric": "facet/gender_mf/gap_at_1", "each": "class", "margin": 0.02}
FLOOR = {"kind": "floor", "metric": "imagenet/accuracy_at_1", "limit": 0.5}


def shares(size: int) -> Noise:
    return flip_noise([size], [[1 / size]], churn=0.05, smoothing=0.5)


def test_a_rule_with_room_passes_and_is_not_warned_about() -> None:
    text = explain_text(policy(ACCURACY, GAPS))
    assert "non-inferiority. Passes if the 0.95 interval of the change of imagenet/accuracy_at_1 stays above -0.01 (a rise is no" in text
    assert "imagenet/accuracy_at_1: interval -+0.002, passes with over 99.9 %; 80 % takes 3,938 images (here 50,000)" in text
    assert "Passes if the 0.95 interval of the change of facet/*/macro_gap_at_1 lies between -0.05 and +0.05" in text
    assert text.count("macro_gap_at_1: interval") == 4
    assert "yet 5 % of the hits differ" in text
    assert "published sizes." in text
    assert "a test says so" in text
    assert "WARNING" not in text


def test_a_margin_of_two_points_at_25_persons_a_group_is_warned_about() -> None:
    text = explain_text(policy(ACCURACY, CLASSES))
    line = next(row for row in text.splitlines() if "facet/gender_mf/gap_at_1 (52 classes)" in row)
    assert "passes with under 0.1 %" in line
    assert "persons in the smallest group of a class (here 25)" in line
    assert text.count("WARNING: below 50 %") == 2
    assert "this rule mostly ends in `review`" in text
    assert "this policy mostly ends in `review`" in text
    assert "Passes if the interval of every class in the 0.95 band" in text


def test_sizes_that_are_needed_are_enough() -> None:
    (row,) = prospects(policy(CLASSES), _gap_subjects(25)).rows
    assert row.probability == 0
    assert row.needed is not None
    (enough,) = prospects(policy(CLASSES), _gap_subjects(row.needed)).rows
    (short,) = prospects(policy(CLASSES), _gap_subjects(row.needed * 3 // 4)).rows
    assert short.probability < 0.8 <= enough.probability + 0.01


def _gap_subjects(persons: int) -> list[Subject]:
    weight_TS = np.kron(np.eye(52), [[1 / persons, -1 / persons]])
    noise = flip_noise(np.full(104, persons), weight_TS, churn=0.05, smoothing=0.25)
    return [Subject("facet/gender_mf/gap_at_1", "class", noise, persons, "persons in the smallest group of a class")]


def test_rules_are_taken_together_with_the_bounds_of_any_dependence() -> None:
    found = prospects(policy(ACCURACY | {"margin": 0.02}, GAPS), [
        Subject("imagenet/accuracy_at_1", None, shares(1000), 1000, "images"),
        Subject("facet/age_my/macro_gap_at_1", None, shares(300), 300, "persons"),
    ])  # fmt: skip
    first, second = (row.probability for row in found.rows)
    assert 0.3 < first < 0.95
    assert 0.3 < second < 0.97
    assert found.together() == pytest.approx((first * second, max(0, first + second - 1), min(first, second)))
    assert found.together("rule 1") == pytest.approx((second, second, second))


def test_floors_are_explained_without_a_probability() -> None:
    text = explain_text(policy(ACCURACY, FLOOR))
    assert "floor. The candidate's own imagenet/accuracy_at_1 is at least 0.5; nothing is inferred: met passes, else it blocks." in text
    assert "Floors and ceilings are not in it: rule 1" in text


def test_what_has_no_known_size_is_said_and_left_out() -> None:
    text = explain_text(policy(ACCURACY, GAPS, images={"imagenet": 50_000}))
    assert "facet/*/macro_gap_at_1: no sizes are known" in text
    assert "Nor are rules whose sizes are not known: rule 1." in text
    silent = policy(ACCURACY).model_copy(update={"planning": None})
    assert "has no planning" in explain_text(silent)
    assert "All rules together" not in explain_text(silent)


def test_without_rules_a_person_always_looks() -> None:
    assert "the gate never says pass: a person has to look every time" in explain_text(policy())


def test_many_metrics_of_one_rule_are_cut_short_with_the_least_likely_first() -> None:
    sizes = {f"class-{number}": 50 + number for number in range(30)}
    subjects = [Subject(f"facet/gender_mf/{name}/gap_at_1", None, shares(size), size, "persons") for name, size in sizes.items()]
    rules = policy({"metric": "facet/gender_mf/*/gap_at_1", "margin": 0.1})
    text = explanation(rules, prospects(rules, subjects), churn=0.05, sizes="")
    listed = [row.split("/")[2] for row in text.splitlines() if row.startswith("   facet/")]
    assert listed == [f"class-{number}" for number in range(8)]
    assert "and 22 more, each at least as likely to pass" in text


def test_mean_skew_says_how_it_was_worked_out() -> None:
    skew = policy({"metric": "fairface/gender/mean_skew_at_*", "each": "group", "margin": 0.05}, prompts=12)
    assert draws_needed(skew)
    assert not draws_needed(policy(ACCURACY, FLOOR))
    text = explain_text(skew)
    assert "Mean skew has no formula: a pair of score tables was drawn" in text
    assert "fairface/gender/mean_skew_at_1000 (2 groups): widest interval -+" in text
    assert "if every prompt gave one list)" in text


def test_groups_that_the_planning_cannot_know_are_named() -> None:
    rule = {"kind": "non-inferiority", "metric": "facet/*/accuracy_at_1", "each": "group", "margin": 0.05}
    assert "Groups by skin tone are not in it" in explain_text(policy(rule))
    assert "Groups by skin tone" not in explain_text(policy(ACCURACY))


@pytest.mark.parametrize("name", sorted(policies()))
def test_every_shipped_policy_is_explained(name: str) -> None:
    given = policies()[name]
    text = explain_text(given)
    assert all(f"{number}. {rule.name}: " in text for number, rule in enumerate(given.rules, 1))
    assert given.digest() in text


def test_no_store_is_asked_and_mlflow_not_even_imported_without_a_model(tmp_path: Path) -> None:
    code = LOAD + "print(explain_text(load_policy())[:6]); print([name for name in ('mlflow', 'torch') if name in sys.modules])"
    nowhere = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9", "PATH": os.environ["PATH"], "PYTHONPATH": str(PROJECT)}
    shown = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=nowhere, capture_output=True, text=True, check=True)
    assert shown.stdout.split("\n")[:2] == ["Policy", "[]"]
    assert list(tmp_path.iterdir()) == []


def test_with_a_model_its_own_evaluation_gives_the_sizes_and_attempts_are_counted(toy: Toy) -> None:
    text = explain_text(policy(ACCURACY | {"margin": 0.3}), card=toy.candidate)
    assert f"Sizes are those of {toy.candidate.uri}, evaluated by run {toy.runs['candidate']}" in text
    assert "(here 8)" in text
    assert "Attempts: 1 candidate of toy evaluated beside baseline version 1" in text
    assert "Attempts" not in explain_text(policy(ACCURACY), card=toy.baseline)


def test_what_has_no_value_on_the_models_images_can_never_pass(toy: Toy) -> None:
    text = explain_text(policy(ACCURACY | {"metric": "coco/*_at_10", "margin": 0.3}), card=toy.candidate)
    assert "coco/image_retrieval_recall_at_10: blocks every candidate, since it has no value here (k=10 takes all 8 images" in text
    assert "WARNING: on these images this rule cannot pass." in text
    assert "pass with under 0.1 %" in text
    assert "WARNING: what has no value on these images blocks every candidate" in text


def test_a_version_that_was_not_evaluated_falls_back_to_the_planning(toy: Toy) -> None:
    cards: list[VersionCard] = register("other")
    text = explain_text(policy(ACCURACY), card=cards[1])
    assert "(here 50,000)" in text
    assert f"Not its own sizes: {cards[1].uri}: it has no finished evaluation" in text
    assert "Attempts: 0 candidates of other" in text


def test_benchmarks_that_the_policy_does_not_require_have_no_say(toy: Toy) -> None:
    only = policy(ACCURACY, {"metric": "*/gender_mf/macro_gap_at_1", "margin": 0.5})
    fewer = only.model_copy(update={"benchmarks": tuple(row for row in only.benchmarks if row.name != "facet")})
    assert "facet/gender_mf/macro_gap_at_1" in explain_text(only, card=toy.candidate)
    assert "facet/gender_mf/macro_gap_at_1" not in explain_text(fewer, card=toy.candidate)
