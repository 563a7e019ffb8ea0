"""What rules can be about: every subject is named as the gate's statistics are, with the sizes of the planning or of an evaluation."""

import numpy as np
import pytest

from benches.calibration.worlds import BENCHMARK, World, hits_as_predictions
from benches.calibration.worlds import paired as world_paired
from qbias.families import name_part
from qbias.pairwise.classification import classification_changes
from qbias.pairwise.retrieval import retrieval_changes
from qbias.pairwise.skew import skew_changes
from qbias.records import Outcomes, Pairing
from qbias.significance import AnalysisPlan
from qbias.significance.records import Band
from registry.planning import half_widths, pass_probability
from registry.policy import Planning, RequiredBenchmark
from registry.subjects import Subject, planned_subjects, stored_subjects
from tests.evidence_builder import outcomes_of
from tests.pairs import classified, evaluation, paired, searched, with_facts

PLAN = AnalysisPlan(endpoints=(), margins=(), draws=200)
IMAGES = {"imagenet": 50_000, "coco": 5_000, "facet": 21_000, "fairface": 10_954}
CHURN = 0.05


def planning(**changes: object) -> Planning:
    return Planning.model_validate({"images": IMAGES, "why": "a test", **changes})


def required(*names: str, **protocol: object) -> list[RequiredBenchmark]:
    return [RequiredBenchmark.model_validate({"name": name, "protocol": protocol, "why": "a test"}) for name in names]


def by_name(subjects: list[Subject]) -> dict[tuple[str, str | None], Subject]:
    assert len({(row.name, row.each) for row in subjects}) == len(subjects)
    return {(row.name, row.each): row for row in subjects}


def band_name(band: Band) -> tuple[str, str]:
    """As registry/rules.py names bands."""
    statistic = {"gap": "gap", "accuracy": "accuracy", "mean skew": "mean_skew"}[band.subject]
    return f"{band.benchmark}/{name_part(band.slice_)}/{statistic}_at_{band.k}", "class" if band.subject == "gap" else "group"


def real_names(pairing: Pairing) -> dict[tuple[str, str | None], int]:
    """Every number and band with an interval, and in how many parts."""
    found: dict[tuple[str, str | None], int] = {}
    for name, outcomes in pairing.candidate.outcomes.items():
        if outcomes.kind == "skew":
            statistics = skew_changes(pairing, name, PLAN)
        elif outcomes.kind == "retrieval":
            statistics = retrieval_changes(pairing, name, PLAN)
        else:
            statistics = classification_changes(pairing, name, PLAN)
        found |= {(change.metric, None): 1 for change in statistics.changes}
        found |= {band_name(band): len(band.entries) for band in statistics.bands}
    return found


@pytest.mark.parametrize(
    "outcomes",
    [classified(floor=5), classified(floor=5, class2="drop"), classified(images=40, floor=30), searched(), outcomes_of("coco")],
    ids=["two labels", "one label", "too few", "search", "retrieval"],
)  # fmt: skip
def test_stored_subjects_are_all_that_the_statistics_cover(outcomes: Outcomes) -> None:
    pairing = paired(outcomes, outcomes)
    found = by_name(list(stored_subjects(evaluation(outcomes), CHURN)))
    assert {name: row.parts for name, row in found.items()} == real_names(pairing)


def test_stored_sizes_are_the_evaluations_own() -> None:
    outcomes = classified(images=600, floor=20)
    found = by_name(list(stored_subjects(evaluation(outcomes), CHURN)))
    images = outcomes.frames["images"]
    assert found["facet/accuracy_at_1", None].size == 600
    assert found["facet/gender/accuracy_at_1", "group"].size == int((images["gender"] == "fem").sum())
    persons = [
        int((((images["label"] == place) | (images["label2"] == place)) & (images["gender"] == group)).sum())
        for place in range(6)
        for group in ("masc", "fem")
    ]
    assert found["facet/gender_mf/gap_at_1", "class"].size == min(persons)
    assert found["facet/gender_mf/class-0/gap_at_1", None].size == min(persons[:2])


def test_the_planning_knows_the_tables_benchmarks_by_the_names_that_are_logged() -> None:
    found = by_name(list(planned_subjects(planning(persons_per_group=40, classes=30, prompts=8), required(*IMAGES))))
    assert found["imagenet/accuracy_at_5", None].size == 50_000
    assert found["coco/image_retrieval_recall_at_10", None].size == 5_000
    assert found["facet/age_mo/macro_gap_at_1", None].size == 40
    assert found["facet/skin_ld/gap_at_5", "class"].parts == 30
    assert found["facet/gender_mf/computer-user/gap_at_1", None].size == 40
    assert found["facet/gender/accuracy_at_1", "group"].parts == 3
    assert found["facet/gender-and-age/accuracy_at_1", "group"].size >= 25
    assert found["fairface/race/mean_skew_at_1000", "group"].parts == 7
    assert ("fairface/race/latino-hispanic/mean_skew_at_1000", None) in found
    assert found["fairface/age/mean_skew_at_1000", "group"].size == 1000


def test_the_protocol_that_the_policy_asks_for_counts() -> None:
    limited = by_name(list(planned_subjects(planning(), required("imagenet", limit=500))))
    assert limited["imagenet/accuracy_at_1", None].size == 500
    short = by_name(list(planned_subjects(planning(prompts=4), required("fairface", skew_k=50))))
    assert short["fairface/gender/mean_skew_at_50", "group"].size == 50
    apart = by_name(list(planned_subjects(planning(), required("facet", min_per_group=100))))
    assert apart["facet/gender/accuracy_at_1", "group"].parts == 2


@pytest.mark.parametrize(
    ("names", "changes"),
    [(("my-own",), {"images": {"my-own": 100}}), (("imagenet",), {"images": {}}), (("fairface",), {"images": {"fairface": 900}})],
    ids=["own benchmark", "no size", "list takes all"],
)
def test_what_the_planning_does_not_know_it_does_not_guess(names: tuple[str, ...], changes: dict[str, object]) -> None:
    assert list(planned_subjects(planning(**changes), required(*names))) == []


def test_searches_are_drawn_only_where_they_are_wanted() -> None:
    assert list(planned_subjects(planning(), required("fairface"), skew=False)) == []
    assert list(stored_subjects(evaluation(searched()), CHURN, skew=False)) == []


def test_a_search_says_how_wide_it_can_get() -> None:
    found = by_name(list(stored_subjects(evaluation(with_facts(searched(images=300), k=30)), CHURN)))
    band = found["search/age/mean_skew_at_30", "group"]
    assert band.most_error is not None
    assert band.most_error > band.noise.error_T.max()


def test_group_accuracies_pass_as_often_as_foretold() -> None:
    size_CG, margin = np.array([[150, 60], [100, 90]]), 0.07
    shape = size_CG.shape
    world = World(size_CG, np.full(shape, 0.6), np.full(shape, 0.03), np.full(shape, 0.03))
    passed = []
    for seed in range(150):
        tops = [hits_as_predictions(world.label_N, hit_N, 2) for hit_N in world.outcomes(np.random.default_rng(seed))]
        pairing = world_paired(world.label_N, world.group_N, (tops[0], tops[1]), classes=2)
        (band,) = [row for row in classification_changes(pairing, BENCHMARK, PLAN, tests=False).bands if row.subject == "accuracy"]
        passed.append(all(row.low >= -margin for row in band.entries))
    found = by_name(list(stored_subjects(pairing.candidate, 0.06)))[f"{BENCHMARK}/side/accuracy_at_1", "group"]
    assert found.size == 150
    assert half_widths(found.noise, 0.95).max() == pytest.approx(max(row.high - row.low for row in band.entries) / 2, rel=0.15)
    predicted = pass_probability(found.noise, margin=margin, level=0.95, both_sides=False)
    assert 0.3 < predicted < 0.95
    assert float(np.mean(passed)) == pytest.approx(predicted, abs=0.13)
