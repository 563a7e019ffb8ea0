"""Intervals held against margins: verdicts by hand, whatever is no interval blocks, and properties over all intervals and margins."""

import math
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from qbias.records import Harm, Insufficient
from registry.findings import SEVERITY
from registry.margins import Change, held, weighed
from registry.rules import Rule

ACCURACY = Rule(name="accuracy", kind="non-inferiority", metric="imagenet/accuracy_at_1", margin=0.01, why="test")
GAP = Rule(name="gap", kind="equivalence", metric="facet/*/macro_gap_at_1", margin=0.02, why="test")
CLASSES = Rule(name="classes", kind="equivalence", metric="facet/*/gap_at_1", each="class", margin=0.1, why="test")
NAN, INF = math.nan, math.inf


def change(low: float, high: float, difference: float | None = None, where: str = "") -> Change:
    return Change(where, 0.5, 0.5, (low + high) / 2 if difference is None else difference, low, high, 100)


# kind, low, high, verdict: margin 0.01 for a loss of accuracy, 0.02 for a gap.
BY_HAND: list[tuple[str, float, float, str]] = [
    ("loss", -0.004, 0.002, "pass"),
    ("loss", -0.0099, -0.002, "pass"),  # a loss, but a smaller one than matters
    ("loss", 0.02, 0.05, "pass"),  # a gain is no harm
    ("loss", 0.0, 0.0, "pass"),
    ("loss", -0.01, 0.0, "review"),  # touches the margin
    ("loss", -0.0101, 0.05, "review"),
    ("loss", -0.5, 0.5, "review"),
    ("loss", -0.03, -0.01, "review"),  # its better end touches the margin
    ("loss", -0.03, -0.0101, "block"),
    ("loss", -0.9, -0.5, "block"),
    ("loss", -0.02, -0.02, "block"),
    ("gap", -0.019, 0.019, "pass"),
    ("gap", 0.01, 0.015, "pass"),  # excludes 0 and is small all the same
    ("gap", 0.0, 0.0, "pass"),
    ("gap", -0.02, 0.0, "review"),
    ("gap", 0.0, 0.02, "review"),
    ("gap", -0.03, 0.03, "review"),
    ("gap", -0.05, 0.0, "review"),
    ("gap", 0.01, 0.05, "review"),
    ("gap", 0.02, 0.05, "review"),
    ("gap", -0.05, -0.02, "review"),
    ("gap", 0.021, 0.05, "block"),
    ("gap", -0.05, -0.021, "block"),
]
NO_INTERVAL = {
    "low is NaN": (NAN, 0.0, 0.0),
    "high is NaN": (0.0, NAN, 0.0),
    "difference is NaN": (-0.001, 0.001, NAN),
    "all NaN": (NAN, NAN, NAN),
    "no lower end": (-INF, 0.001, 0.0),
    "no upper end": (0.0, INF, 0.0),
    "ends the wrong way round": (0.001, -0.001, 0.0),
    "difference below": (-0.001, 0.001, -0.002),
    "difference above": (-0.001, 0.001, 0.002),
}


@pytest.mark.parametrize(("kind", "low", "high", "verdict"), BY_HAND)
def test_verdicts_by_hand(kind: str, low: float, high: float, verdict: str) -> None:
    rule, name = (ACCURACY, "imagenet/accuracy_at_1") if kind == "loss" else (GAP, "facet/age_my/macro_gap_at_1")
    found = weighed(rule, name, [change(low, high)])
    assert found.verdict == verdict
    assert (found.rule, found.kind, found.metric, found.margin, found.level) == (rule.name, rule.kind, name, rule.margin, 0.95)
    assert (found.low, found.high, found.n) == (low, high, 100)
    assert found.reason


@pytest.mark.parametrize("case", NO_INTERVAL)
@pytest.mark.parametrize("rule", [ACCURACY, GAP, CLASSES], ids=lambda rule: rule.name)
def test_what_is_no_interval_blocks(rule: Rule, case: str) -> None:
    found = weighed(rule, rule.metric.replace("*", "age_my"), [change(0.0, 0.0), change(*NO_INTERVAL[case], where="the bad one")])
    assert (found.verdict, found.where) == ("block", "the bad one")
    assert [found.low, found.high, found.difference, found.candidate] == [None] * 4, "a NaN has no place in a record"


@pytest.mark.parametrize(("baseline", "candidate"), [(NAN, 0.5), (0.5, NAN), (INF, 0.5)])
def test_a_value_that_is_not_finite_blocks(baseline: float, candidate: float) -> None:
    bad = replace(change(0.0, 0.0), baseline=baseline, candidate=candidate)
    assert weighed(ACCURACY, ACCURACY.metric, [bad]).verdict == "block"


def test_nothing_to_judge_blocks() -> None:
    assert weighed(GAP, "facet/age_my/macro_gap_at_1", []).verdict == "block"
    short = Insufficient("facet/age_my/macro_gap_at_1", "no class has 25 positives in both groups", {})
    found = weighed(GAP, "facet/age_my/macro_gap_at_1", [change(0.0, 0.0)], short)
    assert (found.verdict, found.reason) == ("block", "no class has 25 positives in both groups, so there is nothing to judge")


@pytest.mark.parametrize(
    ("entries", "verdict", "where"),
    [
        ([(-0.05, 0.05), (0.0, 0.09)], "pass", "b"),
        ([(-0.05, 0.05), (0.0, 0.11)], "review", "b"),
        ([(-0.3, 0.3), (0.0, 0.11)], "review", "a"),
        ([(-0.3, 0.3), (0.101, 0.11)], "block", "b"),
        ([(-0.5, -0.101), (0.101, 0.11), (-0.9, 0.9)], "block", "a"),
    ],
)
def test_a_band_is_as_good_as_its_worst_entry(entries: list[tuple[float, float]], verdict: str, where: str) -> None:
    changes = [change(low, high, where="abc"[place]) for place, (low, high) in enumerate(entries)]
    found = weighed(CLASSES, "facet/age_my/gap_at_1", changes)
    assert (found.verdict, found.where) == (verdict, where)
    assert f"of {len(entries)} intervals that hold together" in found.reason


def test_a_statistic_of_which_more_is_harm_is_held_to_its_upper_end() -> None:
    for low, high, verdict in [(-0.5, 0.009, "pass"), (0.0, 0.01, "review"), (0.011, 0.05, "block"), (-0.5, 0.5, "review")]:
        assert held(ACCURACY, change(low, high), "higher")[0] == verdict


ENDS = st.floats(-2, 2, allow_nan=False) | st.sampled_from([0.01, -0.01, 0.02, -0.02, 0.0])
MARGINS = st.floats(1e-6, 0.99)
HARMS: st.SearchStrategy[Harm] = st.sampled_from(["lower", "higher"])
RULES = st.sampled_from([ACCURACY, GAP])


@given(RULES, st.tuples(ENDS, ENDS).map(sorted), st.tuples(MARGINS, MARGINS).map(sorted), HARMS)
def test_a_larger_margin_is_never_worse(rule: Rule, ends: list[float], margins: list[float], harm: Harm) -> None:
    first, second = (held(rule.model_copy(update={"margin": margin}), change(*ends), harm)[0] for margin in margins)
    assert SEVERITY.index(second) <= SEVERITY.index(first)


@given(RULES, st.tuples(ENDS, ENDS, ENDS, ENDS).map(sorted), MARGINS, HARMS)
def test_a_narrower_interval_keeps_pass_and_block(rule: Rule, ends: list[float], margin: float, harm: Harm) -> None:
    rule = rule.model_copy(update={"margin": margin})
    wide, narrow = (held(rule, change(low, high), harm)[0] for low, high in ((ends[0], ends[3]), (ends[1], ends[2])))
    assert wide == "review" or narrow == wide


@given(st.tuples(ENDS, ENDS).map(sorted), MARGINS)
def test_equivalence_asks_for_more_than_non_inferiority(ends: list[float], margin: float) -> None:
    both = held(GAP.model_copy(update={"margin": margin}), change(*ends), "none")[0]
    one = held(ACCURACY.model_copy(update={"margin": margin}), change(*ends), "lower")[0]
    assert SEVERITY.index(one) <= SEVERITY.index(both)


@given(RULES, st.lists(st.floats() | st.sampled_from([NAN, INF]), min_size=3, max_size=3), MARGINS, HARMS)
def test_only_finite_intervals_in_order_pass(rule: Rule, numbers: list[float], margin: float, harm: Harm) -> None:
    low, difference, high = numbers
    assume(not (all(map(math.isfinite, numbers)) and low <= difference <= high))
    assert held(rule.model_copy(update={"margin": margin}), change(low, high, difference), harm)[0] == "block"


@given(st.lists(st.tuples(ENDS, ENDS).map(sorted), min_size=1, max_size=6), st.tuples(ENDS, ENDS).map(sorted))
def test_an_entry_more_never_betters_a_band(bands: list[list[float]], more: list[float]) -> None:
    rows = [change(*ends) for ends in bands]
    before, after = (weighed(CLASSES, "facet/x/gap_at_1", own).verdict for own in (rows, [*rows, change(*more)]))
    assert SEVERITY.index(after) >= SEVERITY.index(before)
