"""Seconds of every call of an Encoder: the audit's own calls are what is timed, so speed costs nothing more.

Tokenizing and normalising belong to a call. The first call of a tower is left out: libraries lay out their weights in it.
"""

import time
from collections.abc import Sequence

import numpy as np

from qbias.audit.table import LARGE, SMALL
from qbias.encoder import Encoder, Pixels, Rows


class TimedEncoder:
    """An Encoder's two calls, with a record of (items, seconds) per tower."""

    def __init__(self, encoder: Encoder) -> None:
        """Take the Encoder to be timed."""
        self._encoder = encoder
        self.calls: dict[str, list[tuple[int, float]]] = {"image": [], "text": []}

    def images(self, pixel_NRR3: Pixels) -> Rows:
        """As the Encoder's."""
        start = time.perf_counter()
        row_ND = self._encoder.images(pixel_NRR3)
        self.calls["image"].append((len(row_ND), time.perf_counter() - start))
        return row_ND

    def texts(self, texts: Sequence[str]) -> Rows:
        """As the Encoder's."""
        start = time.perf_counter()
        row_ND = self._encoder.texts(texts)
        self.calls["text"].append((len(row_ND), time.perf_counter() - start))
        return row_ND


def speeds(calls: Sequence[tuple[int, float]]) -> dict[str, float]:
    """Median milliseconds of a call with one item, and items a second at 32 a call, of the calls after the first.

    Parameters
    ----------
    calls : (items, seconds) in the order in which they were made.

    Examples
    --------
    >>> speeds([(1, 9.0), (1, 0.5), (32, 4.0), (32, 8.0), (32, 8.0)])
    {'latency_1': 500.0, 'throughput_32': 4.0}
    """
    latency, large = (float(np.median([seconds for items, seconds in calls[1:] if items == size])) for size in (SMALL, LARGE))
    return {"latency_1": 1000 * latency, "throughput_32": LARGE / large}
