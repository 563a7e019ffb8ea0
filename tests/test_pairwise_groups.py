"""Bands of accuracy over groups: values by hand, groups that share images, planted and absent changes, and how often they hold."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from qbias.measure import measure
from qbias.pairwise.groups import accuracy_bands
from qbias.prepared import Prepared
from qbias.records import Outcomes, Pairing
from qbias.significance.records import AnalysisPlan, Band
from tests.pairs import classified, paired

PLAN = AnalysisPlan((), (), draws=500)
TONES = {"name": "skin", "column": "skin", "first": "lighter", "second": "darker"}
GENDER = {"name": "gender", "column": "gender", "first": "masc", "second": "fem"}


def simple(hit_N: Any, *, floor: int = 1, **groups: list[str]) -> Outcomes:
    """Images of two classes in turn with these group columns."""
    hit = np.asarray(hit_N, dtype=bool)
    label_N = np.arange(len(hit)) % 2
    images = pd.DataFrame({"id": [str(row) for row in range(len(hit))], "label": label_N, "label2": -1, **groups})
    images = images.assign(top_1=np.where(hit, label_N, 1 - label_N), hit_at_1=hit)
    pairs = [row for row in (GENDER, TONES) if row["column"] in groups]
    facts = {
        "classes": ["a", "b"],
        "templates": ["{}"],
        "ks": [1],
        "pairs": pairs,
        "min_per_group": floor,
        "sign": "signed",
        "class2": "drop",
    }
    return Outcomes("facet", "classification", facts, {"images": images}, "d", "p", {}, "q")


def bands(pairing: Pairing, plan: AnalysisPlan = PLAN) -> dict[tuple[str, int], Band]:
    sides = (Prepared(side.outcomes["facet"]) for side in (pairing.baseline, pairing.candidate))
    return {(row.slice_, row.k): row for row in accuracy_bands(pairing, *sides, plan)}


def test_values_by_hand() -> None:
    gender = ["masc"] * 4 + ["fem"] * 4
    (band,) = bands(paired(simple([1, 1, 1, 0, 1, 0, 0, 0], gender=gender), simple([1, 0, 0, 1, 1, 1, 0, 0], gender=gender))).values()
    assert (band.subject, band.benchmark, band.slice_, band.k, band.confidence) == ("accuracy", "facet", "gender", 1, 0.95)
    rows = [(row.name, row.baseline, row.candidate, row.difference, row.n_first, row.n_second) for row in band.entries]
    assert rows == [("fem", 0.25, 0.5, 0.25, 4, 0), ("masc", 0.75, 0.5, -0.25, 4, 0)]
    # One gained of four, half an image added to gains and losses: n w^2 (p - net^2) with p = 2 / 5, net = 1 / 5.
    error = np.sqrt(4 / 16 * (2 / 5 - 1 / 25))
    assert band.entries[0].high - 0.25 == pytest.approx(band.critical * error)
    assert band.critical > 2.2  # Sidak's for two is 2.24


def test_an_image_in_two_groups_counts_in_both() -> None:
    skin = ["lighter"] * 3 + ["darker"] * 3 + ["lighter|darker"] * 2 + [""]
    before, after = [1] * 9, [1, 1, 1, 1, 1, 1, 0, 1, 0]
    (band,) = bands(paired(simple(before, skin=skin), simple(after, skin=skin))).values()
    assert [(row.name, row.n_first) for row in band.entries] == [("darker", 5), ("lighter", 5)]
    assert [row.difference for row in band.entries] == pytest.approx([-0.2, -0.2])
    assert [row.low for row in band.entries] == pytest.approx([band.entries[0].low] * 2)


def test_groups_are_those_of_worst_group_accuracy() -> None:
    pairing = paired(classified(floor=20), classified(floor=20, noise=0.6))
    found = bands(pairing)
    logged = {row.name: row for row in measure(pairing.candidate.outcomes["facet"])[0] if "worst_group" in row.name}
    assert {f"facet/{slice_}/worst_group_accuracy_at_{k}" for slice_, k in found} == set(logged)
    for (slice_, k), band in found.items():
        worst = logged[f"facet/{slice_}/worst_group_accuracy_at_{k}"]
        assert min(row.candidate or 0 for row in band.entries) == pytest.approx(worst.value)
        assert len(band.entries) == worst.counts["groups"]
        assert all((row.candidate or 0) - (row.baseline or 0) == pytest.approx(row.difference) for row in band.entries)
        assert all(row.n_first >= 20 for row in band.entries)


def test_no_band_where_groups_cannot_be_compared() -> None:
    gender = ["masc"] * 6 + ["fem"] * 2
    assert bands(paired(simple([1] * 8, floor=3, gender=gender), simple([1] * 8, floor=3, gender=gender))) == {}
    alone = ["masc"] * 8
    assert bands(paired(simple([1] * 8, gender=alone), simple([1] * 8, gender=alone))) == {}


def test_no_change_has_an_interval_around_zero_and_another_level_another_width() -> None:
    same = paired(classified(), classified())
    for place, band in bands(same).items():
        assert all(row.difference == 0 and row.low < 0 < row.high for row in band.entries)
        wider = bands(same, replace(PLAN, confidence=0.99))[place]
        assert all(wide.low < row.low for wide, row in zip(wider.entries, band.entries, strict=True))
    assert bands(same) == bands(same)


def test_a_group_that_lost_is_pointed_at_and_no_other() -> None:
    gender = np.array(["masc", "fem"])[np.arange(800) % 2].tolist()
    for seed in range(10):
        before = np.random.default_rng(seed).random(800) < 0.8
        lost = before & (np.array(gender) == "fem") & (np.random.default_rng(seed + 99).random(800) < 0.25)
        (band,) = bands(paired(simple(before, gender=gender), simple(before & ~lost, gender=gender))).values()
        assert [row.name for row in band.outside] == ["fem"]


def test_bands_hold_all_true_changes_in_at_least_94_of_100() -> None:
    # Six groups of 40 to 400 images; losses in some, gains in others. 400 worlds: Monte Carlo error .011.
    random, size = np.random.default_rng(7), np.array([40, 60, 100, 200, 300, 400])
    loss, gain = np.array([0.1, 0.02, 0.05, 0.0, 0.03, 0.06]), np.array([0.02, 0.02, 0.0, 0.05, 0.03, 0.0])
    names, group_N = [f"g{number}" for number in range(6)], np.repeat(np.arange(6), size)
    cells, held, worlds = [names[number] for number in group_N], 0, 400
    for world in range(worlds):
        draw = random.random(len(group_N))
        lost, gained = draw < loss[group_N], draw > 1 - gain[group_N]
        pairing = paired(simple(~gained, gender=cells), simple(~lost, gender=cells))
        (band,) = bands(pairing, replace(PLAN, seed=world, draws=200)).values()
        truth = dict(zip(names, gain - loss, strict=True))
        held += all(row.low <= truth[row.name] <= row.high for row in band.entries)
    assert held / worlds >= 0.94 - 2 * 0.011
