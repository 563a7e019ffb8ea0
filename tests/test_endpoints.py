"""What an endpoint may name, and which margin a metric has."""

import pytest

from qbias.endpoints import endpoint_harm, is_composite, margin_of, members
from qbias.measure import METRICS
from qbias.significance import AnalysisPlan, Endpoint, Margin
from registry.policy import load_policy

PLAN = AnalysisPlan(
    endpoints=(Endpoint("facet/gender_mf/macro_gap_at_1", 0.02, "primary"),),
    margins=(Margin("facet/*", 0.03, "facet"), Margin("*gap*", 0.04, "gaps")),
)


@pytest.mark.parametrize(
    ("metric", "margin"),
    [("facet/gender_mf/macro_gap_at_1", 0.02), ("facet/gender_mf/macro_gap_at_5", 0.03), ("own/pair/macro_gap_at_1", 0.04)],
)
def test_the_endpoints_margin_counts_then_the_first_pattern(metric, margin):
    found = margin_of(metric, PLAN)
    assert found is not None
    assert found.margin == margin


def test_a_metric_without_a_margin_has_none():
    assert margin_of("imagenet/accuracy_at_1", PLAN) is None


def test_a_composite_speaks_for_every_group_of_its_benchmark_alone():
    names = ["fairface/gender/male/mean_skew_at_200", "heads/size/large/mean_skew_at_200", "fairface/gender/max_skew_at_200"]
    assert members("fairface/largest_mean_skew_change", names) == names[:1]
    assert is_composite("fairface/largest_mean_skew_change")
    assert not is_composite("fairface/gender/max_skew_at_200")


def test_an_endpoint_that_no_metric_has_is_refused():
    with pytest.raises(ValueError, match=r"unknown metric 'facet/gender/gap'.*largest_mean_skew_change"):
        endpoint_harm("facet/gender/gap")


def test_harm_of_an_endpoint():
    assert endpoint_harm("imagenet/accuracy_at_1") == "lower"
    assert endpoint_harm("fairface/largest_mean_skew_change") == "none"


def test_every_metric_has_a_margin_in_the_default_policy():
    plan = load_policy().analysis_plan()
    names = [row.pattern.format(benchmark="b", pair="p", attribute="a", value="v", k=1) for row in METRICS]
    assert [name for name in names if margin_of(name, plan) is None] == []
