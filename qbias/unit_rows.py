"""Embeddings that were checked once and are brought to length 1 part by part, so that no second copy of all of them is needed.

Shapes: N rows, D embedding width.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.floating]
TOLERANCE = 1e-3
ROWS_AT_ONCE = 4096
"""Rows per matrix of scores: 32 MB at 1,000 classes. Nothing depends on it but speed."""


class UnitRows:
    """Rows of length 1 within float32. Slicing gives the rows; the array behind them, which may be on disk, is left as it is.

    Parameters
    ----------
    row_ND : rows of about length 1. names : of each row, for messages. what : they are embeddings of, for messages.

    Raises
    ------
    ValueError
        If a row is missing, not finite or not of length 1, naming the first.
    """

    def __init__(self, row_ND: Rows, names: Sequence[str], what: str) -> None:
        """Look at every row."""
        if row_ND.ndim != 2 or len(row_ND) != len(names):
            raise ValueError(f"{what} embeddings have shape {row_ND.shape}, expected ({len(names)}, D): one row per {what}")
        self._row_ND, self._length_N1 = row_ND, np.empty((len(row_ND), 1), dtype=np.float32)
        for part in self.parts():
            self._length_N1[part] = np.linalg.norm(_float32(row_ND[part]), axis=1, keepdims=True)
        bad = ~(np.abs(self._length_N1[:, 0] - 1) <= TOLERANCE)
        if bad.any():
            first = int(np.argmax(bad))
            where = f"{what} row {first} ({names[first]!r}) has length {float(self._length_N1[first, 0]):.4g}"
            raise ValueError(f"{where}; {int(bad.sum())} such rows: every embedding must be finite and of length 1")

    def __len__(self) -> int:
        return len(self._row_ND)

    @property
    def width(self) -> int:
        """D."""
        return int(self._row_ND.shape[1])

    def __getitem__(self, part: slice) -> NDArray[np.float32]:
        return np.asarray(_float32(self._row_ND[part]) / self._length_N1[part], dtype=np.float32)

    def parts(self, within: slice | None = None, *, rows: int | None = None) -> Iterator[slice]:
        """Slices of `rows` rows (ROWS_AT_ONCE unless told) that cover all, or all within a slice."""
        start, stop, step = (within or slice(None)).indices(len(self))
        assert step == 1
        size = rows or ROWS_AT_ONCE
        return (slice(place, min(place + size, stop)) for place in range(start, stop, size))


def _float32(row_ND: Rows) -> NDArray[np.float32]:
    # In C order whatever it was before, because a sum along a row could depend on it.
    return np.ascontiguousarray(row_ND, dtype=np.float32)
