"""One pair on one retrieval benchmark: recall of both directions, query by query.

Text retrieval's queries are the images. Image retrieval's queries are captions, several of an image: they rise and fall together, so whole
images with their captions are drawn.

Shapes: I images, Q queries, M models.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from qbias.metrics import recall_at_k
from qbias.pairwise import JointChanges, PairStatistics, generator, unlike
from qbias.records import Insufficient, Outcomes, Pairing
from qbias.significance.bootstrap import cluster_studentized, intervals
from qbias.significance.joint import change_covariance
from qbias.significance.records import AnalysisPlan, ImageChange

DIRECTIONS = {"image_retrieval_recall": ("captions", "images"), "text_retrieval_recall": ("images", "captions")}
"""By metric: the frame of its queries, and the frame of what is searched."""
METHODS = {
    "captions": "studentized bootstrap over images with their captions",
    "images": "studentized bootstrap over images",
}


def retrieval_changes(pairing: Pairing, benchmark: str, plan: AnalysisPlan) -> PairStatistics:
    """Recall@k of both directions of one pair, with intervals over images; the other statistics do not apply.

    What `measure` gives no number for (k takes all items, no query) is left out here too.

    Parameters
    ----------
    pairing : baseline and candidate with the same images and captions, checked by qbias/pairing.py. benchmark : a retrieval benchmark of
        both. plan : seed and number of draws.

    Returns
    -------
    PairStatistics with changes alone.
    """
    sides = pairing.baseline.outcomes[benchmark], pairing.candidate.outcomes[benchmark]
    return PairStatistics(tuple(_change(pairing, sides, *row, plan) for row in _recalls(sides[0])))


def joint_changes(pairings: Sequence[Pairing], metric: str) -> JointChanges | Insufficient:
    """The change of a recall@k in each model, and the covariance of these changes over the shared images.

    Whole images are drawn anew, the same ones for every model; for captions, whose number then varies, the share is linearised (the
    delta method), which is the limit of that bootstrap for many images.

    Parameters
    ----------
    pairings : those of one quantizer. metric : a logged name, such as `coco/image_retrieval_recall_at_1`.

    Returns
    -------
    JointChanges, or Insufficient where there is no pairing, the models were measured on different images, or the metric is no recall that
    has a value.
    """
    benchmark, _, rest = metric.partition("/")
    if short := unlike(pairings, benchmark, metric):
        return short
    sides = [(row.baseline.outcomes[benchmark], row.candidate.outcomes[benchmark]) for row in pairings]
    for name, k in _recalls(sides[0][0]):
        if rest == f"{name}_at_{k}":
            parts = [_clusters(*row, DIRECTIONS[name][0], k) for row in sides]
            size_I = parts[0][1]
            change_M = np.array([net_I.sum() for net_I, _ in parts]) / size_I.sum()
            residual_IM = np.column_stack([net_I for net_I, _ in parts]) - change_M * size_I[:, None]
            images = len(size_I)
            _, covariance_MM = change_covariance(residual_IM, np.full(images, 1 / size_I.sum()), np.zeros(images))
            return JointChanges(tuple(row.candidate.model for row in pairings), change_M, covariance_MM)
    return Insufficient(metric, "no recall of this name is measured", {"models": len(pairings)})


def _recalls(outcomes: Outcomes) -> Iterator[tuple[str, int]]:
    """The recalls that have a value: some query, and more items than k."""
    for name, (queries, items) in DIRECTIONS.items():
        for k in outcomes.facts["ks"]:
            if len(outcomes.frames[queries]) and k < len(outcomes.frames[items]):
                yield name, k


def _clusters(before: Outcomes, after: Outcomes, queries: str, k: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Per image: queries gained less queries lost, and its queries."""
    found = [side.frames[queries]["rank"].to_numpy() < k for side in (before, after)]
    net_Q = found[1].astype(np.int64) - found[0]
    if queries == "images":
        return net_Q, np.ones_like(net_Q)
    _, image_Q = np.unique(before.frames["captions"]["image"].to_numpy(dtype=str), return_inverse=True)
    size_I = np.bincount(image_Q)
    return np.bincount(image_Q, weights=net_Q, minlength=len(size_I)).astype(np.int64), size_I


def _change(pairing: Pairing, sides: tuple[Outcomes, Outcomes], name: str, k: int, plan: AnalysisPlan) -> ImageChange:
    queries, metric = DIRECTIONS[name][0], f"{sides[0].benchmark}/{name}_at_{k}"
    model, quantizer = pairing.candidate.model, pairing.candidate.quantizer
    net_I, size_I = _clusters(*sides, queries, k)
    random = generator(plan.seed, model, quantizer, metric)
    (low,), (high,) = intervals(cluster_studentized(net_I, size_I, draws=plan.draws, random=random), confidence=plan.confidence)
    before, after = (recall_at_k(side.frames[queries]["rank"].to_numpy(), k=k) for side in sides)
    return ImageChange(
        model=model, quantizer=quantizer, metric=metric, baseline=before, candidate=after, difference=after - before,
        low=float(low), high=float(high), confidence=plan.confidence, n=int(size_I.sum()), method=METHODS[queries],
        draws=plan.draws, seed=plan.seed,
    )  # fmt: skip
