"""Extremes beside shuffled labels: names, observed values and what chance alone gives."""

import numpy as np
import pytest

from qbias.measure import measure
from qbias.pairwise.nulls import extreme_nulls
from qbias.significance.records import AnalysisPlan
from tests.pairs import classified, evaluation, searched, with_facts

PLAN = AnalysisPlan((), (), draws=200, seed=1)


def _logged(outcomes):
    return {row.name: row.value for row in measure(outcomes)[0]}


@pytest.mark.parametrize(
    "outcomes", [classified(), with_facts(classified(), sign="signed"), searched()], ids=["absolute", "signed", "skew"]
)
def test_every_extreme_metric_has_its_null(outcomes):
    found, logged = extreme_nulls(evaluation(outcomes), PLAN), _logged(outcomes)
    expected = {name: value for name, value in logged.items() if name.split("/")[-1][:4] in ("min_", "max_")}
    assert {row.metric: row.observed for row in found} == pytest.approx(expected)
    for row in found:
        assert row.excess == row.observed - row.expected
        assert (row.draws, row.seed) == (200, 1)
        low = row.metric.split("/")[-1].startswith("min")
        assert row.q95 <= row.expected if low else row.q95 >= row.expected
        assert np.isfinite([row.observed, row.expected, row.q95]).all()


def test_labels_without_a_meaning_leave_little_excess_and_a_planted_one_much():
    nulls = {shift: {row.metric: row for row in extreme_nulls(evaluation(searched(shift=shift)), PLAN)} for shift in (0, 2)}
    plain, planted = (nulls[shift]["search/gender/max_skew_at_30"] for shift in (0, 2))
    assert plain.observed < 1.5 * plain.q95
    assert planted.observed > planted.q95 > 0
    assert plain.expected > 0 > nulls[0]["search/gender/min_skew_at_30"].expected
    # Labels are shuffled with the lists as they are, so the null does not know of the shift.
    assert planted.expected == pytest.approx(plain.expected, rel=0.25)


def test_signs_have_their_own_nulls():
    found = {row.metric: row for row in extreme_nulls(evaluation(classified()), PLAN)}
    signed, absolute = (found[f"facet/gender_mf/min_{sign}disparity_at_1"] for sign in ("signed_", "absolute_"))
    assert signed.expected < 0 < absolute.expected < found["facet/gender_mf/max_absolute_disparity_at_1"].expected
    assert found["facet/gender_mf/min_disparity_at_1"].expected == absolute.expected


@pytest.mark.parametrize(
    "outcomes",
    [
        with_facts(classified(), min_per_group=500),
        with_facts(classified(), pairs=[]),
        searched(k=90),
        searched(gender="Male", age=""),
    ],
    ids=["no eligible class", "no pair", "all images", "nothing to compare"],
)
def test_what_has_no_number_has_no_null(outcomes):
    assert extreme_nulls(evaluation(outcomes), PLAN) == ()


def test_draws_can_be_named():
    found = extreme_nulls(evaluation(searched(), classified()), AnalysisPlan((), (), draws=5000), draws=7)
    assert {row.draws for row in found} == {7}
    assert {row.metric.split("/")[0] for row in found} == {"search", "facet"}
