"""The golden values: other libraries still give them, and ours are equal for retrieval, groups, intersections and each group's skew.

Accuracy, disparities, MinSkew, MaxSkew and NDKL are held to theirs in tests/test_metrics_*.py.
"""

from typing import Any

import numpy as np
import pytest

from qbias.metrics import accuracy, image_ranks, intersection, members, recall_at_k, skews, text_ranks, values, worst_group_accuracy
from tests.golden.make_metrics import group_inputs, made_golden, read_golden, retrieval_inputs, skew_inputs

GOLDEN = read_golden()


def leaves(value: Any, path: str = "") -> dict[str, Any]:
    """Every number of a nested value under its place."""
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return {place: leaf for key, item in items for place, leaf in leaves(item, f"{path}/{key}").items()}
    return {path: value}


def test_the_stored_values_are_what_the_libraries_give() -> None:
    stored, now = (leaves({name: part for name, part in golden.items() if name != "made_with"}) for golden in (GOLDEN, made_golden()))
    assert now == pytest.approx(stored, abs=1e-12, nan_ok=False)


def test_a_changed_value_is_noticed() -> None:
    changed = leaves(GOLDEN["retrieval"])
    changed["/recall_at_1/sklearn_text"] += 1e-9
    assert leaves(GOLDEN["retrieval"]) != pytest.approx(changed, abs=1e-12)


@pytest.mark.parametrize("k", [1, 5, 10])
def test_retrieval_recall_equals_both_routes(k: int) -> None:
    data, expected = retrieval_inputs(), GOLDEN["retrieval"][f"recall_at_{k}"]
    image = recall_at_k(image_ranks(data.text_MD, data.image_ND, data.image_M), k=k)
    text = recall_at_k(text_ranks(data.image_ND, data.text_MD, data.image_M), k=k)
    assert [image, image] == pytest.approx([expected["sklearn_image"], expected["one_hot_image"]], abs=1e-12)
    assert [text, text] == pytest.approx([expected["sklearn_text"], expected["one_hot_text"]], abs=1e-12)
    assert abs(image - text) > 0.01, "the two directions have figures of their own"


@pytest.mark.parametrize("attribute", ["gender", "skin", "gender & skin"])
def test_group_accuracies_equal_fairlearns(attribute: str) -> None:
    data = group_inputs()
    columns = {"gender": data.gender_N, "skin": data.skin_N, "gender & skin": intersection(data.gender_N, data.skin_N)}
    column, expected = columns[attribute], GOLDEN["groups"][attribute]
    found = {name: accuracy(data.hit_N[members(column, name)]) for name in values(column)}
    assert found == pytest.approx(expected, abs=1e-12)
    worst, share, count = worst_group_accuracy(data.hit_N, column, groups=tuple(values(column)), min_per_group=1)
    assert share == pytest.approx(GOLDEN["groups"]["worst"][attribute], abs=1e-12)
    assert (worst, count) == (min(expected, key=expected.__getitem__), np.count_nonzero(members(column, worst)))


@pytest.mark.parametrize("desired", ["dataset", "uniform"])
def test_each_groups_skew_equals_the_pandas_version(desired: str) -> None:
    group, score_NP = skew_inputs()
    found = skews(group, score_NP, k=100, desired=desired)  # type: ignore[arg-type]
    expected = GOLDEN["skew"][desired]["skew_P"]
    assert found.groups == tuple(expected)
    assert np.allclose(found.skew_PG, np.column_stack(list(expected.values())), rtol=0, atol=1e-12)
