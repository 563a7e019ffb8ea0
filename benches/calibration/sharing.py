"""Models that share their images: the joint covariance, Cochran's Q and the pooled change. Shapes: N images, M models."""

from collections.abc import Sequence
from functools import partial

import numpy as np
from scipy.special import ndtri

from benches.calibration.claims import Claim, Random, Simulation, claim, made
from benches.calibration.intervals import coverage
from qbias.significance.dependence import heterogeneity
from qbias.significance.joint import change_covariance

MODELS = tuple("abcdefgh")


def alike(random: Random, replications: int, *, images: int, churn: float, shared: float) -> list[Claim]:
    """All models have one true change, and flip partly the same images."""
    ends = ndtri(np.array([0.6 * churn, 1 - 0.4 * churn]))
    weight_N, stratum_N = np.full(images, 1 / images), np.zeros(images)
    rejected, inside = [], []
    for _ in range(replications):
        latent_NM = shared**0.5 * random.normal(size=(images, 1)) + (1 - shared) ** 0.5 * random.normal(size=(images, len(MODELS)))
        delta_NM = (latent_NM > ends[1]).astype(np.int8) - (latent_NM < ends[0])
        found = made(heterogeneity(MODELS, *change_covariance(delta_NM, weight_N, stratum_N), name="accuracy"))
        rejected.append(found.p <= 0.05)
        inside.append(np.array([found.low <= -0.2 * churn <= found.high]))
    where = f"8 models, {images:,} images, churn {100 * churn:g} %, flips {'partly shared' if shared else 'unrelated'}"
    return [
        claim("Cochran's Q rejects, all models changed alike", where, rejected, most=0.05),
        coverage("interval of the pooled change", where, inside, False),
    ]


def simulations() -> Sequence[Simulation]:
    """All of this file."""
    section = "Models that share their images"
    return tuple(
        Simulation(f"alike {row}", section, partial(alike, images=row[0], churn=row[1], shared=row[2]), 2000)
        for row in ((1000, 0.1, 0.0), (1000, 0.1, 0.5), (5000, 0.03, 0.5))
    )
