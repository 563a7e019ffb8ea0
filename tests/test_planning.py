"""The planning formulas beside the gate's own statistics on drawn outcomes in which nothing changed."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benches.calibration.worlds import BENCHMARK, World, hits_as_predictions, paired
from qbias.pairwise.classification import classification_changes
from qbias.pairwise.retrieval import retrieval_changes
from qbias.records import Evaluation, Outcomes, Pairing
from qbias.significance import AnalysisPlan
from registry.planning import (
    Noise,
    critical_value,
    flip_noise,
    half_widths,
    joint_probability,
    needed_scale,
    pass_probability,
)

REPLICATIONS = 150
PLAN = AnalysisPlan(endpoints=(), margins=(), draws=300)


def gap_noise(first: int, second: int, classes: int, churn: float, *, macro: bool = False) -> Noise:
    """As registry/subjects.py makes it: each class has its two groups."""
    weight_TS = np.kron(np.eye(classes), [[1 / first, -1 / second]])
    size_S = np.tile([first, second], classes)
    if macro:
        return flip_noise(size_S, weight_TS.mean(axis=0, keepdims=True), churn=churn, smoothing=0.25 / classes)
    return flip_noise(size_S, weight_TS, churn=churn, smoothing=0.25)


def one_noise(size: int, churn: float) -> Noise:
    return flip_noise([size], [[1 / size]], churn=churn, smoothing=0.5)


def drawn_pairings(first: int, second: int, classes: int, churn: float) -> list[Pairing]:
    """Pairs in which gains and losses are equally likely, so that nothing changed."""
    shape = (classes, 2)
    sizes = np.tile([first, second], (classes, 1))
    world = World(sizes, np.full(shape, 0.6), np.full(shape, churn / 2), np.full(shape, churn / 2))
    found = []
    for seed in range(REPLICATIONS):
        hits = world.outcomes(np.random.default_rng(seed))
        tops = tuple(hits_as_predictions(world.label_N, hit_N, classes) for hit_N in hits)
        found.append(paired(world.label_N, world.group_N, (tops[0], tops[1]), classes=classes, floor=2))
    return found


def agrees(predicted: float, passed: list[bool]) -> bool:
    """Within .05 beyond three standard errors of the simulated share."""
    share = float(np.mean(passed))
    return bool(abs(share - predicted) < 0.05 + 3 * (predicted * (1 - predicted) / len(passed)) ** 0.5)


@pytest.mark.parametrize(
    ("first", "second", "classes", "churn", "accuracy", "macro", "gap"),
    [
        (25, 25, 6, 0.05, 0.0325, 0.079, 0.358),
        (120, 40, 8, 0.03, 0.0121, 0.034, 0.194),
        (150, 150, 12, 0.08, 0.0117, 0.0283, 0.172),
    ],
)
def test_formulas_agree_with_the_statistics(
    first: int, second: int, classes: int, churn: float, accuracy: float, macro: float, gap: float
) -> None:
    found = [classification_changes(row, BENCHMARK, PLAN) for row in drawn_pairings(first, second, classes, churn)]
    accuracies = [row.changes[0] for row in found]
    macros = [next(change for change in row.changes if "macro_gap" in change.metric) for row in found]
    bands = [row.bands[0] for row in found]
    noise = one_noise(classes * (first + second), churn)
    one_sided = pass_probability(noise, margin=accuracy, level=0.95, both_sides=False)
    assert agrees(one_sided, [row.low >= -accuracy for row in accuracies])
    noise = gap_noise(first, second, classes, churn, macro=True)
    whole = pass_probability(noise, margin=macro, level=0.95, both_sides=True)
    assert agrees(whole, [-macro <= row.low and row.high <= macro for row in macros])
    noise = gap_noise(first, second, classes, churn)
    all_classes = pass_probability(noise, margin=gap, level=0.95, both_sides=True)
    assert agrees(all_classes, [all(-gap <= row.low and row.high <= gap for row in band.entries) for band in bands])
    halves = np.mean([[(row.high - row.low) / 2 for row in band.entries] for band in bands])
    assert halves == pytest.approx(half_widths(noise, 0.95)[0], rel=0.08)
    # The comparison above says something only where neither nothing nor everything passes.
    assert all(0.2 < value < 0.95 for value in (one_sided, whole, all_classes))


def test_a_margin_of_two_points_at_25_persons_a_group_never_passes() -> None:
    noise = gap_noise(25, 25, 6, 0.05)
    one = noise.of(0)
    assert critical_value(one, 0.95) * one.variance_T[0] ** 0.5 == pytest.approx(0.124, abs=0.001)  # without smoothing
    assert half_widths(one, 0.95)[0] == pytest.approx(0.146, abs=0.001)
    assert half_widths(noise, 0.95)[0] == pytest.approx(0.195, abs=0.001)
    for judged in (one, noise):
        assert pass_probability(judged, margin=0.02, level=0.95, both_sides=True) == 0
    changes = [classification_changes(row, BENCHMARK, PLAN) for row in drawn_pairings(25, 25, 6, 0.05)[:40]]
    for found in changes:
        gaps = [row for row in found.changes if "/gap_at_" in row.metric] + list(found.bands[0].entries)
        assert all(row.low < -0.02 or row.high > 0.02 for row in gaps)


def searched_pair(images: int, captions: int, churn: float, *, together: bool, seed: int) -> Pairing:
    """Captions of an image flip together or each by itself; hits before are as likely as not."""
    random = np.random.default_rng(seed)
    before_IC = random.random((images, captions)) < 0.5
    if together:
        before_IC[:] = before_IC[:, :1]
    flip_IC = random.random((images, 1 if together else captions)) < churn
    sides = [_retrieval(hit_IC) for hit_IC in (before_IC, before_IC ^ flip_IC)]
    evaluations = [
        Evaluation("model", name, str(1 + place), "1", "", "", name, "", {}, {"search": side}, {})
        for place, (name, side) in enumerate(zip(("fp32", "int8"), sides, strict=True))
    ]
    return Pairing(*evaluations)


def _retrieval(hit_IC: np.ndarray) -> Outcomes:
    images, captions = hit_IC.shape
    ids = np.array([f"{row:04}" for row in range(images)])
    frames = {
        "captions": pd.DataFrame({"image": np.repeat(ids, captions), "rank": np.where(hit_IC.ravel(), 0, 9)}),
        "images": pd.DataFrame({"id": ids, "rank": np.where(hit_IC[:, 0], 0, 9)}),
    }
    return Outcomes("search", "retrieval", {"ks": [1]}, frames, "", "", {}, "")


def test_recall_counts_images_and_is_cautious_where_captions_flip_apart() -> None:
    margin = 0.02
    predicted = pass_probability(one_noise(1000, 0.05), margin=margin, level=0.95, both_sides=False)
    passed = {}
    for together in (True, False):
        pairs = [searched_pair(1000, 5, 0.05, together=together, seed=seed) for seed in range(REPLICATIONS)]
        found = [retrieval_changes(row, "search", PLAN).changes for row in pairs]
        for change in found[0]:
            lows = [next(row.low for row in rows if row.metric == change.metric) for rows in found]
            passed[change.metric.split("/")[1][:5], together] = [low >= -margin for low in lows]
    assert 0.5 < predicted < 0.95
    assert agrees(predicted, passed["image", True])
    assert agrees(predicted, passed["text_", True])
    assert agrees(predicted, passed["text_", False])
    assert np.mean(passed["image", False]) > predicted + 0.1


MAKERS: list[Callable[[], Noise]] = [
    lambda: one_noise(5000, 0.05),
    lambda: gap_noise(25, 80, 10, 0.05),
    lambda: gap_noise(25, 80, 10, 0.05, macro=True),
    lambda: Noise(np.full(3, 1e-4), np.full(3, 1e-11), np.zeros(3), np.array([[1, -0.5, -0.5], [-0.5, 1, -0.5], [-0.5, -0.5, 1]])),
]


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("both_sides", [True, False])
def test_the_needed_sizes_give_the_wanted_probability(make: Callable[[], Noise], both_sides: bool) -> None:
    noise = make()
    scale = needed_scale(noise, margin=0.03, level=0.95, both_sides=both_sides)
    assert scale is not None
    assert pass_probability(noise.at(scale), margin=0.03, level=0.95, both_sides=both_sides) == pytest.approx(0.8, abs=0.005)
    assert pass_probability(noise.at(scale / 2), margin=0.03, level=0.95, both_sides=both_sides) < 0.8


def test_there_is_no_answer_beyond_a_million_times_the_sizes() -> None:
    assert needed_scale(one_noise(100, 0.05), margin=1e-7, level=0.95, both_sides=True) is None


@given(
    size=st.integers(2, 5000), churn=st.floats(0.001, 0.9), margin=st.floats(1e-4, 1.0), more=st.floats(1.0, 10.0),
    level=st.floats(0.5, 0.999), both_sides=st.booleans(),
)  # fmt: skip
def test_a_wider_margin_or_lower_level_never_lowers_the_probability(
    size: int, churn: float, margin: float, more: float, level: float, both_sides: bool
) -> None:
    noise = gap_noise(size, size + 3, 4, churn)
    value = pass_probability(noise, margin=margin, level=level, both_sides=both_sides)
    assert 0 <= value <= 1
    assert pass_probability(noise, margin=margin * more, level=level, both_sides=both_sides) >= value - 1e-12
    assert pass_probability(noise, margin=margin, level=level * 0.9, both_sides=both_sides) >= value - 1e-12


def test_one_side_passes_at_least_as_often_as_both() -> None:
    noise = one_noise(1000, 0.05)
    one, both = (pass_probability(noise, margin=0.02, level=0.95, both_sides=sides) for sides in (False, True))
    assert both < one < 1
    assert both == pytest.approx(2 * one - 1, abs=0.01)


def test_correlated_statistics_need_a_smaller_critical_value_than_independent_ones() -> None:
    ones, opposite = np.ones(2), np.array([[1.0, -1.0], [-1.0, 1.0]])
    assert critical_value(Noise(ones, ones, ones, opposite), 0.95) == pytest.approx(1.96, abs=0.03)
    assert critical_value(Noise(ones, ones, ones, np.eye(2)), 0.95) == pytest.approx(
        critical_value(Noise(ones, ones, ones), 0.95), abs=0.03
    )


def test_joint_probability_has_the_bounds_of_any_dependence() -> None:
    assert joint_probability([]) == (1.0, 0.0 + 1.0, 1.0)
    assert joint_probability([0.5, 0.4]) == pytest.approx((0.2, 0.0, 0.4))
    product, least, most = joint_probability([0.99, 0.9, 0.95])
    assert least < product < most == 0.9
