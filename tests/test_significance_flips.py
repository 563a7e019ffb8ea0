"""McNemar and Wilson against scipy, statsmodels and hand arithmetic, and where there is nothing to count."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar as reference_mcnemar
from statsmodels.stats.proportion import proportion_confint

from qbias.significance.flips import mcnemar, wilson


@pytest.mark.parametrize(("gained", "lost"), [(1, 0), (0, 5), (3, 3), (7, 2), (40, 60), (500, 421)])
def test_mcnemar_against_scipy_and_statsmodels(gained: int, lost: int) -> None:
    before_N = [0] * gained + [1] * lost + [1] * 4 + [0] * 6
    after_N = [1] * gained + [0] * lost + [1] * 4 + [0] * 6
    found = mcnemar(before_N, after_N)
    assert (found.gained, found.lost, found.n, found.images) == (gained, lost, gained + lost, gained + lost + 10)
    assert found.p == pytest.approx(stats.binomtest(gained, gained + lost).pvalue)
    assert found.p == pytest.approx(reference_mcnemar([[4, lost], [gained, 6]], exact=True).pvalue)


@pytest.mark.parametrize("outcomes", [[], [1, 0, 1], [0]])
def test_no_discordant_image_gives_one(outcomes: list[int]) -> None:
    found = mcnemar(outcomes, outcomes)
    assert (found.p, found.n, found.images) == (1.0, 0, len(outcomes))


def test_the_sides_can_be_changed() -> None:
    random = np.random.default_rng(0)
    before_N, after_N = random.random((2, 200)) < 0.6
    there, back = mcnemar(before_N, after_N), mcnemar(after_N, before_N)
    assert (there.gained, there.lost, there.p) == (back.lost, back.gained, back.p)


def test_sides_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(2,\) and \(3,\)"):
        mcnemar([1, 0], [1, 0, 1])


@pytest.mark.parametrize(("count", "n"), [(0, 1), (1, 1), (0, 30), (30, 30), (3, 40), (1000, 21000)])
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_wilson_against_statsmodels(count: int, n: int, confidence: float) -> None:
    expected = proportion_confint(count, n, alpha=1 - confidence, method="wilson")
    assert wilson(count, n, confidence=confidence) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("count", "n", "confidence"), [(0, 0, 0.95), (3, 2, 0.95), (-1, 2, 0.95), (1, 2, 1.0)])
def test_a_share_of_nothing_is_refused(count: int, n: int, confidence: float) -> None:
    with pytest.raises(ValueError, match="n is at least 1"):
        wilson(count, n, confidence=confidence)
