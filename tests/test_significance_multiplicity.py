"""Holm and Benjamini-Hochberg against hand arithmetic, statsmodels and R, the declared family, and what Holm's first step needs."""

import gc
from collections.abc import Iterator

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from qbias.significance import corrected, first_step
from tests.golden.significance_r import R


@pytest.fixture(scope="module", autouse=True)
def _only_what_is_new_is_garbage() -> Iterator[None]:
    """Statsmodels collects garbage at every call, which takes seconds where other tests left much to look at."""
    gc.freeze()
    yield
    gc.unfreeze()


def test_against_hand_arithmetic() -> None:
    # Holm, m = 4: 4 x .01, max(3 x .02), max(2 x .03), 1 x .04 -> .04 .06 .06 .06. BH: .04 for all: 4 x .01 / 1, 4 x .02 / 2, ...
    found = corrected({"d": 0.04, "a": 0.01, "c": 0.03, "b": 0.02}, family="four")
    assert [found[name].holm for name in "abcd"] == pytest.approx([0.04, 0.06, 0.06, 0.06])
    assert [found[name].bh for name in "abcd"] == pytest.approx([0.04] * 4)
    assert list(found) == ["d", "a", "c", "b"]
    assert {(row.family, row.size) for row in found.values()} == {("four", 4)}


@pytest.mark.parametrize("seed", range(40))
def test_against_statsmodels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    # Two decimals on half of the cases: ties, zeros and ones occur.
    p_values = np.round(rng.random(rng.integers(1, 21)), 2 if seed % 2 else 12).tolist()
    undone = int(rng.integers(0, 31))
    found = corrected({str(row): p for row, p in enumerate(p_values)}, family="f", size=len(p_values) + undone)
    padded = np.array([*p_values, *[1.0] * undone])
    for method, name in (("holm", "holm"), ("fdr_bh", "bh")):
        expected = multipletests(padded, method=method)[1][: len(p_values)]
        assert [getattr(row, name) for row in found.values()] == pytest.approx(expected.tolist())


@pytest.mark.parametrize(("size", "end"), [(None, ""), (R["adjusted"]["size"], f"_of_{R['adjusted']['size']}")])
def test_against_r(size: int | None, end: str) -> None:
    golden = R["adjusted"]
    found = corrected({str(place): p for place, p in enumerate(golden["p"])}, family="f", size=size)
    assert [row.holm for row in found.values()] == pytest.approx(golden[f"holm{end}"])
    assert [row.bh for row in found.values()] == pytest.approx(golden[f"bh{end}"])


def test_a_test_that_could_not_be_made_still_counts() -> None:
    alone, declared = corrected({"a": 0.02}, family="f")["a"], corrected({"a": 0.02}, family="f", size=5)["a"]
    assert (alone.holm, alone.bh, alone.size) == (0.02, 0.02, 1)
    assert (declared.holm, declared.bh) == pytest.approx((0.1, 0.1))
    assert declared.size == 5


def test_no_tests_give_no_corrections() -> None:
    assert corrected({}, family="f", size=3) == {}


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
def test_what_is_no_p_value_is_refused(p: float) -> None:
    with pytest.raises(ValueError, match="outside 0 to 1"):
        corrected({"a": p}, family="f")


def test_a_family_smaller_than_its_tests_is_refused() -> None:
    with pytest.raises(ValueError, match="size=1 is below the 2"):
        corrected({"a": 0.1, "b": 0.2}, family="f", size=1)


def test_the_first_step_of_the_paper() -> None:
    step = first_step(66, df=7)
    assert round(step.t, 2) == 5.67
    assert 2 * stats.t.sf(step.t, 7) == pytest.approx(0.05 / 66)
    assert step.smallest_exact_p == pytest.approx(stats.binomtest(8, 8).pvalue)
    assert "could not pass" in step.note
    assert "|t| of at least 5.67" in step.note


def test_with_enough_models_an_exact_test_could_pass() -> None:
    assert "so could pass" in first_step(66, df=15).note


@pytest.mark.parametrize("arguments", [{"size": 0, "df": 7}, {"size": 6, "df": 0}, {"size": 6, "df": 7, "alpha": 1.0}])
def test_arguments_outside_their_range_are_refused(arguments: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        first_step(**arguments)  # type: ignore[arg-type]
