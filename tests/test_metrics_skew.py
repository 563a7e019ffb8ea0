"""Skew and NDKL: by hand, against a plain pandas version of the published code, and at the edges."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qbias.metrics.skew import max_skew, min_skew, ndkl, skews, top_images
from tests.golden.make_metrics import read_golden, skew_inputs
from tests.golden.skew_reference import reference_skews

GOLDEN = read_golden()["skew"]


def test_by_hand() -> None:
    # 10 images: 4 a, 5 b, 1 c. The best four are a, b, a, a.
    group = list("aaaabbbbbc")
    score = [0.9, 0.7, 0.6, 0.0, 0.8, 0.5, 0.4, 0.3, 0.2, 0.1]
    found = skews(group, np.array(score)[:, None], k=4)
    assert found.groups == ("a", "b", "c")
    assert found.count_PG.tolist() == [[3, 1, 0]]
    # Shares of the top four: 3/4, 1/4, and 1/4 for the absent c (the floor 1/k). Of all: .4, .5, .1.
    expected = [math.log(0.75 / 0.4), math.log(0.25 / 0.5), math.log(0.25 / 0.1)]
    assert found.skew_PG[0].tolist() == pytest.approx(expected, abs=1e-12)
    assert found.floored == 1
    assert max_skew(group, score, k=4) == pytest.approx(math.log(2.5))
    assert min_skew(group, score, k=4) == pytest.approx(math.log(0.5))
    # Uniform: each should have a third.
    assert max_skew(group, score, k=4, desired="uniform") == pytest.approx(math.log(0.75 * 3))
    # NDKL of the first two ranks, a then b: KL([1,0,0]) = ln(1/.4), KL([.5,.5,0]) = .5 ln(.5/.4) + .5 ln(.5/.5), weights 1 and 1/log2(3).
    weights = (1.0, 1 / math.log2(3))
    by_hand = (weights[0] * math.log(1 / 0.4) + weights[1] * 0.5 * math.log(0.5 / 0.4)) / sum(weights)
    assert ndkl(group, score, k=2) == pytest.approx(by_hand, abs=1e-12)


def test_the_whole_set_has_no_skew() -> None:
    group, score = list("aab"), [0.3, 0.2, 0.1]
    assert max_skew(group, score, k=3) == pytest.approx(0, abs=1e-15)
    assert min_skew(group, score, k=3) == pytest.approx(0, abs=1e-15)


def test_ties_at_the_cut_keep_exactly_k_and_the_lower_index() -> None:
    score_NP = np.array([[0.5], [0.9], [0.5], [0.5], [0.1]], dtype=np.float32)
    assert top_images(score_NP, k=3).tolist() == [[1, 0, 2]]
    assert skews(list("abaab"), score_NP, k=3).count_PG.sum() == 3


@settings(max_examples=60)
@given(column=st.lists(st.sampled_from([-0.5, -0.0, 0.0, 0.5]), min_size=1, max_size=8), data=st.data())
def test_top_images_are_the_stable_sort(column: list[float], data: st.DataObject) -> None:
    k = data.draw(st.integers(1, len(column)))
    expected = sorted(range(len(column)), key=lambda i: (-column[i], i))[:k]
    assert top_images(np.array(column)[:, None], k=k).tolist() == [expected]


@pytest.mark.parametrize("desired", ["dataset", "uniform"])
def test_equals_the_pandas_version(desired: str) -> None:
    group, score_NP = skew_inputs()
    found = skews(group, score_NP, k=100, desired=desired)  # type: ignore[arg-type]
    expected = GOLDEN[desired]
    assert found.max_P.tolist() == pytest.approx(expected["max_P"], abs=1e-12)
    assert found.min_P.tolist() == pytest.approx(expected["min_P"], abs=1e-12)
    assert found.ndkl_P.tolist() == pytest.approx(expected["ndkl_P"], abs=1e-9)
    assert found.floored == expected["floored"] > 0


def test_the_pandas_version_runs_here_too() -> None:
    group, score_NP = skew_inputs()
    again = reference_skews(group, score_NP[:, :2], k=100, desired="dataset")
    assert again["max_P"] == pytest.approx(GOLDEN["dataset"]["max_P"][:2], abs=1e-12)


@pytest.mark.parametrize("k", [0, 4, -1])
def test_k_outside_the_set_is_refused(k: int) -> None:
    with pytest.raises(ValueError, match=f"k={k}"):
        skews(list("abc"), np.ones((3, 1)), k=k)


def test_other_mistakes_are_refused() -> None:
    with pytest.raises(ValueError, match="image 1 has no group"):
        skews(["a", "", "b"], np.ones((3, 1)), k=1)
    with pytest.raises(ValueError, match="desired='equal'"):
        skews(list("abc"), np.ones((3, 1)), k=1, desired="equal")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="image 2 has a score that is NaN"):
        skews(list("abc"), np.array([[1.0], [2.0], [np.nan]]), k=1)


def test_largest_possible_skew_is_that_of_the_rarest_group() -> None:
    # FairFace's counts: ln(10954 / 5162), ln(10954 / 1209), ln(10954 / 1235).
    for counts, expected in (((5792, 5162), 0.752), ((2085, 1623, 1556, 1550, 1516, 1415, 1209), 2.204), ((2736, 6983, 1235), 2.183)):
        group = np.repeat([str(number) for number in range(len(counts))], counts)
        assert max_skew(group.astype(object), np.arange(len(group)), k=1000) == pytest.approx(expected, abs=5e-4)


def test_random_scores_give_the_figures_of_random_retrieval() -> None:
    """600 random rankings of FairFace's counts; the figures of the protocol within five standard errors of a mean."""
    races = (2085, 1623, 1556, 1550, 1516, 1415, 1209)
    figures = {(5792, 5162): (0.024, -0.025), races: (0.104, -0.115), (2736, 6983, 1235): (0.053, -0.058)}
    score_NP = np.random.default_rng(11).standard_normal((10_954, 600)).astype(np.float32)
    top_PK = top_images(score_NP, k=1000)
    for counts, (maximum, minimum) in figures.items():
        group = np.repeat([str(number) for number in range(len(counts))], counts).astype(object)
        found = skews(group, score_NP, k=1000, top_PK=top_PK)
        for values, figure in ((found.max_P, maximum), (found.min_P, minimum)):
            assert values.mean() == pytest.approx(figure, abs=5 * values.std() / 600**0.5 + 5e-4)
