"""The drawn pair behind the planning of mean skew: it differs by what it is asked to, and foretells what the gate's statistics say."""

import dataclasses

import numpy as np
import pytest

from qbias.pairwise.skew import searches, skew_changes
from qbias.prepared import Prepared
from qbias.records import Outcomes
from qbias.significance import AnalysisPlan
from qbias.significance.skew_resampling import best_first
from registry.drawn_searches import SkewNoise, drawn_outcomes, noisy_pair, one_list_error, skew_noises, turnover
from registry.planning import half_widths, pass_probability
from tests.pairs import paired, searched

SIZES = {"gender": {"Male": 53, "Female": 47}, "race": {"a": 40, "b": 30, "c": 18, "d": 12}}
PLAN = AnalysisPlan(endpoints=(), margins=(), draws=200)
WORLDS = 60


def small(*, seed_rows: int = 0, correlation: float = 0.8, prompts: int = 24, images: int = 1000, k: int = 100) -> Outcomes:
    return drawn_outcomes("faces", SIZES, images=images, prompts=prompts, k=k, correlation=correlation, seed=20240611 + seed_rows)


def by_attribute(found: list[SkewNoise]) -> dict[str, SkewNoise]:
    return {row.attribute: row for row in found}


@pytest.mark.parametrize("churn", [0.02, 0.05, 0.2])
def test_the_lists_differ_by_the_churn(churn: float) -> None:
    lists = [best_first(Prepared(side).score_NP)[:, :100] for side in noisy_pair(small(), churn=churn)]
    assert turnover(*lists) == pytest.approx(churn, rel=0.2)


def test_groups_have_the_shares_asked_for() -> None:
    (search,) = searches(small())
    race = next(row for row in search.attributes if row.name == "race")
    assert race.groups == ("a", "b", "c", "d")
    assert np.bincount(race.code_N).tolist() == [400, 300, 180, 120]


def test_prompts_correlate_as_asked() -> None:
    score_NP = Prepared(small(correlation=0.7, images=4000)).score_NP
    correlations = np.corrcoef(score_NP.T)[np.triu_indices(score_NP.shape[1], 1)]
    assert correlations.mean() == pytest.approx(0.7, abs=0.05)


def test_alike_prompts_widen_the_interval_up_to_that_of_one_list() -> None:
    errors = []
    for correlation in (0.0, 0.8, 1.0):
        found = by_attribute(list(skew_noises(small(correlation=correlation), churn=0.1)))
        errors.append(float(found["gender"].noise.error_T[1]))
    most = one_list_error(0.47, k=100, churn=0.1)
    assert errors[0] < errors[1] < errors[2]
    assert errors[2] == pytest.approx(most, rel=0.25)


def test_more_prompts_narrow_the_interval() -> None:
    few, many = (by_attribute(list(skew_noises(small(prompts=prompts), churn=0.1)))["race"].noise.error_T for prompts in (6, 60))
    assert (many < few).all()


def test_the_drawn_pair_foretells_what_the_statistics_say_of_new_images_and_prompts() -> None:
    planned = by_attribute(list(skew_noises(small(), churn=0.1)))
    margins = {"gender": 0.065, "race": 0.17}
    passed: dict[str, list[bool]] = {name: [] for name in margins}
    halves: dict[str, list[float]] = {name: [] for name in margins}
    for world in range(1, WORLDS + 1):
        first, second = noisy_pair(small(seed_rows=world), churn=0.1, seed=world)
        for band in skew_changes(paired(first, second), "faces", PLAN).bands:
            inside = [-margins[band.slice_] <= row.low and row.high <= margins[band.slice_] for row in band.entries]
            passed[band.slice_].append(all(inside))
            halves[band.slice_].append(max(row.high - row.low for row in band.entries) / 2)
    for name, margin in margins.items():
        predicted = pass_probability(planned[name].noise, margin=margin, level=0.95, both_sides=True)
        assert float(np.mean(halves[name])) == pytest.approx(float(half_widths(planned[name].noise, 0.95).max()), rel=0.25)
        # One drawn pair knows the width to some 15 %, which near a margin moves the probability by much.
        assert 0.3 < predicted < 0.98
        assert float(np.mean(passed[name])) == pytest.approx(predicted, abs=0.25)


def test_stored_scores_are_used_as_they_are() -> None:
    outcomes = searched()
    found = by_attribute(list(skew_noises(outcomes, churn=0.1)))
    assert found["gender"].groups == ("female", "male")
    assert found["gender"].size_G == (30, 60)
    assert found["age"].k == 30
    assert all((row.noise.error_T > 0).all() for row in found.values())


def test_an_attribute_that_some_images_lack_is_searched_among_the_others() -> None:
    outcomes = searched(gender=np.resize(["Male", "Female", ""], 90))
    found = by_attribute(list(skew_noises(outcomes, churn=0.1)))
    assert found["gender"].size_G == (30, 30)
    assert sum(found["age"].size_G) == 90


def test_the_same_question_has_the_same_answer() -> None:
    once, again = (by_attribute(list(skew_noises(small(), churn=0.05)))["race"].noise.variance_T for _ in range(2))
    assert (once == again).all()


def test_nothing_can_be_said_where_the_list_takes_all_images() -> None:
    outcomes = small(images=100, k=50)
    assert list(skew_noises(dataclasses.replace(outcomes, facts={**outcomes.facts, "k": 100}), churn=0.05)) == []
