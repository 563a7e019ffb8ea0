"""Rules of a policy: which metrics a pattern names, and every way in which a rule can be wrong."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qbias.measure import METRICS
from registry.rules import FORMS, KINDS, Rule, glob_matches

GOOD: list[dict[str, Any]] = [
    {"kind": "non-inferiority", "metric": "imagenet/accuracy_at_1", "margin": 0.01},
    {"kind": "non-inferiority", "metric": "*/accuracy_at_*", "margin": 0.01},
    {"kind": "non-inferiority", "metric": "coco/*_retrieval_recall_at_5", "margin": 0.01},
    {"kind": "non-inferiority", "metric": "facet/*/accuracy_at_1", "each": "group", "margin": 0.01},
    {"kind": "non-inferiority", "metric": "facet/gender-and-age/accuracy_at_1", "each": "group", "margin": 0.01},
    {"kind": "equivalence", "metric": "imagenet/accuracy_at_1", "margin": 0.01},
    {"kind": "equivalence", "metric": "facet/*/macro_gap_at_1", "margin": 0.05},
    {"kind": "equivalence", "metric": "facet/gender_mf/nurse/gap_at_1", "margin": 0.05},
    {"kind": "equivalence", "metric": "facet/*/gap_at_1", "each": "class", "margin": 0.05},
    {"kind": "equivalence", "metric": "fairface/*/mean_skew_at_*", "each": "group", "margin": 1.5},
    {"kind": "equivalence", "metric": "fairface/race/*/mean_skew_at_1000", "margin": 0.1},
    {"kind": "floor", "metric": "imagenet/accuracy_at_1", "limit": 0.5},
    {"kind": "floor", "metric": "facet/*/worst_group_accuracy_at_1", "limit": 0.0},
    {"kind": "floor", "metric": "fairface/*/min_skew_at_*", "limit": -1.0},
    {"kind": "ceiling", "metric": "facet/*/max_disparity_at_*", "limit": 0.5},
    {"kind": "ceiling", "metric": "fairface/*/ndkl", "limit": 0.1},
    {"kind": "ceiling", "metric": "facet/*/macro_gap_at_1", "limit": -0.1},
]
MARGIN: dict[str, Any] = {"kind": "equivalence", "metric": "facet/*/macro_gap_at_1", "margin": 0.05}
FLOOR: dict[str, Any] = {"kind": "floor", "metric": "imagenet/accuracy_at_1", "limit": 0.5}
BAD: list[tuple[dict[str, Any], str]] = [
    (MARGIN | {"kind": "equivalent"}, "Did you mean 'equivalence'"),
    (MARGIN | {"kind": None}, "kind"),
    (MARGIN | {"kind": ["equivalence"]}, "kind"),
    (MARGIN | {"metric": "facet/*/macro_gab_at_1"}, "Did you mean 'facet/*/macro_gap_at_1'"),
    (MARGIN | {"metric": "facet/*/macro_gap"}, "Did you mean 'facet/*/macro_gap_at_*'"),
    (MARGIN | {"metric": "imagenet/acuracy_at_1"}, "Did you mean 'imagenet/accuracy_at_1'"),
    (MARGIN | {"metric": "macro_gap_at_1"}, "unknown metric"),
    (MARGIN | {"metric": "facet/a/b/c/macro_gap_at_1"}, "unknown metric"),
    (MARGIN | {"metric": "facet/*/macro_gap_at_one"}, "unknown metric"),
    (MARGIN | {"metric": "facet/*/macro_gap_at_1?"}, "unknown metric"),
    (MARGIN | {"metric": "facet//macro_gap_at_1"}, "unknown metric"),
    (MARGIN | {"metric": ""}, "is empty"),
    (MARGIN | {"metric": "*"}, "unknown metric"),
    (MARGIN | {"metric": "x" * 201}, "at most 200"),
    (MARGIN | {"metric": "facet/*/macro_gap_at_1\n"}, "one line"),
    (MARGIN | {"metric": 3}, "metric"),
    (MARGIN | {"margin": None}, "needs a margin"),
    (MARGIN | {"margin": 0.0}, "greater than 0"),
    (MARGIN | {"margin": -0.01}, "greater than 0"),
    (MARGIN | {"margin": float("nan")}, "margin"),
    (MARGIN | {"margin": float("inf")}, "margin"),
    (MARGIN | {"margin": 1.0}, "lets every change through"),
    (MARGIN | {"margin": "0.01"}, "margin"),
    (MARGIN | {"margin": True}, "margin"),
    (MARGIN | {"limit": 0.5}, "not a limit"),
    (MARGIN | {"level": 0.5}, "0.8"),
    (MARGIN | {"level": 95}, "0.99"),
    (MARGIN | {"level": 0.999}, "0.99"),
    (MARGIN | {"level": float("nan")}, "level"),
    (MARGIN | {"why": " "}, "is empty"),
    (MARGIN | {"name": ""}, "is empty"),
    (MARGIN | {"name": "two\nlines"}, "one line"),
    (MARGIN | {"name": "metrics"}, "gate's own checks"),
    (MARGIN | {"name": "benchmark:facet"}, "gate's own checks"),
    (MARGIN | {"each": "person"}, "value of each"),
    (MARGIN | {"each": "class"}, "It is right without each"),
    (MARGIN | {"each": "group"}, "It is right without each"),
    (MARGIN | {"metric": "facet/*/gap_at_1"}, "It is right with each: class"),
    (MARGIN | {"metric": "facet/*/gap_at_1", "each": "group"}, "It is right with each: class"),
    (MARGIN | {"metric": "fairface/*/mean_skew_at_*"}, "It is right with each: group"),
    (MARGIN | {"metric": "facet/*/accuracy_at_1"}, "It is right with each: group"),
    (MARGIN | {"metric": "facet/*/max_disparity_at_1"}, "no interval covers {benchmark}/{pair}/max_disparity_at_{k}"),
    (MARGIN | {"metric": "facet/*/min_signed_disparity_at_1"}, "no interval covers"),
    (MARGIN | {"metric": "facet/*/*_at_1"}, "no interval covers"),
    (MARGIN | {"metric": "facet/*/worst_group_accuracy_at_1"}, "no interval covers"),
    (MARGIN | {"metric": "fairface/*/max_skew_at_*"}, "no interval covers"),
    (MARGIN | {"metric": "fairface/*/ndkl"}, "no interval covers"),
    (MARGIN | {"kind": "non-inferiority"}, "use equivalence"),
    (MARGIN | {"kind": "non-inferiority", "metric": "facet/*/gap_at_1", "each": "class"}, "use equivalence"),
    (MARGIN | {"kind": "non-inferiority", "metric": "fairface/*/mean_skew_at_*", "each": "group"}, "use equivalence"),
    (MARGIN | {"kind": "non-inferiority", "metric": "facet/*/max_disparity_at_1"}, "no interval covers"),
    (FLOOR | {"limit": None}, "needs a limit"),
    (FLOOR | {"margin": 0.1}, "not a margin"),
    (FLOOR | {"margin": 0.1, "limit": None}, "needs a limit"),
    (FLOOR | {"limit": float("nan")}, "limit"),
    (FLOOR | {"limit": float("-inf")}, "limit"),
    (FLOOR | {"level": 0.95}, "has no level"),
    (FLOOR | {"metric": "facet/*/gap_at_1", "each": "class"}, "holds one logged value"),
    (FLOOR | {"metric": "facet/*/nurse/gap_at_1"}, "unknown metric"),
    (FLOOR | {"kind": "ceiling", "metric": "fairface/*/ndlk"}, "Did you mean 'fairface/*/ndkl'"),
    (FLOOR | {"limits": 0.5}, "limits"),
]


def rule(**given: Any) -> Rule:
    return Rule.model_validate({"name": "rule", "why": "test"} | given)


@pytest.mark.parametrize("raw", GOOD, ids=lambda raw: f"{raw['kind']} {raw['metric']}")
def test_good_rules_say_the_same_when_read_again(raw: dict[str, Any]) -> None:
    found = rule(**raw)
    assert Rule.model_validate(found.model_dump(mode="json")) == found
    assert found.level == (0.95 if found.weighs else None)
    assert found.forms()


@pytest.mark.parametrize(("raw", "said"), BAD)
def test_bad_rules_are_refused_with_the_reason(raw: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        rule(**raw)


def test_every_kind_has_good_and_bad_examples() -> None:
    assert {raw["kind"] for raw in GOOD} == set(KINDS)


def test_a_star_stays_within_its_part() -> None:
    assert glob_matches("facet/*/gap_at_*", "facet/a/gap_at_1")
    assert not glob_matches("facet/*/gap_at_1", "facet/a/b/gap_at_1")
    assert not glob_matches("imagenet/accuracy_at_1", "imagenet/accuracy_at_10")
    assert not glob_matches("*accuracy_at_1", "imagenet/accuracy_at_1")
    assert not glob_matches("a.b", "axb")
    assert glob_matches("a" + "*" * 60 + "b", "ab"), "many stars are one"


LETTERS = {"k": "0123456789", "value": "ab1-"}
NAMES = st.sampled_from(FORMS).flatmap(
    lambda form: st.tuples(
        *(st.text(LETTERS.get(part, "abX1_-"), min_size=1, max_size=6) for part in re.findall(r"{(\w+)}", form.pattern))
    ).map(lambda parts: (form, _filled(form.pattern, parts)))
)


def _filled(pattern: str, parts: tuple[str, ...]) -> str:
    for part in parts:
        pattern = re.sub(r"{\w+}", lambda _, part=part: part, pattern, count=1)  # type: ignore[misc]
    return pattern


@given(NAMES, st.data())
def test_a_pattern_made_of_a_name_can_name_it(made: tuple[Any, str], data: st.DataObject) -> None:
    form, name = made
    start, stop = sorted(data.draw(st.tuples(st.integers(0, len(name)), st.integers(0, len(name)))))
    starred = name[:start] + "*" + name[stop:] if "/" not in name[start:stop] else name
    assert glob_matches(starred, name)
    if len(starred) <= 200:
        kinds: dict[str, Any] = {"kind": "equivalence", "margin": 0.5} if form.interval else {"kind": "ceiling", "limit": 0.5}
        try:
            found = rule(metric=starred, each=form.each, **kinds)
        except ValueError as error:
            assert "no interval covers" in str(error), "the star matches an extreme too"  # noqa: PT017
        else:
            assert form in found.forms()


def test_every_logged_metric_can_be_held_to_a_limit() -> None:
    for row in METRICS:
        name = row.pattern.format(benchmark="b", pair="p", attribute="a", value="v", k=1)
        assert rule(kind="ceiling", metric=name, limit=1.0).matches(name)
