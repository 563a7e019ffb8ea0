"""One pair, image by image: what the outcomes of a baseline and its candidate say without any other model. No files, no model, a seed.

`classification`, `retrieval` and `skew` each give a PairStatistics per benchmark and, for Cochran's Q, the joint covariance of the
changes of several models.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qbias.records import Insufficient, Pairing
from qbias.significance.records import Band, GroupChurn, ImageChange, McNemar, SwapTest


@dataclass(frozen=True)
class PairStatistics:
    """What one pair's outcomes on one benchmark give; a tuple is empty where the kind has no such statistic or nothing could be counted."""

    changes: tuple[ImageChange, ...] = ()
    mcnemar: tuple[McNemar, ...] = ()
    churn: tuple[GroupChurn, ...] = ()
    bands: tuple[Band, ...] = ()
    swaps: tuple[SwapTest, ...] = ()


@dataclass(frozen=True)
class JointChanges:
    """One metric's change of several models, and the covariance over images that they share, resampled jointly; rows as in `models`."""

    models: tuple[str, ...]
    change_M: NDArray[np.float64]
    covariance_MM: NDArray[np.float64]


def generator(seed: int, *names: str) -> np.random.Generator:
    """The random generator of one statistic: the same whatever was computed before it, another one for other names.

    Examples
    --------
    >>> generator(1, "a").integers(100) == generator(1, "a").integers(100)
    np.True_
    """
    return np.random.default_rng([seed, zlib.crc32("\n".join(names).encode())])


def unlike(pairings: Sequence[Pairing], benchmark: str, metric: str) -> Insufficient | None:
    """Why several models' changes of a metric cannot be resampled jointly, if so: nothing measured, or not the same images and rules."""
    outcomes = [side.outcomes.get(benchmark) for pairing in pairings for side in (pairing.baseline, pairing.candidate)]
    there = [row for row in outcomes if row is not None]
    if not there or len(there) < len(outcomes):
        missing = {"pairs": len(pairings), f"evaluations with {benchmark}": len(there)}
        return Insufficient(metric, f"not every model was measured on {benchmark}", missing)
    settings = {(row.dataset_digest, row.prompts_sha256, row.protocol_digest) for row in there}
    if len(settings) > 1:
        reason = "the models were measured on different images, prompts or protocol"
        return Insufficient(metric, reason, {"pairs": len(pairings), "different settings": len(settings)})
    return None


__all__ = ["JointChanges", "PairStatistics", "generator", "unlike"]
