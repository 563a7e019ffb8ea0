"""How far embeddings moved, and whether neighbours kept their order: plain functions of unit rows.

Shapes: N items, M other items, D embedding width.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

Rows = NDArray[np.floating]


def angles(candidate_ND: Rows, baseline_ND: Rows) -> NDArray[np.float64]:
    """Angle in degrees between the rows of two matrices.

    ``2 arcsin(|a - b| / 2)`` for less than a right angle and ``180 - 2 arcsin(|a + b| / 2)`` beyond, of rows scaled to length 1 in double
    precision. 0 means the same direction. The arc cosine of a product would lose half of the digits near 0.

    Parameters
    ----------
    candidate_ND, baseline_ND : rows of any length but 0.

    Returns
    -------
    (N,) degrees from 0 to 180.

    Examples
    --------
    >>> angles(np.array([[2.0, 0.0], [1.0, 1.0], [-1.0, 0.0]]), np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])).round(6).tolist()
    [0.0, 45.0, 180.0]
    """
    first, second = _unit(candidate_ND), _unit(baseline_ND)
    apart, together = (
        np.degrees(2 * np.arcsin(np.minimum(np.linalg.norm(row, axis=1) / 2, 1))) for row in (first - second, first + second)
    )
    found: NDArray[np.float64] = np.where(apart <= 90, apart, 180 - together)
    return found


def drift(candidate_ND: Rows, baseline_ND: Rows) -> Mapping[str, float]:
    """Mean and least cosine, and mean, median, 95th percentile (linear) and largest angle in degrees, over N >= 1 items."""
    angle_N = angles(candidate_ND, baseline_ND)
    cosine_N = (_unit(candidate_ND) * _unit(baseline_ND)).sum(axis=1)
    return {
        "cosine_mean": float(cosine_N.mean()),
        "cosine_min": float(cosine_N.min()),
        "angle_mean": float(angle_N.mean()),
        "angle_median": float(np.median(angle_N)),
        "angle_p95": float(np.quantile(angle_N, 0.95)),
        "angle_max": float(angle_N.max()),
    }


def _unit(row_ND: Rows) -> NDArray[np.float64]:
    rows = row_ND.astype(np.float64)
    found: NDArray[np.float64] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return found


def others(score_NN: Rows) -> Rows:
    """Scores of each item with all others: the matrix (N, N) without its diagonal, as (N, N - 1)."""
    count = len(score_NN)
    return score_NN[~np.eye(count, dtype=bool)].reshape(count, count - 1)


def overlap(candidate_NM: Rows, baseline_NM: Rows, k: int) -> float:
    """Mean share of a row's k best-scored columns that both matrices have in common.

    0: no row keeps any, 1: every row keeps all (in any order). Equal scores go to the lower column; k is at most M.

    Examples
    --------
    >>> overlap(np.array([[3.0, 2.0, 1.0]]), np.array([[3.0, 1.0, 2.0]]), 2)
    0.5
    """
    k = min(k, baseline_NM.shape[1])
    best = [np.argsort(-score_NM, axis=1, kind="stable")[:, :k] for score_NM in (candidate_NM, baseline_NM)]
    shared_NKK = best[0][:, :, None] == best[1][:, None, :]
    return float(shared_NKK.any(axis=2).mean())


def rank_correlation(candidate_NM: Rows, baseline_NM: Rows) -> float | None:
    """Mean over rows of Spearman's correlation: Pearson's, of the ranks; equal scores share their mean rank.

    0: unrelated orders, 1: the same order, -1: reversed. A row whose scores are all equal has no order and is left out; None where
    none is left.

    Examples
    --------
    >>> rank_correlation(np.array([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]]), np.array([[1.0, 2.0, 5.0], [1.0, 2.0, 5.0]]))
    0.0
    """
    first, second = (_centred_ranks(score_NM) for score_NM in (candidate_NM, baseline_NM))
    scale_N = np.sqrt((first**2).sum(axis=1) * (second**2).sum(axis=1))
    ordered = scale_N > 0
    if not ordered.any():
        return None
    return float(((first * second).sum(axis=1)[ordered] / scale_N[ordered]).mean())


def _centred_ranks(score_NM: Rows) -> NDArray[np.float64]:
    rank_NM = rankdata(score_NM, axis=1)
    found: NDArray[np.float64] = rank_NM - rank_NM.mean(axis=1, keepdims=True)
    return found
