"""Models are not independent draws: they share images, sources and sizes. How much that costs, and whether they changed alike."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import chdtrc, ndtri, stdtr, stdtrit

from qbias.records import Insufficient
from qbias.significance.records import Heterogeneity

SINGULAR = 1e-10
"""Share of the largest eigenvalue of the correlation matrix below which another one is 0."""
STILL = 1e-9
"""Share of the largest deviation or change below which a model's deviation over images is rounding."""


def rejection_rate(rho: float, *, n: int, alpha: float = 0.05) -> float:
    """How often the paired t-test rejects although nothing changed, if the n models' changes are normal with equal correlation rho.

    The mean varies ``1 + (n - 1) rho`` and the spread ``1 - rho`` times as much as the test assumes, independently of each other, so t is
    ``sqrt((1 + (n - 1) rho) / (1 - rho))`` times a Student t: an exact closed form. rho = 0 gives alpha.

    Parameters
    ----------
    rho : correlation between two models' changes, above -1 / (n - 1) and below 1. n : models, at least 2. alpha : nominal error rate.

    Returns
    -------
    Rate in (0, 1).

    Raises
    ------
    ValueError
        If an argument is outside its range.

    Examples
    --------
    >>> round(rejection_rate(0.0, n=8), 3), round(rejection_rate(0.3, n=8), 3)
    (0.05, 0.298)
    """
    if n < 2 or not 0 < alpha < 1 or not -1 / (n - 1) < rho < 1:
        raise ValueError(f"rho={rho}, n={n}, alpha={alpha}: n is at least 2, rho above -1/(n - 1) and below 1, alpha between 0 and 1")
    inflation = ((1 + (n - 1) * rho) / (1 - rho)) ** 0.5
    return float(2 * stdtr(n - 1, -stdtrit(n - 1, 1 - alpha / 2) / inflation))


def inflation_curve(n: int, *, alpha: float = 0.05, rhos: Sequence[float]) -> tuple[tuple[float, float], ...]:
    """`rejection_rate` at each correlation: (rho, rate).

    Examples
    --------
    >>> [(rho, round(rate, 2)) for rho, rate in inflation_curve(8, rhos=(0.0, 0.1, 0.3))]
    [(0.0, 0.05), (0.1, 0.13), (0.3, 0.3)]
    """
    return tuple((float(rho), rejection_rate(rho, n=n, alpha=alpha)) for rho in rhos)


def heterogeneity(
    models: Sequence[str], change_M: ArrayLike, covariance_MM: ArrayLike, *, name: str, confidence: float = 0.95
) -> Heterogeneity | Insufficient:
    """Whether the models changed alike, by Cochran's Q with the full covariance of their changes over images.

    ``mu = (1' S^-1 d) / (1' S^-1 1)`` is the generalised least-squares mean, ``Q = (d - mu)' S^-1 (d - mu)``, chi-squared with n - 1
    degrees of freedom if all models have one true change. ``I^2 = max(0, (Q - df) / Q)``: the share of the variation that images alone
    do not explain; 0 means none. The interval of mu is over images, for these very models: it says nothing about other models.

    A singular S (one model twice) has an inverse on its range only, and df is its rank - 1. That is an answer only if mean and changes lie
    in that range. Otherwise some combination of changes does not vary over images at all, and neither does a model that no image
    changed: there Q is not defined, and the result is Insufficient.

    Parameters
    ----------
    models : names, at least two, each once. change_M : change of each. covariance_MM : of the changes, from images resampled jointly.
    name : what changed. confidence : of the interval, between 0 and 1.

    Returns
    -------
    Heterogeneity, or Insufficient.

    Raises
    ------
    ValueError
        If the shapes do not fit, a number is not finite, a name comes twice, or `covariance_MM` is no covariance.

    References
    ----------
    Cochran (1954), Biometrics 10. Higgins and Thompson (2002), Statistics in Medicine 21.

    Examples
    --------
    >>> found = heterogeneity(["a", "b"], [0.1, 0.3], [[0.01, 0.0], [0.0, 0.01]], name="gap")
    >>> round(found.q, 6), found.df, round(found.pooled, 6), round(found.i_squared, 6)
    (2.0, 1, 0.2, 0.5)
    """
    change, covariance = np.asarray(change_M, dtype=np.float64), np.asarray(covariance_MM, dtype=np.float64)
    n = len(models)
    _check(models, change, covariance, name, confidence)
    if n < 2:
        return Insufficient(name, "whether models changed alike needs at least two models", {"models": n, "needed": 2})
    deviation_M = np.sqrt(np.diag(covariance))
    if still := int(np.count_nonzero(deviation_M <= STILL * max(deviation_M.max(), np.abs(change).max()))):
        reason = f"the change of {still} of {n} models does not vary over images, so it cannot be weighed"
        return Insufficient(name, reason, {"models": n, "without variance": still})
    correlation_MM = covariance / np.outer(deviation_M, deviation_M)
    value_R, vector_MR = _range(correlation_MM, name)
    rank = len(value_R)
    # In units of each model's own deviation, as components along the directions that vary.
    changes_M, ones_M = change / deviation_M, 1 / deviation_M
    change_R, one_R = vector_MR.T @ changes_M, vector_MR.T @ ones_M
    if rank < 2 or _outside(vector_MR, changes_M) or _outside(vector_MR, ones_M):
        reason = "some combination of the models' changes does not vary over images, so their covariance has no usable inverse"
        return Insufficient(name, reason, {"models": n, "rank": rank})
    information = float(one_R**2 @ (1 / value_R))
    pooled = float((one_R * change_R) @ (1 / value_R)) / information
    q, df = float((change_R - pooled * one_R) ** 2 @ (1 / value_R)), rank - 1
    half = float(ndtri((1 + confidence) / 2)) / information**0.5
    return Heterogeneity(
        models=tuple(models),
        change_M=tuple(change.tolist()),
        covariance_MM=tuple(map(tuple, covariance.tolist())),
        mean_correlation=float((correlation_MM.sum() - n) / (n * (n - 1))),
        q=q,
        df=df,
        p=float(chdtrc(df, q)),
        i_squared=max(0.0, (q - df) / q) if q else 0.0,
        pooled=pooled,
        low=pooled - half,
        high=pooled + half,
    )


def _range(correlation_MM: NDArray[np.float64], name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Eigenvalues above 0 and their directions."""
    value_M, vector_MM = np.linalg.eigh(correlation_MM)
    if value_M[0] < -SINGULAR * value_M[-1]:
        raise ValueError(f"{name}: covariance_MM has a negative eigenvalue, so it is no covariance")
    kept_M = value_M > SINGULAR * value_M[-1]
    return value_M[kept_M], vector_MM[:, kept_M]


def _outside(vector_MR: NDArray[np.float64], values_M: NDArray[np.float64]) -> bool:
    """Whether a vector has a part outside the directions that vary. The square root of SINGULAR: lengths, not squares."""
    rest_M = values_M - vector_MR @ (vector_MR.T @ values_M)
    return bool(np.linalg.norm(rest_M) > SINGULAR**0.5 * np.linalg.norm(values_M))


def _check(models: Sequence[str], change_M: NDArray[np.float64], covariance_MM: NDArray[np.float64], name: str, confidence: float) -> None:
    n = len(models)
    if n and (change_M.shape != (n,) or covariance_MM.shape != (n, n)):
        raise ValueError(f"{name}: {n} models, changes of shape {change_M.shape}, covariance {covariance_MM.shape}: give n, (n,), (n, n)")
    if len(set(models)) != n:
        raise ValueError(f"{name}: {', '.join(sorted({m for m in models if list(models).count(m) > 1}))} comes twice: give each model once")
    if not (np.isfinite(change_M).all() and np.isfinite(covariance_MM).all()):
        raise ValueError(f"{name}: a change or a covariance is not finite: leave out what could not be measured")
    if n and (not np.allclose(covariance_MM, covariance_MM.T, rtol=1e-9, atol=0) or (np.diag(covariance_MM) < 0).any()):
        raise ValueError(f"{name}: covariance_MM is not symmetric or has a negative variance, so it is no covariance")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence={confidence} is not between 0 and 1: give 0.95 for a 95 % interval")
