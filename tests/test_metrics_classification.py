"""Top classes, accuracy and recalls: by hand for small cases, against other libraries for large ones."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qbias.metrics.classification import accuracy, group_recalls, hits, recall_per_class, top_k_indices, worst_group_accuracy
from tests.golden.make_metrics import classification_inputs, read_golden

GOLDEN = read_golden()["classification"]


def test_top_k_is_the_stable_sort() -> None:
    rng = np.random.default_rng(1)
    score_NC = rng.integers(0, 6, size=(200, 12)).astype(np.float32)  # many ties
    expected = np.argsort(-score_NC, axis=1, kind="stable")
    for k in (1, 5, 12):
        assert (top_k_indices(score_NC, k=k) == expected[:, :k]).all()


ROW = st.lists(st.sampled_from([-1.0, -0.0, 0.0, 0.25, 0.5]), min_size=4, max_size=4)


@settings(max_examples=60)
@given(rows=st.lists(ROW, min_size=1, max_size=5), k=st.integers(1, 4))
def test_ties_go_to_the_lower_index(rows: list[list[float]], k: int) -> None:
    expected = [sorted(range(4), key=lambda c: (-row[c], c))[:k] for row in rows]
    assert top_k_indices(rows, k=k).tolist() == expected


def test_the_scores_are_left_as_they_were() -> None:
    score_NC = np.eye(3, dtype=np.float32)
    top_k_indices(score_NC, k=2)
    assert (score_NC == np.eye(3)).all()


@pytest.mark.parametrize("k", [0, 4, -1])
def test_k_outside_the_classes_is_refused(k: int) -> None:
    with pytest.raises(ValueError, match=f"k={k}"):
        top_k_indices(np.eye(3), k=k)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_scores_that_are_not_finite_are_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="row 1 of the scores"):
        top_k_indices([[0.0, 1.0], [bad, 0.0]], k=1)


def test_hits_by_hand() -> None:
    top_NK = [[2, 0], [1, 2], [0, -1]]
    assert hits([0, 1, -1], top_NK, k=1).tolist() == [False, True, False]
    assert hits([0, 1, -1], top_NK, k=2).tolist() == [True, True, False], "no label is never hit, not even by no class"
    with pytest.raises(ValueError, match="k=3"):
        hits([0, 1, 2], top_NK, k=3)


def test_accuracy_of_no_image_is_no_number() -> None:
    with pytest.raises(ValueError, match="accuracy of no image"):
        accuracy([])


@pytest.mark.parametrize("k", [1, 5])
def test_accuracy_equals_scikit_learns(k: int) -> None:
    data = classification_inputs()
    top_NK = top_k_indices(data.score_NC, k=5)
    assert accuracy(hits(data.label_N, top_NK, k=k)) == pytest.approx(GOLDEN[f"sklearn_top_{k}_accuracy"], abs=1e-12)


def test_recall_by_class_and_group_equals_fairlearns() -> None:
    data = classification_inputs()
    hit = hits(data.label_N, top_k_indices(data.score_NC, k=5), k=1)
    groups = tuple(sorted(set(data.group_N)))
    found = group_recalls(data.label_N, hit, data.group_N, classes=data.score_NC.shape[1], groups=groups)
    assert np.allclose(found.recall_CG, GOLDEN["fairlearn_recall_CG"], atol=1e-12)
    assert found.count_CG.sum() == len(data.label_N)


def test_a_class_without_positives_has_no_recall() -> None:
    recall, count = recall_per_class([0, 2, 2], [True, True, False], classes=4)
    assert recall[[0, 2]].tolist() == [1.0, 0.5]
    assert np.isnan(recall[[1, 3]]).all()
    assert count.tolist() == [1, 0, 2, 0]
    assert group_recalls([0], [True], ["a"], classes=2, groups=()).recall_CG.shape == (2, 0)


def test_the_worst_group_is_among_the_large_ones() -> None:
    hit = [True, False, True, True, False]
    group = ["a", "a", "b", "b", "tiny"]
    assert worst_group_accuracy(hit, group, groups=("a", "b", "tiny"), min_per_group=2) == ("a", 0.5, 2)
    assert worst_group_accuracy(hit, group, groups=("a", "b", "tiny"), min_per_group=1) == ("tiny", 0.0, 1)
    with pytest.raises(ValueError, match=r"no group has 3 images \(a: 2, b: 2\)"):
        worst_group_accuracy(hit, group, groups=("a", "b"), min_per_group=3)
