"""Intervals of mean skew over images and prompts: a paired bootstrap of both, fast because each prompt is sorted only once.

Why not plain resampling of rows: see `resampled_skews`. Shapes: N images, P prompts, G groups, B resamples.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

Floats = NDArray[np.float64]
Codes = NDArray[np.intp]
Order = NDArray[np.int32]


@dataclass(frozen=True)
class SkewResamples:
    """Changes of mean skew of every group, with what resampling says about them.

    Attributes
    ----------
    baseline_G, candidate_G : mean skew. difference_G : candidate - baseline; 0 is no change.
    error_G : standard error over images and prompts (over images, where there is one prompt).
    deviation_GB : resampled differences less their mean, scaled to `error_G`. Equal seeds give the same resamples for every model of the
        same images, so rows of several models may be set against each other.
    """

    baseline_G: Floats
    candidate_G: Floats
    difference_G: Floats
    error_G: Floats
    deviation_GB: Floats

    def interval(self, confidence: float) -> tuple[Floats, Floats]:
        """Normal interval of each group's change, one group at a time."""
        half_G = float(ndtri((1 + confidence) / 2)) * self.error_G
        return self.difference_G - half_G, self.difference_G + half_G

    def critical(self, confidence: float) -> float:
        """Quantile of the largest studentized deviation over the groups; 0 where nothing varies."""
        varies_G = self.error_G > 0
        if not varies_G.any():
            return 0.0
        largest_B = np.abs(self.deviation_GB[varies_G] / self.error_G[varies_G, None]).max(axis=0)
        return float(np.quantile(largest_B, confidence, method="higher"))


def best_first(score_NP: ArrayLike) -> Order:
    """The images of each prompt, best first; ties go to the lower index.

    Parameters
    ----------
    score_NP : finite scores.

    Returns
    -------
    (P, N) row numbers.

    Examples
    --------
    >>> best_first([[0.1], [0.9], [0.9]]).tolist()
    [[1, 2, 0]]
    """
    worse_PN = np.ascontiguousarray(-np.asarray(score_NP).T)
    return np.argsort(worse_PN, axis=1, kind="stable").astype(np.int32)


def group_counts(order_PN: Order, code_N: Codes, *, k: int, groups: int) -> NDArray[np.int64]:
    """Images of each group among the first k of each prompt.

    Parameters
    ----------
    order_PN : what `best_first` gave. code_N : each image's group, 0 to G - 1. k : 1 to N. groups : G.

    Returns
    -------
    (P, G) counts; each row sums to k.

    Examples
    --------
    >>> group_counts(np.array([[2, 0, 1]]), np.array([0, 1, 1]), k=2, groups=2).tolist()
    [[1, 1]]
    """
    top_PK = code_N[order_PN[:, :k]]
    return np.stack([np.count_nonzero(top_PK == group, axis=1) for group in range(groups)], axis=1)


def resampled_skews(
    baseline_PN: Order, candidate_PN: Order, code_N: Codes, share_G: Floats, *, k: int, draws: int = 400, seed: int = 0
) -> SkewResamples:
    """Changes of mean skew with the uncertainty of having drawn these images and these prompts.

    Images are drawn anew within each group (so that the dataset's shares stay), prompts as clusters, the same draw on both sides.
    The mean over prompts of ``ln(count / k)`` is made again from each draw; 0 is no change.

    A resample's top k is not searched for: its groups are counted in the original top k, and the few images by which their weights
    miss k are taken to be composed as the images around the cut are. Rows drawn twice would cost a sort per draw and prompt.

    Drawing images and prompts at once counts their interaction three times (Owen 2007). So the standard error is made of its parts,
    ``images + prompts - interaction`` (the first two hold the third each), and the deviations are scaled to it.

    Parameters
    ----------
    baseline_PN, candidate_PN : what `best_first` gave for both sides. code_N : each image's group, 0 to G - 1, each with an image.
    share_G : desired shares. k : 1 to N - 1. draws, seed : of the resampling.

    Returns
    -------
    SkewResamples, all finite; errors of 0 where nothing varies (every list the same on both sides).

    References
    ----------
    Owen 2007, The pigeonhole bootstrap, Annals of Applied Statistics 1.

    Examples
    --------
    >>> order = np.array([[0, 1, 2, 3], [3, 2, 1, 0]])
    >>> found = resampled_skews(order, order, np.array([0, 1, 0, 1]), np.array([0.5, 0.5]), k=2, draws=10)
    >>> found.difference_G.tolist(), found.error_G.tolist()
    ([0.0, 0.0], [0.0, 0.0])
    """
    groups, prompts = len(share_G), len(baseline_PN)
    rng = np.random.default_rng(seed)
    weight_NB = _image_weights(np.bincount(code_N), draws, rng)
    sides = baseline_PN, candidate_PN
    skew_SPG = np.log(np.maximum([group_counts(side, code_N, k=k, groups=groups) for side in sides], 1) / k) - np.log(share_G)
    change_PG = skew_SPG[1] - skew_SPG[0]
    before_GPB, after_GPB = (_resampled_counts(side, code_N, weight_NB, k) for side in sides)
    change_GPB = np.log(after_GPB / before_GPB)
    by_image_GB = change_GPB.mean(axis=1, dtype=np.float64)
    variance_G = by_image_GB.var(axis=1, ddof=1)
    if prompts > 1:
        by_prompt_G = change_PG.var(axis=0, ddof=1) / prompts
        interaction_G = (change_GPB - change_PG.T[:, :, None]).var(axis=1, ddof=1).mean(axis=1) / prompts
        variance_G = np.maximum(variance_G + by_prompt_G - interaction_G, np.maximum(variance_G, by_prompt_G))
        drawn_PB = rng.multinomial(prompts, np.full(prompts, 1 / prompts), size=draws).T / prompts
        by_image_GB = np.einsum("gpb,pb->gb", change_GPB, drawn_PB)
    deviation_GB = by_image_GB - by_image_GB.mean(axis=1, keepdims=True)
    spread_G, error_G = deviation_GB.std(axis=1, ddof=1), np.sqrt(variance_G)
    scale_G = np.divide(error_G, spread_G, out=np.zeros(groups), where=spread_G > 0)
    before_G, after_G = skew_SPG.mean(axis=1)
    return SkewResamples(before_G, after_G, after_G - before_G, error_G, deviation_GB * scale_G[:, None])


def _image_weights(size_G: NDArray[np.int64], draws: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """How often each resample draws each image, (N, B), images sorted by group; within a group as many draws as images."""
    weights = []
    for size in size_G.tolist():
        drawn = rng.integers(size, size=(size, draws)) * draws + np.arange(draws)
        weights.append(np.bincount(drawn.ravel(), minlength=size * draws).reshape(size, draws).astype(np.float32))
    return np.concatenate(weights)


def _resampled_counts(order_PN: Order, code_N: Codes, weight_NB: NDArray[np.float32], k: int) -> NDArray[np.float32]:
    """Images of each group in each resample's top k, (G, P, B), to first order; at least 1, as in the metric."""
    by_group_N, edges = np.argsort(code_N, kind="stable"), np.cumsum([0, *np.bincount(code_N)])
    place_N = np.empty(len(code_N), dtype=np.int32)
    place_N[by_group_N] = np.arange(len(code_N))
    top_PN = in_top(place_N[order_PN[:, :k]], images=len(code_N))
    # Sums of small whole numbers: exact in float32, in whatever order the library adds them.
    count_GPB = np.stack([top_PN[:, start:stop] @ weight_NB[start:stop] for start, stop in pairwise(edges)])
    near_PW, missing_PB = _near(order_PN, code_N, k), np.float32(k) - count_GPB.sum(axis=0)
    for group, count_PB in enumerate(count_GPB):
        count_PB += (near_PW == group).mean(axis=1, dtype=np.float32)[:, None] * missing_PB
    return np.maximum(count_GPB, 1, out=count_GPB)


def _near(order_PN: Order, code_N: Codes, k: int) -> Codes:
    """Groups of the images around the cut: as many as resamples usually miss k by."""
    width = int(np.ceil(2 * np.sqrt(k)))
    return np.asarray(code_N[order_PN[:, max(k - width, 0) : k + width]])


def in_top(top_PK: Order, *, images: int) -> NDArray[np.float32]:
    """1 for the images in the list of each prompt, else 0, (P, N)."""
    top_PN = np.zeros((len(top_PK), images), dtype=np.float32)
    np.put_along_axis(top_PN, top_PK.astype(np.intp), 1, axis=1)
    return top_PN


def image_influence(order_PN: Order, code_N: Codes, group: int, *, k: int) -> tuple[Floats, float]:
    """What one more draw of each image adds to a group's mean of ``ln(count / k)``, and that mean.

    An image of the group in the top k adds 1 to the count; any image in the top k pushes one out, which is of the group with its share
    around the cut. 0 means that the image is in no list. A group with nobody in a list keeps its floor there: influence 0.

    Parameters
    ----------
    order_PN : the images of each prompt, best first. code_N : each image's group. group : the one asked for. k : 1 to N.

    Returns
    -------
    (N,) influences, and the mean over prompts.

    Examples
    --------
    >>> influence, mean = image_influence(np.array([[0, 1, 2, 3]]), np.array([0, 1, 0, 1]), 0, k=2)
    >>> influence.tolist(), round(mean, 3)
    ([0.5, -0.5, 0.0, 0.0], -0.693)
    """
    inside_N = code_N == group
    count_P = np.count_nonzero(inside_N[order_PN[:, :k]], axis=1)
    per_count_P = np.where(count_P > 0, 1 / np.maximum(count_P, 1), 0) / len(order_PN)
    pushed_P = (_near(order_PN, code_N, k) == group).mean(axis=1)
    top_PN = in_top(order_PN[:, :k], images=len(code_N))
    influence_N = inside_N * (per_count_P @ top_PN) - (per_count_P * pushed_P) @ top_PN
    return influence_N, float(np.log(np.maximum(count_P, 1) / k).mean())
