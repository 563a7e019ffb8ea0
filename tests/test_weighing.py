"""The gate's rules on outcomes: each kind of rule passes, asks and blocks where it should, and blocks on everything that can be wrong."""

import functools
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtri

from qbias.measure import measure
from qbias.records import Evaluation, Kind, Outcomes
from registry.cards import VersionCard
from registry.evidence import Evidence
from registry.findings import SEVERITY, Finding, GateResult
from registry.gate import gate
from registry.policy import Policy, load_policy, policy_from
from tests.pairs import searched

IMAGES = 1920
"""Of the classification and retrieval sets; four classes in turn, masc and fem by halves of them."""
BASE = load_policy().model_dump(mode="json")
Change = Callable[[Evidence], Evidence]


# ---- evidence: a baseline in which every fourth answer is wrong, and candidates that differ in counted places


def right() -> np.ndarray:
    """Every fourth answer is wrong, evenly over classes and groups."""
    return np.arange(IMAGES) // 8 % 4 != 0


def turned(lost: float = 0.0, gained: float = 0.0, *, where: Callable[[np.ndarray], np.ndarray] = lambda row_N: row_N >= 0) -> np.ndarray:
    """The baseline's answers with a share of the images `where` names lost, another gained."""
    hit_N, inside_N = right(), where(np.arange(IMAGES))
    for value, share in ((True, lost), (False, gained)):
        there = np.flatnonzero(inside_N & (right() == value))
        count = round(share * np.count_nonzero(inside_N))
        hit_N[there[np.linspace(0, len(there) - 1, count).astype(int)]] = not value
    return hit_N


def first_half(row_N: np.ndarray) -> np.ndarray:
    """Everyone in the first group, masc."""
    return np.asarray(row_N < IMAGES // 2)


def one_cell(row_N: np.ndarray) -> np.ndarray:
    """Everyone of class c2 in the first group."""
    return np.asarray(first_half(row_N) & (row_N % 4 == 2))


def classified(benchmark: str, hit_N: np.ndarray, *, ks: tuple[int, ...] = (1,), floor: int = 25) -> Outcomes:
    row_N = np.arange(len(hit_N))
    gender_N = np.where(first_half(row_N), "masc", "fem")
    images = pd.DataFrame({"id": [f"i{row}" for row in row_N], "label": row_N % 4, "label2": -1, "gender": gender_N.astype(object)})
    images["top_1"] = np.where(hit_N, row_N % 4, (row_N + 1) % 4)
    for rank in range(2, 6):
        images[f"top_{rank}"] = -1
    for k in ks:
        images[f"hit_at_{k}"] = hit_N if k < 4 else True
    pairs = [{"name": "gender mf", "column": "gender", "first": "masc", "second": "fem"}]
    facts = {
        "classes": ["c0", "c1", "c2", "c3"], "templates": ["{}"], "ks": list(ks), "pairs": pairs, "min_per_group": floor,
        "sign": "absolute", "class2": "each",
    }  # fmt: skip
    return outcomes(benchmark, "classification", facts, {"images": images})


def retrieved(hit_N: np.ndarray) -> Outcomes:
    rank = np.where(hit_N, 0, 7)
    ids = [f"i{row}" for row in range(len(hit_N))]
    frames = {
        "captions": pd.DataFrame({"caption": range(len(ids)), "image": ids, "rank": rank}),
        "images": pd.DataFrame({"id": ids, "rank": rank}),
    }
    return outcomes("coco", "retrieval", {"ks": [1, 5]}, frames)


def outcomes(benchmark: str, kind: Kind, facts: dict[str, Any], frames: dict[str, pd.DataFrame]) -> Outcomes:
    return Outcomes(benchmark, kind, facts, frames, f"{benchmark} images", f"{benchmark} prompts", {"limit": None}, "protocol")


def faces(**changes: Any) -> Outcomes:
    found = searched(images=240, k=60, **changes)
    return replace(found, benchmark="fairface", protocol={"limit": None}, protocol_digest="protocol")


@functools.cache
def baseline() -> dict[str, Outcomes]:
    return {
        "imagenet": classified("imagenet", right()),
        "coco": retrieved(right()),
        "facet": classified("facet", right()),
        "fairface": faces(),
    }


def card(version: str) -> VersionCard:
    return VersionCard(
        name="toy", version=version, quantizer="fp32" if version == "1" else "bnb-nf4", baseline_version="1", weights_sha256=version * 64,
        content=version * 64, uri=f"models:/toy/{version}", model_id="", source="balanced", size="small",
    )  # fmt: skip


def evaluation(version: str, found: dict[str, Outcomes]) -> Evaluation:
    metrics = {row.name: row.value for own in found.values() for row in measure(own)[0]}
    return Evaluation(
        "toy", card(version).quantizer, version, "1", "balanced", "small", f"run-{version}", version * 64, {}, found, metrics
    )  # fmt: skip


@functools.cache
def base_evaluation() -> Evaluation:
    return evaluation("1", baseline())


def evidence(**changed: Outcomes) -> Evidence:
    """Complete evidence of a candidate whose outcomes are the baseline's, but for these."""
    candidate = evaluation("2", baseline() | changed) if changed else replace(base_evaluation(), version="2", quantizer="bnb-nf4")
    return Evidence(
        card=card("2"), baseline_card=card("1"), candidate=replace(candidate, run_id="run-2", weights_sha256="2" * 64),
        baseline=base_evaluation(), comparison_run="run-3", comparison_digest="c" * 64, outcomes_digests={}, missing=(),
        policy_digest="", digest="d" * 64,
    )  # fmt: skip


def policy(*rules: dict[str, Any]) -> Policy:
    named = [{"name": f"rule {place}", "why": "test"} | rule for place, rule in enumerate(rules)]
    return policy_from(BASE | {"rules": named})


def judged(found: Evidence, *rules: dict[str, Any]) -> GateResult:
    own = policy(*rules)
    return gate(replace(found, policy_digest=own.digest()), own)


def of_rules(result: GateResult) -> list[Finding]:
    return [row for row in result.findings if row.kind]


# ---- verdicts, each kind of rule on each statistic

LOSS = {"kind": "non-inferiority", "metric": "imagenet/accuracy_at_1", "margin": 0.05}
SHIFT = {"kind": "equivalence", "metric": "imagenet/accuracy_at_1", "margin": 0.05}
RECALL = {"kind": "non-inferiority", "metric": "coco/*_retrieval_recall_at_1", "margin": 0.05}
GAP = {"kind": "equivalence", "metric": "facet/*/macro_gap_at_1", "margin": 0.1}
ONE_CLASS = {"kind": "equivalence", "metric": "facet/gender-mf/c2/gap_at_1", "margin": 0.2}
CLASSES = {"kind": "equivalence", "metric": "facet/*/gap_at_1", "each": "class", "margin": 0.2}
GROUPS = {"kind": "non-inferiority", "metric": "facet/*/accuracy_at_1", "each": "group", "margin": 0.1}
GROUPS_BOTH = GROUPS | {"kind": "equivalence"}
SKEW = {"kind": "equivalence", "metric": "fairface/gender/*/mean_skew_at_60", "margin": 0.2}
SKEWS = {"kind": "equivalence", "metric": "fairface/*/mean_skew_at_*", "each": "group", "margin": 0.2}
FLOOR = {"kind": "floor", "metric": "imagenet/accuracy_at_1", "limit": 0.75}
CEILING = {"kind": "ceiling", "metric": "facet/*/max_disparity_at_1", "limit": 0.2}


def imagenet(**turns: Any) -> Change:
    return lambda _: evidence(imagenet=classified("imagenet", turned(**turns)))


def coco(**turns: Any) -> Change:
    return lambda _: evidence(coco=retrieved(turned(**turns)))


def facet(**turns: Any) -> Change:
    return lambda _: evidence(facet=classified("facet", turned(**turns)))


def fairface(**changes: Any) -> Change:
    return lambda _: evidence(fairface=faces(**changes))


def same(found: Evidence) -> Evidence:
    return found


# Half widths: 1.96 sqrt(churn / 1920) is .0063 at 2 % and .01 at 5 %; of a group's accuracy (960 images) and of a class's gap (240 and
# 240) wider, with a band's larger factor.
VERDICTS: dict[str, tuple[dict[str, Any], Change, str]] = {
    "accuracy: nothing changed": (LOSS, same, "pass"),
    "accuracy: 2 % lost": (LOSS, imagenet(lost=0.02), "pass"),
    "accuracy: 5 % lost": (LOSS, imagenet(lost=0.05), "review"),
    "accuracy: 8 % lost": (LOSS, imagenet(lost=0.08), "block"),
    "accuracy: 20 % gained": (LOSS, imagenet(gained=0.2), "pass"),
    "accuracy: as many lost as gained": (LOSS, imagenet(lost=0.1, gained=0.1), "pass"),
    "accuracy: a margin that 1,920 images cannot decide": (LOSS | {"margin": 0.0005}, same, "review"),
    "accuracy, either way: nothing changed": (SHIFT, same, "pass"),
    "accuracy, either way: 2 % gained": (SHIFT, imagenet(gained=0.02), "pass"),
    "accuracy, either way: 5 % gained": (SHIFT, imagenet(gained=0.05), "review"),
    "accuracy, either way: 8 % gained": (SHIFT, imagenet(gained=0.08), "block"),
    "accuracy, either way: 8 % lost": (SHIFT, imagenet(lost=0.08), "block"),
    "recall: nothing changed": (RECALL, same, "pass"),
    "recall: 5 % lost": (RECALL, coco(lost=0.05), "review"),
    "recall: 8 % lost": (RECALL, coco(lost=0.08), "block"),
    "recall: 8 % gained": (RECALL, coco(gained=0.08), "pass"),
    "macro gap: nothing changed": (GAP, same, "pass"),
    "macro gap: both groups lose alike": (GAP, facet(lost=0.2), "pass"),
    "macro gap: one group loses 10 %": (GAP, facet(lost=0.1, where=first_half), "review"),
    "macro gap: one group loses 20 %": (GAP, facet(lost=0.2, where=first_half), "block"),
    "macro gap: one group gains 20 %": (GAP, facet(gained=0.2, where=first_half), "block"),
    "one class: nothing changed": (ONE_CLASS, same, "pass"),
    "one class: loses 20 % in one group": (ONE_CLASS, facet(lost=0.2, where=one_cell), "review"),
    "one class: loses 40 % in one group": (ONE_CLASS, facet(lost=0.4, where=one_cell), "block"),
    "classes: nothing changed": (CLASSES, same, "pass"),
    "classes: one loses 20 % in one group": (CLASSES, facet(lost=0.2, where=one_cell), "review"),
    "classes: one loses 40 % in one group": (CLASSES, facet(lost=0.4, where=one_cell), "block"),
    "group accuracy: nothing changed": (GROUPS, same, "pass"),
    "group accuracy: one loses 10 %": (GROUPS, facet(lost=0.1, where=first_half), "review"),
    "group accuracy: one loses 20 %": (GROUPS, facet(lost=0.2, where=first_half), "block"),
    "group accuracy: one gains 20 %": (GROUPS, facet(gained=0.2, where=first_half), "pass"),
    "group accuracy, either way: one gains 20 %": (GROUPS_BOTH, facet(gained=0.2, where=first_half), "block"),
    "skew of each group: nothing changed": (SKEW, same, "pass"),
    "skew of each group: lists drawn to one": (SKEW, fairface(shift=3.0), "block"),
    "skew of all groups: nothing changed": (SKEWS, same, "pass"),
    "skew of all groups: other lists": (SKEWS | {"margin": 0.05}, fairface(noise=0.5), "review"),
    "skew of all groups: lists drawn to one": (SKEWS, fairface(shift=3.0), "block"),
    "floor: met exactly": (FLOOR, same, "pass"),
    "floor: one image short": (FLOOR, imagenet(lost=1 / IMAGES), "block"),
    "floor: better than the baseline": (FLOOR | {"limit": 0.8}, imagenet(gained=0.06), "pass"),
    "floor: no better than the baseline": (FLOOR | {"limit": 0.8}, same, "block"),
    "floor: of an extreme": (FLOOR | {"metric": "facet/*/worst_group_accuracy_at_1", "limit": 0.7}, facet(lost=0.1), "block"),
    "floor: met by an extreme": (FLOOR | {"metric": "facet/*/worst_group_accuracy_at_1", "limit": 0.6}, facet(lost=0.1), "pass"),
    "ceiling: met": (CEILING, same, "pass"),
    "ceiling: a class's gap above it": (CEILING, facet(lost=0.4, where=one_cell), "block"),
    "ceiling: skew": (CEILING | {"metric": "fairface/*/max_skew_at_60", "limit": 0.25}, fairface(shift=3.0), "block"),
    "ceiling: NDKL": (CEILING | {"metric": "fairface/*/ndkl", "limit": 5.0}, same, "pass"),
}


@pytest.mark.parametrize("case", VERDICTS)
def test_verdicts(case: str) -> None:
    rule, change, verdict = VERDICTS[case]
    result = judged(change(evidence()), rule)
    assert result.verdict == verdict, result.text()
    assert of_rules(result)
    assert all(row.reason and row.metric and row.margin is not None for row in of_rules(result))


# ---- each kind of rule x each way to be wrong

RULES = {
    "non-inferiority": LOSS | {"metric": "facet/accuracy_at_1"},
    "non-inferiority of groups": GROUPS,
    "equivalence": GAP,
    "equivalence of classes": CLASSES,
    "floor": FLOOR | {"metric": "facet/accuracy_at_1", "limit": 0.1},
    "ceiling": CEILING,
}


def candidate(**changes: Any) -> Change:
    return lambda found: replace(found, candidate=replace(found.candidate, **changes))  # type: ignore[type-var]


def both(outcomes: Outcomes) -> Change:
    """Both sides with these outcomes of facet, and the metrics that they had."""
    return lambda found: replace(
        found,
        **{side: replace(getattr(found, side), outcomes=baseline() | {"facet": outcomes}) for side in ("baseline", "candidate")},
    )


def without_facet(found: Evidence) -> Evidence:
    rest = {name: row for name, row in baseline().items() if name != "facet"}
    return replace(found, candidate=replace(evaluation("2", rest), weights_sha256="2" * 64))


def renamed() -> Outcomes:
    found = classified("facet", right())
    images = found.frames["images"].assign(id=[f"other{row}" for row in range(IMAGES)])
    return replace(found, frames={"images": images})


def emptied() -> Outcomes:
    found = classified("facet", right())
    return replace(found, frames={"images": found.frames["images"][:0]})


WRONG: dict[str, Change] = {
    "no candidate evaluation": lambda found: replace(found, candidate=None),
    "no baseline evaluation": lambda found: replace(found, baseline=None),
    "benchmark missing": without_facet,
    "other images": lambda _: evidence(facet=renamed()),
    "other protocol": lambda _: evidence(facet=replace(classified("facet", right()), protocol_digest="other")),
    "other dataset": lambda _: evidence(facet=replace(classified("facet", right()), dataset_digest="other")),
    "other machine": candidate(machine={"cpu_capability": "other"}),
    "no image": both(emptied()),
    "a rank that was not measured": both(classified("facet", right(), ks=(2,))),
    "a table without its column": both(
        replace(classified("facet", right()), frames={"images": classified("facet", right()).frames["images"].drop(columns="hit_at_1")})
    ),
    "not finite": candidate(metrics=base_evaluation().metrics | {"facet/accuracy_at_1": math.nan}),
}


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("kind", RULES)
def test_whatever_is_wrong_blocks(kind: str, wrong: str) -> None:
    result = judged(WRONG[wrong](evidence()), RULES[kind])
    assert result.verdict == "block"
    found = of_rules(result)
    assert found
    if wrong != "not finite":  # there the completeness check of metrics speaks; these rules go by the outcomes
        assert all(row.verdict == "block" and row.reason for row in found)
        assert all(row.difference is None and row.candidate is None for row in found)


@pytest.mark.parametrize("kind", ["non-inferiority of groups", "equivalence", "equivalence of classes", "ceiling"])
def test_too_few_persons_block_with_the_reason(kind: str) -> None:
    (found,) = of_rules(judged(both(classified("facet", right(), floor=5000))(evidence()), RULES[kind]))
    assert found.verdict == "block"
    assert "5000" in found.reason
    assert "so there is nothing to judge" in found.reason


@pytest.mark.parametrize("kind", RULES)
def test_a_rank_that_takes_all_classes_blocks(kind: str) -> None:
    rule = RULES[kind] | {"metric": RULES[kind]["metric"].replace("_at_1", "_at_5")}
    (found,) = of_rules(judged(both(classified("facet", right(), ks=(1, 5)))(evidence()), rule))
    assert found.verdict == "block"
    assert "k=5 takes all 4 classes" in found.reason


@pytest.mark.parametrize(
    "rule",
    [
        LOSS | {"metric": "imagenet/accuracy_at_7"},
        GAP | {"metric": "facet/age_my/macro_gap_at_1"},
        CLASSES | {"metric": "facet/age_my/gap_at_1"},
        ONE_CLASS | {"metric": "facet/gender-mf/c9/gap_at_1"},
        GROUPS | {"metric": "facet/age/accuracy_at_1"},
        SKEWS | {"metric": "fairface/race/mean_skew_at_*"},
        CEILING | {"metric": "facet/age_my/max_disparity_at_1"},
    ],
    ids=lambda rule: str(rule["metric"]),
)
def test_a_pattern_that_names_nothing_measured_blocks(rule: dict[str, Any]) -> None:
    (found,) = of_rules(judged(evidence(), rule))
    assert (found.verdict, found.metric) == ("block", rule["metric"])
    assert found.reason == "it names no metric that was measured"


def test_facts_that_differ_block() -> None:
    facts = dict(classified("facet", right()).facts) | {"min_per_group": 1}
    (found,) = of_rules(judged(evidence(facet=replace(classified("facet", right()), facts=facts)), GAP))
    assert found.verdict == "block"
    assert "different facts" in found.reason


def test_scores_that_are_not_finite_block() -> None:
    frames = dict(faces().frames)
    frames["images"] = frames["images"].assign(score_0=np.float32("nan"))
    spoilt = evidence()
    assert spoilt.candidate
    spoilt = replace(
        spoilt, candidate=replace(spoilt.candidate, outcomes=baseline() | {"fairface": replace(faces(), frames=frames)})
    )  # fmt: skip
    for rule in (SKEW, SKEWS, CEILING | {"metric": "fairface/*/ndkl", "limit": 9.0}):
        result = judged(spoilt, rule)
        assert {row.verdict for row in of_rules(result)} == {"block"}
        assert "NaN or infinite" in of_rules(result)[0].reason


@pytest.mark.parametrize("logged", [0.9, math.nan, math.inf, None])
def test_a_limit_goes_by_outcomes_and_a_logged_value_that_differs_blocks(logged: float | None) -> None:
    metrics = dict(base_evaluation().metrics)
    if logged is None:
        del metrics["imagenet/accuracy_at_1"]
    else:
        metrics["imagenet/accuracy_at_1"] = logged
    found = of_rules(judged(candidate(metrics=metrics)(evidence()), FLOOR))[0]
    assert found.verdict == "block"
    assert "its outcomes give 0.75" in found.reason


# ---- numbers


def test_an_interval_by_hand() -> None:
    (found,) = of_rules(judged(imagenet(lost=0.05, gained=0.01)(evidence()), LOSS))
    assert (found.baseline, found.n) == (0.75, IMAGES)
    lost, gained = 96, 19
    assert found.candidate == pytest.approx(0.75 - (lost - gained) / IMAGES)
    assert (found.difference, found.margin, found.level) == (pytest.approx(-(lost - gained) / IMAGES), 0.05, 0.95)
    share, net = (lost + gained + 1) / (IMAGES + 1), (lost - gained) / (IMAGES + 1)
    half = math.sqrt((share - net**2) / IMAGES)
    assert found.low is not None
    assert found.high is not None
    assert 1.9599 <= (found.high - found.low) / 2 / half < 2.1
    assert (found.high + found.low) / 2 == pytest.approx(found.difference)


@pytest.mark.parametrize(("rule", "turns"), [(LOSS, imagenet(lost=0.05)), (CLASSES, facet(lost=0.1)), (SKEWS, fairface(noise=0.5))])
def test_the_level_of_a_rule_is_that_of_its_interval(rule: dict[str, Any], turns: Change) -> None:
    widths = []
    for level in (0.8, 0.95, 0.99):
        found = of_rules(judged(turns(evidence()), rule | {"level": level}))[0]
        assert found.level == level
        assert found.low is not None
        assert found.high is not None
        widths.append(found.high - found.low)
    assert widths[0] < widths[1] < widths[2]
    if rule is LOSS:
        assert widths[2] / widths[0] == pytest.approx(ndtri(0.995) / ndtri(0.9), rel=0.1)


def test_one_finding_for_each_metric_and_band() -> None:
    result = judged(evidence(), RECALL, CLASSES, GROUPS, SKEWS, SKEW)
    assert [(row.rule, row.metric) for row in of_rules(result)] == [
        ("rule 0", "coco/image_retrieval_recall_at_1"),
        ("rule 0", "coco/text_retrieval_recall_at_1"),
        ("rule 1", "facet/gender-mf/gap_at_1"),
        ("rule 2", "facet/gender/accuracy_at_1"),
        ("rule 3", "fairface/gender/mean_skew_at_60"),
        ("rule 3", "fairface/age/mean_skew_at_60"),
        ("rule 4", "fairface/gender/male/mean_skew_at_60"),
        ("rule 4", "fairface/gender/female/mean_skew_at_60"),
    ]
    assert result.verdict == "pass"


def test_a_band_names_the_class_and_the_group_that_stand_worst() -> None:
    changed = facet(lost=0.4, where=one_cell)(evidence())
    band, groups, skews = of_rules(judged(changed, CLASSES, GROUPS, SKEWS | {"metric": "fairface/gender/mean_skew_at_*"}))
    assert (band.where, band.n) == ("c2", 480)
    assert (band.baseline, band.candidate) == (0, pytest.approx(-0.4))
    assert (groups.where, groups.n) == ("masc", 960)
    assert (groups.baseline, groups.candidate) == (0.75, pytest.approx(0.65))
    assert skews.baseline == skews.candidate


def test_the_same_evidence_gives_the_same_findings() -> None:
    changed = facet(lost=0.05)(evidence())
    assert judged(changed, GAP, CLASSES, GROUPS) == judged(changed, GAP, CLASSES, GROUPS)
    alone = of_rules(judged(changed, CLASSES))[0]
    among = of_rules(judged(changed, GAP, CLASSES, GROUPS))[1]
    assert replace(alone, rule="") == replace(among, rule=""), "other rules change nothing about a rule"


# ---- properties

CANDIDATES = st.sampled_from([same, imagenet(lost=0.05), facet(lost=0.1, where=first_half), fairface(shift=3.0), coco(lost=0.05)])
SOME_RULES = st.lists(st.sampled_from([LOSS, SHIFT, RECALL, GAP, CLASSES, GROUPS, SKEWS, FLOOR, CEILING]), min_size=1, max_size=4)


@settings(max_examples=25, deadline=None)
@given(CANDIDATES, SOME_RULES, st.sampled_from([LOSS, GAP, CLASSES, GROUPS, FLOOR]))
def test_a_rule_more_is_never_better(change: Change, rules: list[dict[str, Any]], more: dict[str, Any]) -> None:
    found = change(evidence())
    before, after = judged(found, *rules), judged(found, *rules, more)
    assert SEVERITY.index(after.verdict) >= SEVERITY.index(before.verdict)
    assert before.verdict == "pass" or after.verdict != "pass"


@settings(max_examples=25, deadline=None)
@given(CANDIDATES, st.sampled_from([LOSS, SHIFT, GAP, CLASSES, GROUPS, SKEWS]), st.tuples(st.floats(0.001, 0.9), st.floats(0.001, 0.9)))
def test_a_larger_margin_is_never_worse(change: Change, rule: dict[str, Any], margins: tuple[float, float]) -> None:
    found = change(evidence())
    small, large = (judged(found, rule | {"margin": margin}).verdict for margin in sorted(margins))
    assert SEVERITY.index(large) <= SEVERITY.index(small)


# ---- words


def test_a_block_cannot_be_overlooked() -> None:
    text = judged(imagenet(lost=0.08)(evidence()), LOSS, FLOOR | {"limit": 0.1}).text()
    first, second, third, *_ = text.splitlines()
    assert first == "BLOCK: at least one rule is broken or cannot be worked out"
    assert second.startswith("!! BLOCK  rule 0 [imagenet/accuracy_at_1]: the interval rules out every loss of 0.05 or less")
    assert "0.75 -> 0.6698; change -0.08021 (" in third
    assert "   pass   rule 1 [imagenet/accuracy_at_1]: the candidate's value on this data is at least 0.1" in text


def test_nothing_in_a_name_steers_the_terminal() -> None:
    result = GateResult("block", (Finding("rule", "block", "because", metric="m", where="a\x1b[2J\nb‮"),))
    assert result.text().splitlines()[1:] == ["!! BLOCK  rule [m a?[2J?b?]: because"]
    assert [row.verdict for row in of_rules(judged(evidence(), LOSS))] == ["pass"]
    assert GateResult("fine", ()).text().startswith("FINE: not known, so it counts as block")  # type: ignore[arg-type]
