"""Simultaneous bands: intervals of many changes at once that all hold together with a given probability. numpy and scipy only."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from qbias.significance.bootstrap import Studentized

Floats = NDArray[np.float64]


def band(found: Studentized, *, confidence: float = 0.95) -> tuple[Floats, Floats, float]:
    """Intervals ``change -+ c error`` with one c for all statistics: the `confidence` quantile of the largest resampled |t|.

    With probability `confidence` every interval holds its true change, so any interval that excludes 0 may be pointed at, however
    many were looked at. c is at least what independent normal statistics need: where few images flipped, resampling knows too few values.

    Parameters
    ----------
    found : T statistics studentized from the same resamples, T at least 1.
    confidence : between 0 and 1.

    Returns
    -------
    (T,) low ends, (T,) high ends and c.

    References
    ----------
    Westfall and Young (1993), Resampling-Based Multiple Testing. Sidak (1967), JASA 62.

    Examples
    --------
    >>> one = Studentized(np.array([0.5]), np.array([0.1]), np.array([[0.0, 1.0]]))
    >>> low, high, critical = band(one)
    >>> low.round(3).tolist(), high.round(3).tolist(), round(critical, 3)
    ([0.304], [0.696], 1.96)
    """
    least = ndtri((1 + confidence ** (1 / len(found.change_T))) / 2)
    largest_B = np.abs(found.t_TB).max(axis=0)
    critical = max(float(np.quantile(largest_B, confidence)), float(least))
    return found.change_T - critical * found.error_T, found.change_T + critical * found.error_T, critical
