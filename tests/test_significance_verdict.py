"""Every row of the rule table, its order, its borders, and what the sentences say."""

import re
from dataclasses import replace

import pytest

from qbias.records import Harm, Insufficient
from qbias.significance.composite import LargestChange, largest_change
from qbias.significance.equivalence import equivalence
from qbias.significance.multiplicity import Corrected
from qbias.significance.paired import PairedTest
from qbias.significance.records import Verdict
from qbias.significance.verdict import verdict
from tests.golden.significance_r import paired_test

UP = paired_test([0.04, 0.05, 0.06, 0.05])
DOWN = paired_test([-0.04, -0.05, -0.06, -0.05])
UNSURE = paired_test([0.04, -0.05, 0.06, -0.03])
STILL = paired_test([0.0] * 8)


def judged(test: PairedTest, *, holm: float | None = None, harm: Harm = "higher", margin: float | None = None) -> Verdict:
    """The verdict with a Holm-corrected p, by default the test's own p in a family of one."""
    corrected = Corrected(test.p, test.p if holm is None else holm, test.p, "primary", 6)
    found = None if margin is None else equivalence(test, margin=margin, harm=harm)
    return verdict(test, harm=harm, corrected=corrected, equivalence=found)


def test_insufficient_says_which_count_fell_short() -> None:
    short = Insufficient("gap", "a t-test across models needs at least three models", {"models": 2, "needed": 3})
    found = verdict(short, harm="higher", corrected=None, equivalence=None)
    assert found == Verdict("insufficient", False, "A t-test across models needs at least three models (models: 2, needed: 3).")
    assert verdict(Insufficient("gap", ""), harm="none", corrected=None, equivalence=None).reason == "."


@pytest.mark.parametrize(
    ("test", "harm", "margin", "holm", "expected"),
    [
        (UP, "higher", None, None, "worse"),
        (DOWN, "higher", None, None, "better"),
        (DOWN, "lower", None, None, "worse"),
        (UP, "lower", None, None, "better"),
        (UP, "none", None, None, "changed"),
        (DOWN, "none", None, None, "changed"),
        (UP, "higher", 0.055, None, "worse"),  # the margin is declared, but the change is not shown to be inside it
        (UP, "higher", 0.1, None, "equivalent"),  # a change that was found, and is too small to matter
        (UNSURE, "higher", 0.2, None, "equivalent"),
        (UNSURE, "none", 0.2, None, "equivalent"),
        (UNSURE, "higher", 0.05, None, "inconclusive"),
        (UNSURE, "higher", None, None, "inconclusive"),
        (UP, "higher", None, 0.2, "inconclusive"),  # the plain p is small, the corrected one is not
        (UP, "higher", 0.1, 0.2, "equivalent"),
        (STILL, "higher", 0.001, None, "equivalent"),
        (STILL, "none", None, None, "inconclusive"),
    ],
)
def test_every_row_of_the_table(test: PairedTest, harm: Harm, margin: float | None, holm: float | None, expected: str) -> None:
    found = judged(test, harm=harm, margin=margin, holm=holm)
    assert found.name == expected
    assert not re.search(r"\b(un)?bias|\bfair|nan|inf\b|None", found.reason)
    assert re.match(r"^[A-Z].*[^.]\.$", found.reason)


@pytest.mark.parametrize(("test", "shifted"), [(UP, True), (DOWN, True), (UNSURE, False), (STILL, False)])
def test_shifted_marks_an_interval_without_zero(test: PairedTest, shifted: bool) -> None:
    found = judged(test, margin=0.2, holm=1.0)
    assert (found.name, found.shifted) == ("equivalent", shifted)
    assert ("excludes 0" in found.reason) == shifted
    assert not judged(test, holm=0.001).shifted


def test_an_interval_that_ends_at_zero_contains_it() -> None:
    for side in (replace(UP, ci_low=0.0), replace(DOWN, ci_high=0.0)):
        assert not judged(side, margin=0.2).shifted


@pytest.mark.parametrize(("holm", "expected"), [(0.05, "inconclusive"), (0.0499999, "worse"), (0.0, "worse"), (1.0, "inconclusive")])
def test_a_change_needs_p_below_alpha(holm: float, expected: str) -> None:
    assert judged(UP, holm=holm).name == expected


def test_alpha_is_the_plan_s() -> None:
    corrected = Corrected(0.001, 0.03, 0.03, "primary", 6)
    assert verdict(UP, harm="higher", corrected=corrected, equivalence=None, alpha=0.01).name == "inconclusive"
    assert verdict(UP, harm="higher", corrected=corrected, equivalence=None, alpha=0.1).name == "worse"


def test_equivalence_at_the_very_margin_passes() -> None:
    # p of exactly alpha is set by hand: rounding decides it otherwise.
    at_alpha = replace(equivalence(UNSURE, margin=0.1, harm="none"), p=0.05, equivalent=True)
    corrected = Corrected(UNSURE.p, 1.0, 1.0, "primary", 6)
    assert verdict(UNSURE, harm="none", corrected=corrected, equivalence=at_alpha).name == "equivalent"


def test_the_numbers_stand_in_the_reason() -> None:
    worse = judged(UP, holm=0.00049).reason
    assert worse == (
        "Mean difference +0.05 (95 % interval +0.037 to +0.063, 4 models); Holm-corrected p = 0.00049 among 6 tests of the primary family, "
        "below 0.05; for this metric higher is worse."
    )
    assert "Holm-corrected p < 0.0001" in judged(UP, holm=1e-9).reason
    open_ = judged(UNSURE, margin=0.05).reason
    assert "equivalence within 0.05 was not shown either (p = 0.0947; the smallest margin that would be is 0.0676)" in open_
    assert "no margin was declared" in judged(UNSURE).reason
    assert "its 90 % interval" in judged(UNSURE, margin=0.2).reason
    assert judged(STILL, margin=0.01).reason.startswith("No model's value changed: mean difference +0 (95 %")


def test_a_composite_endpoint_has_a_verdict_too() -> None:
    largest = largest_change({"a": UP, "b": UNSURE}, name="largest change", margin=0.2)
    assert isinstance(largest, LargestChange)
    corrected = Corrected(largest.p, largest.p, largest.p, "primary", 6)
    assert verdict(largest, harm="none", corrected=corrected, equivalence=largest.equivalence).name == "equivalent"
    assert verdict(largest, harm="none", corrected=corrected, equivalence=None).name == "changed"
