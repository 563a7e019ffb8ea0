"""One pair on a skew benchmark: names and values are those that `measure` logs; what cannot be measured is left out."""

import numpy as np
import pytest

from qbias.families import slug
from qbias.measure import measure
from qbias.pairwise import PairStatistics
from qbias.pairwise.skew import MOST_DRAWS, Rankings, joint_changes, searches, skew_changes
from qbias.records import Insufficient
from qbias.significance.records import AnalysisPlan
from tests.pairs import ATTRIBUTES, PROMPTS, paired, searched, with_facts

PLAN = AnalysisPlan((), (), draws=60, seed=1)


@pytest.fixture(scope="module")
def pairing():
    return paired(searched(), searched(noise=0.3, shift=0.4))


@pytest.fixture(scope="module")
def found(pairing):
    return skew_changes(pairing, "search", PLAN)


def _logged(outcomes):
    return {row.name: row.value for row in measure(outcomes)[0]}


def test_every_metric_but_ndkl_has_its_record_under_its_logged_name(pairing, found):
    names = {row.metric for row in (*found.changes, *found.swaps)}
    assert names == {name for name in _logged(pairing.candidate.outcomes["search"]) if "ndkl" not in name}
    assert {(row.model, row.quantizer) for row in (*found.changes, *found.swaps, *found.bands)} == {("toy", "int8")}


def test_values_are_the_logged_ones(pairing, found):
    before, after = (_logged(side.outcomes["search"]) for side in (pairing.baseline, pairing.candidate))
    for row in found.changes:
        assert (row.baseline, row.candidate) == pytest.approx((before[row.metric], after[row.metric]))
        assert row.low < row.difference < row.high
        assert (row.draws, row.n) == (60, 90 * len(PROMPTS))
    for row in found.swaps:
        assert row.difference == pytest.approx(after[row.metric] - before[row.metric])
        assert 1 / 61 <= row.p <= 1


def test_bands_hold_the_changes_and_are_wider_than_intervals(found):
    assert [band.slice_ for band in found.bands] == ["gender", "age"]
    changes = {row.metric: row for row in found.changes}
    for band in found.bands:
        assert (band.subject, band.benchmark, band.k) == ("mean skew", "search", 30)
        for entry in band.entries:
            one = changes[f"search/{band.slice_}/{slug(entry.name)}/mean_skew_at_30"]
            assert entry.difference == one.difference
            assert entry.n_second == 0
        assert sum(entry.n_first for entry in band.entries) == 90
    age = found.bands[1]
    assert all(row.high - row.low > changes[f"search/age/{row.name}/mean_skew_at_30"].high - row.difference for row in age.entries)


def test_a_planted_shift_is_found_and_no_change_is_none():
    planted = skew_changes(paired(searched(), searched(shift=1.5)), "search", PLAN)
    male, female = planted.bands[0].entries[::-1]
    assert male.name == "Male"
    assert male.low > 0 > female.high
    assert {row.p for row in planted.swaps[:2]} == {1 / 61}
    same = skew_changes(paired(searched(), searched()), "search", PLAN)
    assert {(row.low, row.difference, row.high) for row in same.changes} == {(0, 0, 0)}
    assert {row.p for row in same.swaps} == {1.0}
    assert not any(band.outside for band in same.bands)


@pytest.mark.parametrize(
    ("columns", "left"),
    [
        ({"gender": "Male"}, {"age"}),
        ({"gender": ""}, {"age"}),
        ({"gender": "", "age": ""}, set()),
        ({"gender": np.resize(["Male", "", "Female"], 90)}, {"gender", "age"}),
        ({"gender": np.where(np.arange(90) < 29, "Male", "")}, {"age"}),
    ],
)
def test_attributes_that_cannot_be_measured_are_left_out(columns, left):
    pairing = paired(searched(**columns), searched(noise=0.3, **columns))
    found = skew_changes(pairing, "search", PLAN)
    assert {row.slice_ for row in found.bands} == left
    after = _logged(pairing.candidate.outcomes["search"])
    assert {row.metric for row in (*found.changes, *found.swaps)} == {name for name in after if "ndkl" not in name}
    for row in found.changes:
        assert row.candidate == pytest.approx(after[row.metric])


@pytest.mark.parametrize("k", [90, 1000])
def test_a_list_of_all_images_has_no_statistics(k):
    assert skew_changes(paired(searched(k=k), searched(k=k, noise=1)), "search", PLAN) == PairStatistics()


def test_uniform_shares_and_values_that_do_not_occur():
    sides = [
        with_facts(searched(noise=noise), desired="uniform", attributes=ATTRIBUTES | {"gender": ["Male", "Female", "X"]})
        for noise in (0, 1)
    ]
    found, after = skew_changes(paired(*sides), "search", PLAN), _logged(sides[1])
    assert {row.metric: row.candidate for row in found.changes} == pytest.approx(
        {name: after[name] for name in after if "mean_skew" in name}
    )


def test_draws_have_a_ceiling(monkeypatch):
    monkeypatch.setattr("qbias.pairwise.skew.MOST_DRAWS", 20)
    found = skew_changes(paired(searched(), searched(noise=0.3)), "search", PLAN)
    assert {row.draws for row in (*found.changes, *found.bands, *found.swaps)} == {20}
    assert MOST_DRAWS >= 200


def test_lists_are_ranked_once(pairing):
    rankings = Rankings()
    first = rankings.of(pairing.baseline.outcomes["search"])
    assert rankings.of(pairing.baseline.outcomes["search"]) is first
    plain = searches(pairing.baseline.outcomes["search"])
    assert np.array_equal(plain[0].order_PN, first[0].order_PN)
    assert len(first) == 1
    assert skew_changes(pairing, "search", PLAN, rankings=rankings) == skew_changes(pairing, "search", PLAN)


def test_joint_changes_are_the_changes_and_their_errors_over_images():
    metric = "search/gender/female/mean_skew_at_150"
    pairings = [paired(searched(500, 150, seed=2), searched(500, 150, 0.5, seed=2), model) for model in ("a", "b")]
    pairings.append(paired(searched(500, 150, seed=2), searched(500, 150, 0.5, 0.2, seed=2), "c"))
    joint = joint_changes(pairings, metric)
    assert joint.models == ("a", "b", "c")
    one = {row.metric: row for row in skew_changes(pairings[2], "search", PLAN).changes}[metric]
    assert joint.change_M[2] == pytest.approx(one.difference)
    # Over images alone, so no wider than over images and prompts.
    assert 0 < joint.covariance_MM[2, 2] ** 0.5 < 1.3 * (one.high - one.low) / 3.92
    assert joint.covariance_MM[0, 1] == pytest.approx(joint.covariance_MM[0, 0])
    np.testing.assert_allclose(joint.covariance_MM, joint.covariance_MM.T)


def test_joint_changes_of_what_is_not_measured_are_insufficient(pairing):
    for pairings, metric in (
        ([pairing], "search/gender/male/mean_skew_at_31"),
        ([pairing], "search/gender/max_skew_at_30"),
        ([pairing], "elsewhere/gender/male/mean_skew_at_30"),
        ([], "search/gender/male/mean_skew_at_30"),
    ):
        assert isinstance(joint_changes(pairings, metric), Insufficient)
