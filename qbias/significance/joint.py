"""The covariance of several models' changes over the images that they share. numpy only.

Shapes: N images (or positives), M models, S strata.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def change_covariance(delta_NM: ArrayLike, weight_N: ArrayLike, stratum_N: ArrayLike) -> tuple[Floats, Floats]:
    """Changes ``sum_i weight_i delta_im`` of M models, and their covariance when images are drawn anew, the same ones for every model.

    Exactly what a paired bootstrap within strata gives as draws grow without end:
    ``sum_s n_s Cov_s(weight delta)``, Cov_s over the n_s images of stratum s (divided by n_s). An off-diagonal 0 means that the models
    flip independently of each other.

    Parameters
    ----------
    delta_NM : (N, M) outcome after less outcome before, in any unit. weight_N : (N,) weights. stratum_N : (N,) strata, 0 to S - 1, whose
        sizes stay fixed.

    Returns
    -------
    (M,) changes and (M, M) covariance, symmetric and without negative eigenvalues but for rounding.

    Examples
    --------
    >>> change, covariance = change_covariance([[1, 1], [0, 0]], [0.5, 0.5], [0, 0])
    >>> change.tolist(), covariance.tolist()
    ([0.5, 0.5], [[0.125, 0.125], [0.125, 0.125]])
    """
    part_NM = np.asarray(delta_NM, dtype=np.float64) * np.asarray(weight_N, dtype=np.float64)[:, None]
    _, stratum = np.unique(np.asarray(stratum_N), return_inverse=True)
    size_S = np.bincount(stratum)
    sum_SM = np.column_stack([np.bincount(stratum, weights=column, minlength=len(size_S)) for column in part_NM.T])
    centred_NM = part_NM - (sum_SM / size_S[:, None])[stratum]
    return part_NM.sum(axis=0), centred_NM.T @ centred_NM
