"""Recall gaps: by hand for small cases, against fairlearn for a large one."""

import numpy as np
import pytest

from qbias.metrics.classification import hits, top_k_indices
from qbias.metrics.disparity import macro_gap, max_disparity, min_disparity, recall_gaps
from qbias.metrics.groups import members
from tests.golden.make_metrics import classification_inputs, read_golden

GOLDEN = read_golden()["disparity"]
# Three classes. Class 0: a 2 of 4, b 3 of 3. Class 1: a 3 of 3, b 1 of 4. Class 2: a 1 of 1, b 0 of 2 (below a floor of 2).
LABEL = [0] * 7 + [1] * 7 + [2] * 3
GROUP = list("aaaabbb") + list("aaabbbb") + list("abb")
HIT = [*(1, 1, 0, 0, 1, 1, 1), *(1, 1, 1, 1, 0, 0, 0), *(1, 0, 0)]


def test_gaps_by_hand() -> None:
    gaps = recall_gaps(LABEL, HIT, members(GROUP, "a"), members(GROUP, "b"), classes=4, min_per_group=2)
    assert gaps.gap_C[:3].tolist() == [-0.5, 0.75, 1.0]  # 2/4 - 3/3, 3/3 - 1/4, 1/1 - 0/2
    assert np.isnan(gaps.gap_C[3])
    assert gaps.eligible_C.tolist() == [True, True, False, False]
    assert (gaps.count_first_C.tolist(), gaps.count_second_C.tolist()) == ([4, 3, 1, 0], [3, 4, 2, 0])
    assert (min_disparity(gaps), max_disparity(gaps)) == (0.5, 0.75)
    assert (min_disparity(gaps, sign="signed"), max_disparity(gaps, sign="signed")) == (-0.5, 0.75)
    assert macro_gap(gaps) == 0.125  # (-0.5 + 0.75) / 2


def test_the_floor_decides_who_counts() -> None:
    first, second = members(GROUP, "a"), members(GROUP, "b")
    low = recall_gaps(LABEL, HIT, first, second, classes=3, min_per_group=1)
    assert max_disparity(low) == 1.0
    high = recall_gaps(LABEL, HIT, first, second, classes=3, min_per_group=5)
    for measure in (min_disparity, max_disparity, macro_gap):
        with pytest.raises(ValueError, match="no class has enough positives"):
            measure(high)


def test_a_floor_below_one_still_needs_a_person() -> None:
    gaps = recall_gaps([0], [True], [True], [False], classes=1, min_per_group=0)
    assert not gaps.eligible_C.any()


def test_a_person_in_both_groups_counts_in_both() -> None:
    gaps = recall_gaps([0, 0], [True, False], [True, False], [True, True], classes=1, min_per_group=1)
    assert gaps.gap_C.tolist() == [0.5]  # 1/1 - 1/2


def test_an_unknown_sign_is_refused() -> None:
    gaps = recall_gaps([0, 0], [1, 0], [1, 0], [0, 1], classes=1, min_per_group=1)
    with pytest.raises(ValueError, match="sign='squared'"):
        max_disparity(gaps, sign="squared")  # type: ignore[arg-type]


@pytest.mark.parametrize("k", [1, 5])
def test_gaps_equal_fairlearns(k: int) -> None:
    data = classification_inputs()
    hit = hits(data.label_N, top_k_indices(data.score_NC, k=5), k=k)
    gaps = recall_gaps(data.label_N, hit, members(data.group_N, "a"), members(data.group_N, "b"), classes=20, min_per_group=25)
    expected = GOLDEN[f"fairlearn_at_{k}"]
    assert gaps.eligible_C.tolist() == [gap is not None for gap in expected["gap_C"]]
    assert 3 <= gaps.eligible_C.sum() < 20, "the floor leaves some classes out and some in"
    assert np.allclose(gaps.gap_C[gaps.eligible_C], [gap for gap in expected["gap_C"] if gap is not None], atol=1e-12)
    assert min_disparity(gaps) == pytest.approx(expected["min_absolute"], abs=1e-12)
    assert max_disparity(gaps) == pytest.approx(expected["max_absolute"], abs=1e-12)
    assert min_disparity(gaps, sign="signed") == pytest.approx(expected["min_signed"], abs=1e-12)
    assert max_disparity(gaps, sign="signed") == pytest.approx(expected["max_signed"], abs=1e-12)
    assert macro_gap(gaps) == pytest.approx(expected["mean"], abs=1e-12)
