"""Cosine scores of unit rows, in which equal items score equally to the last bit.

Shapes: Q queries, I items, D embedding width.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.floating]


def scorer(item_ID: Rows) -> Callable[[Rows], Rows]:
    """Scores of queries with these items: a function of (Q, D) rows that gives (Q, I) inner products.

    The last bit of a matrix product depends on the place of its row or column, so items with equal rows (two class names that are the
    same word, an image or caption that stands twice) could win or lose against each other by rounding. Each distinct row is therefore
    scored once: equal items tie exactly, and the tie rule (lower index first) decides.

    Parameters
    ----------
    item_ID : unit rows.

    Returns
    -------
    A function that keeps a copy of the distinct rows only where there are equal ones.

    Examples
    --------
    >>> scorer(np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]))(np.array([[0.6, 0.8]])).tolist()
    [[0.6, 0.8, 0.6]]
    """
    items = np.ascontiguousarray(item_ID)
    number: dict[bytes, int] = {}
    place_I = np.fromiter((number.setdefault(row.tobytes(), len(number)) for row in items), dtype=np.intp, count=len(items))
    if len(number) == len(items):
        return lambda query_QD: np.asarray(query_QD @ items.T)
    distinct = items[np.unique(place_I, return_index=True)[1]]
    return lambda query_QD: np.asarray((query_QD @ distinct.T)[:, place_I])
