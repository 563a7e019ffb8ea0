"""One pair on a classification benchmark: names and values as measured, planted and absent changes, and what cannot be counted."""

import math
from collections.abc import Iterable
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from qbias.families import name_part
from qbias.group_tables import class_table
from qbias.measure import measure
from qbias.outcomes import outcomes_of
from qbias.pairwise import JointChanges, PairStatistics
from qbias.pairwise.classification import classification_changes, joint_changes
from qbias.prepared import Prepared
from qbias.protocol import Protocol
from qbias.records import Evaluation, Insufficient, Outcomes, Pairing
from qbias.significance.records import AnalysisPlan, Band
from tests.made import classification, unit

PLAN = AnalysisPlan((), (), draws=400)
GENDER = {"name": "gender mf", "column": "gender", "first": "masc", "second": "fem"}
CLASSES = 6


def paired(before: Outcomes, after: Outcomes, model: str = "m") -> Pairing:
    sides = [
        Evaluation(model, quantizer, version, "1", "s", "b", f"run-{version}", "w", {}, {side.benchmark: side}, {})
        for quantizer, version, side in (("fp32", "1", before), ("bnb-nf4", "2", after))
    ]
    return Pairing(*sides)


def noisy(seed: int = 0, noise: float = 0.6, **facts: Any) -> Pairing:
    """Embeddings of tests.made, and the same with noise: second labels, blanks and an image in two groups are among them."""
    dataset, image_ND, text_MD = classification(seed, **facts)
    moved_ND = image_ND + noise * unit(np.random.default_rng(seed + 1), len(image_ND))
    moved_ND /= np.linalg.norm(moved_ND, axis=1, keepdims=True)
    before, after = (outcomes_of(dataset, side_ND, text_MD, Protocol()) for side_ND in (image_ND, moved_ND))
    return paired(before, after)


def simple(hit_N: np.ndarray, **facts: Any) -> Outcomes:
    """Images of CLASSES classes in turn, masc and fem in turn of CLASSES; hits as given, misses predict the next class."""
    row_N = np.arange(len(hit_N))
    label_N = row_N % CLASSES
    images = pd.DataFrame({
        "id": [f"image-{row}" for row in row_N], "label": label_N, "label2": -1,
        "gender": np.array(["masc", "fem"], dtype=object)[row_N // CLASSES % 2],
        "top_1": np.where(hit_N, label_N, (label_N + 1) % CLASSES), "hit_at_1": np.asarray(hit_N, dtype=bool),
    })  # fmt: skip
    known = {
        "classes": [f"class {number}" for number in range(CLASSES)], "templates": ["{}"], "ks": [1], "pairs": [GENDER],
        "min_per_group": 5, "sign": "signed", "class2": "drop",
    }  # fmt: skip
    return Outcomes("facet", "classification", known | facts, {"images": images}, "d", "p", {}, "q")


def numbers(value: Any) -> Iterable[float]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for part in value:
            yield from numbers(part)
    elif isinstance(value, float):
        yield value


def statistics(pairing: Pairing, plan: AnalysisPlan = PLAN) -> PairStatistics:
    return classification_changes(pairing, "facet", plan)


def gap_bands(found: PairStatistics) -> list[Band]:
    return [row for row in found.bands if row.subject == "gap"]


def values_of(outcomes: Outcomes) -> dict[str, float]:
    """What `measure` logs, and each eligible class's gap as it stands in `classes.csv`."""
    table = class_table(outcomes)
    gaps = {f"facet/{row.pair}/{name_part(row.class_name)}/gap_at_{row.k}": row.gap for row in table[table["eligible"]].itertuples()}
    return gaps | {row.name: row.value for row in measure(outcomes)[0]}


def test_names_and_values_are_those_that_measure_logs() -> None:
    pairing = noisy()
    before, after = (values_of(side.outcomes["facet"]) for side in (pairing.baseline, pairing.candidate))
    found = statistics(pairing)
    for row in found.changes:
        assert (row.baseline, row.candidate) == pytest.approx((before[row.metric], after[row.metric]))
        assert row.low < row.difference < row.high
    for test in found.swaps:
        assert test.difference == pytest.approx(after[test.metric] - before[test.metric])
    expected = {name for name in before if "accuracy" not in name} | {"facet/accuracy_at_1", "facet/accuracy_at_5"}
    assert {row.metric for row in (*found.changes, *found.swaps)} == expected
    assert [row.metric for row in found.mcnemar] == ["facet/accuracy_at_1", "facet/accuracy_at_5"]
    assert all(math.isfinite(number) for number in numbers(asdict(found)))
    assert {(row.model, row.quantizer) for row in (*found.changes, *found.swaps, *found.churn, *found.bands, *found.mcnemar)} == {
        ("m", "bnb-nf4")
    }


def test_the_bands_entries_are_the_gaps_differences() -> None:
    pairing = noisy()
    before, after = (Prepared(side.outcomes["facet"]) for side in (pairing.baseline, pairing.candidate))
    for band in gap_bands(statistics(pairing)):
        gaps = [side.gaps[band.slice_, band.k] for side in (before, after)]
        eligible = gaps[0].eligible_C
        assert [row.difference for row in band.entries] == pytest.approx((gaps[1].gap_C - gaps[0].gap_C)[eligible].tolist())
        assert [(row.n_first, row.n_second) for row in band.entries] == list(
            zip(gaps[0].count_first_C[eligible], gaps[0].count_second_C[eligible], strict=True)
        )
        assert [row.name for row in band.entries] == [name for name, fits in zip(before.classes, eligible, strict=True) if fits]


def test_churn_by_hand() -> None:
    hit_N = np.ones(48, dtype=bool)
    after_N = hit_N.copy()
    after_N[[0, 1, 12, 6]] = False  # three masc, one fem
    found = {(row.attribute, row.group): row for row in statistics(paired(simple(hit_N), simple(after_N))).churn}
    assert {key: (row.changed, row.images) for key, row in found.items()} == {
        ("", ""): (4, 48), ("gender", "masc"): (3, 24), ("gender", "fem"): (1, 24),
    }  # fmt: skip
    assert all(row.low < row.share < row.high for row in found.values())


def test_each_class_has_an_interval_of_its_own_inside_the_band() -> None:
    pairing = noisy()
    found = statistics(pairing)
    alone = {row.metric: row for row in found.changes}
    for band in gap_bands(found):
        for entry in band.entries:
            row = alone[f"facet/{band.slice_}/{entry.name.replace(' ', '-')}/gap_at_{band.k}"]
            assert row.difference == pytest.approx(entry.difference)
            assert entry.low < row.low < row.high < entry.high


def test_results_depend_on_the_seed_alone() -> None:
    pairing = noisy()
    assert statistics(pairing) == statistics(pairing)
    other = statistics(pairing, replace(PLAN, seed=1))
    assert other.changes != statistics(pairing).changes
    assert [row.difference for row in other.changes] == [row.difference for row in statistics(pairing).changes]


# ---- planted changes


def base(seed: int, images: int = 1440) -> tuple[np.ndarray, np.ndarray]:
    """Hits of four in five images before, and after with 4 % of all images flipped; as many gained as lost."""
    random = np.random.default_rng(seed)
    sides_2N = random.random((2, images)) < 0.8
    moved_N = random.random(images) < 0.125
    before_N, after_N = sides_2N[0], np.where(moved_N, sides_2N[1], sides_2N[0])
    return before_N, after_N


def planted(seed: int, share: float) -> Pairing:
    """`share` of the hits of masc in class 2 become misses; elsewhere nothing changes but noise."""
    before_N, after_N = base(seed)
    row_N = np.arange(len(before_N))
    there = np.flatnonzero((row_N % CLASSES == 2) & (row_N // CLASSES % 2 == 0) & after_N)
    after_N[np.random.default_rng(seed).permutation(there)[: round(share * len(there))]] = False
    return paired(simple(before_N), simple(after_N))


def test_a_planted_change_is_found_with_sign_place_and_size() -> None:
    for seed in range(10):
        found = statistics(planted(seed, 0.4))
        (band,) = gap_bands(found)
        assert [row.name for row in band.outside] == ["class 2"]
        (row,) = band.outside
        # About .8 of 120 images were hits, and .4 of these are lost.
        assert row.high < 0
        assert row.low < -0.32 < row.high
        (change,) = [row for row in found.changes if row.metric == "facet/gender-mf/macro_gap_at_1"]
        assert change.low < -0.32 / CLASSES < change.high < 0
        p = {test.metric: test.p for test in found.swaps}
        assert p["facet/gender-mf/min_signed_disparity_at_1"] <= 0.05


def test_the_larger_the_planted_change_the_surer_it_is_found() -> None:
    power = [sum(bool(statistics(planted(seed, share)).bands[0].outside) for seed in range(10)) for share in (0.0, 0.12, 0.3)]
    assert power[0] <= 2
    assert power[0] <= power[1] <= power[2] == 10


def test_swapped_outcomes_give_few_findings() -> None:
    # Nothing planted: each image's outcomes swapped with probability one half. 60 worlds, Monte Carlo error .028 at .05.
    false = {"band": 0, "mcnemar": 0, "swap": 0, "macro": 0}
    for seed in range(60):
        before_N, after_N = base(seed)
        coin_N = np.random.default_rng(seed + 1000).random(len(before_N)) < 0.5
        found = statistics(paired(simple(np.where(coin_N, after_N, before_N)), simple(np.where(coin_N, before_N, after_N))))
        false["band"] += bool(found.bands[0].outside)
        false["mcnemar"] += found.mcnemar[0].p <= 0.05
        false["swap"] += next(row.p for row in found.swaps if row.metric.endswith("max_disparity_at_1")) <= 0.05
        macro = found.changes[1]
        false["macro"] += not macro.low <= 0 <= macro.high
    assert {name: count for name, count in false.items() if count / 60 > 0.05 + 2 * 0.028} == {}


# ---- joint changes


def test_joint_changes_agree_with_each_models_own_interval() -> None:
    pairings = [replace_model(noisy(noise=noise), f"m{noise}") for noise in (0.3, 0.6, 0.9)]
    for metric in ("facet/accuracy_at_1", "facet/gender_mf/macro_gap_at_1", "facet/skin_ld/macro_gap_at_5"):
        found = joint_changes(pairings, metric)
        assert isinstance(found, JointChanges)
        assert found.models == ("m0.3", "m0.6", "m0.9")
        for place, pairing in enumerate(pairings):
            (own,) = [row for row in statistics(pairing).changes if row.metric == metric]
            assert found.change_M[place] == pytest.approx(own.difference)
            half = (own.high - own.low) / 2
            assert 1.9 < half / found.covariance_MM[place, place] ** 0.5 < 2.5
        assert np.linalg.eigvalsh(found.covariance_MM).min() > -1e-12


def replace_model(pairing: Pairing, model: str) -> Pairing:
    return Pairing(replace(pairing.baseline, model=model), replace(pairing.candidate, model=model))


def test_joint_changes_that_cannot_be_made_say_why() -> None:
    pairing = noisy()
    other = paired(*(replace(side.outcomes["facet"], dataset_digest="other") for side in (pairing.baseline, pairing.candidate)))
    cases = {
        "not every model": ([], "facet/accuracy_at_1"),
        "different images": ([pairing, other], "facet/accuracy_at_1"),
        "no accuracy or macro gap": ([pairing], "facet/gender_mf/max_disparity_at_1"),
        "no class is eligible": ([noisy(min_per_group=10_000)], "facet/gender_mf/macro_gap_at_1"),
    }
    for reason, (pairings, metric) in cases.items():
        found = joint_changes(pairings, metric)
        assert isinstance(found, Insufficient)
        assert reason in found.reason


# ---- what cannot be counted


def test_no_discordant_image() -> None:
    found = statistics(paired(simple(np.ones(480)), simple(np.ones(480))))
    assert [(row.p, row.n, row.images) for row in found.mcnemar] == [(1.0, 0, 480)]
    assert all(row.difference == 0 and row.low < 0 < row.high for row in found.changes)
    assert all(row.p == 1.0 for row in found.swaps)
    assert found.bands[0].outside == ()
    assert all(row.high > 0 == row.changed for row in found.churn)


def test_one_eligible_class() -> None:
    before_N, after_N = base(0, images=240)
    keep_N = (np.arange(240) % CLASSES == 3) | (np.arange(240) < 24)
    pairing = paired(*(sub(simple(hit_N, min_per_group=10), keep_N) for hit_N in (before_N, after_N)))
    found = statistics(pairing)
    assert [row.name for row in found.bands[0].entries] == ["class 3"]
    low, high = ({row.metric: row for row in found.swaps}[f"facet/gender-mf/{end}_disparity_at_1"] for end in ("min", "max"))
    assert (low.difference, low.p) == (high.difference, high.p)


def sub(outcomes: Outcomes, keep_N: np.ndarray) -> Outcomes:
    return replace(outcomes, frames={"images": outcomes.frames["images"][keep_N].reset_index(drop=True)})


@pytest.mark.parametrize(
    "facts",
    [
        {"min_per_group": 10_000},
        {"pairs": []},
        {"pairs": [GENDER | {"first": "nobody"}]},
    ],
    ids=["none eligible", "no pairs", "a group absent"],
)
def test_without_gaps_there_is_accuracy_and_churn_alone(facts: dict[str, Any]) -> None:
    before_N, after_N = base(1)
    found = statistics(paired(simple(before_N, **facts), simple(after_N, **facts)))
    assert [row.metric for row in found.changes] == ["facet/accuracy_at_1"]
    assert gap_bands(found) == list(found.swaps) == []
    assert found.churn[0].images == len(before_N)


def test_a_k_that_takes_all_classes_says_nothing() -> None:
    found = statistics(noisy(classes=5))
    assert not [row for row in (*found.changes, *found.swaps, *found.mcnemar) if row.metric.endswith("_5")]
    assert {band.k for band in found.bands} == {1}


def test_no_image_gives_nothing() -> None:
    empty = sub(simple(np.ones(12)), np.zeros(12, dtype=bool))
    assert statistics(paired(empty, empty)) == PairStatistics()
    assert isinstance(joint_changes([paired(empty, empty)], "facet/accuracy_at_1"), Insufficient)
