"""Cosine scores that depend on the two rows alone: not on what stands beside them, nor on library, processor or number of threads.

The last bit of an ordinary matrix product depends on the place of its row and column, on the shape of the matrices and, with some kernels,
on the number of threads. Scores of a chunk would then differ from scores of the whole, and equal items would not tie. Here every sum is
exact, so that there is nothing to depend on:

- each row is rounded to whole multiples of 2^-26 (of its length, brought between .7 and 1.4 by a power of two);
- the product of two such numbers is a whole multiple of 2^-52, and the sum of their absolute values is at most the product of both lengths
  (Cauchy and Schwarz), that is 2: every partial sum, in whatever order, fits the 53 bits of a float64 and is not rounded;
- only the finished score is rounded, to float32.

The rounding of the rows moves a score by about 1e-8, less than the rounding to float32 does.

Shapes: Q queries, I items, D embedding width.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

Rows = NDArray[np.floating]
Scores32 = NDArray[np.float32]
Scorer = Callable[[ArrayLike], Scores32]
"""Scores of (Q, D) queries with items that it knows: (Q, I)."""
BITS = 26
"""Of each coordinate: two of them, and one for sums up to 2, are the 53 of a float64."""


def scorer(item_ID: ArrayLike) -> Scorer:
    """Scores of queries with these items: a function of (Q, D) rows that gives (Q, I) inner products.

    A score is a function of the two rows: equal items tie exactly wherever they stand, and any chunk of queries or items has the
    scores that it has in the whole.

    Parameters
    ----------
    item_ID : rows; kept as float64.

    Returns
    -------
    A function whose scores are float32.

    Examples
    --------
    >>> scorer(np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]))(np.array([[0.75, 0.5]])).tolist()
    [[0.75, 0.5, 0.75]]
    """
    item = _rounded(item_ID)
    return lambda query_QD: np.asarray(_rounded(query_QD) @ item.T, dtype=np.float32)


def pair_scores(query_QD: ArrayLike, item_QD: ArrayLike) -> Scores32:
    """Score of each query with the item in the same place: to the last bit what `scorer` gives for the two.

    Parameters
    ----------
    query_QD, item_QD : rows.

    Returns
    -------
    (Q,) scores.

    Examples
    --------
    >>> pair_scores(np.eye(2), np.array([[0.5, 0.0], [0.25, 0.75]])).tolist()
    [0.5, 0.75]
    """
    return np.asarray(np.einsum("qd,qd->q", _rounded(query_QD), _rounded(item_QD)), dtype=np.float32)


def _rounded(row_ND: ArrayLike) -> NDArray[np.float64]:
    """The rows as float64, each coordinate a whole multiple of 2^-BITS of the power of two nearest to the row's length."""
    row = np.array(row_ND, dtype=np.float64, order="C")
    _, exponent_N = np.frexp(np.sqrt(np.einsum("nd,nd->n", row, row) / 2))
    row *= np.ldexp(1.0, BITS - exponent_N)[:, None]
    np.rint(row, out=row)
    row *= np.ldexp(1.0, exponent_N - BITS)[:, None]
    return row
