"""Image-text retrieval: where the right answer stands, counted in chunks so that no score matrix is ever whole in memory.

Shapes: N images, M captions (texts), D embedding width, Q queries.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike

from qbias.metrics.classification import Ints
from qbias.metrics.similarity import Rows, scorer

TEXTS_A_CHUNK, IMAGES_A_CHUNK = 1024, 256
"""Fixed, because the last bit of a product can depend on the size of the matrices, and ranks must not depend on a setting."""


def image_ranks(text_MD: Rows, image_ND: Rows, image_M: ArrayLike) -> Ints:
    """Image retrieval: the place of each caption's image among all images, 0 for the best.

    An image with an equal score and a lower index stands before it.

    Parameters
    ----------
    text_MD, image_ND : unit rows.
    image_M : (M,) row number of each caption's image.

    Returns
    -------
    (M,) ranks, 0 to N - 1.

    Examples
    --------
    >>> image_ranks(np.eye(2), np.eye(2), [0, 0]).tolist()
    [0, 1]
    """
    image = np.asarray(image_M, dtype=np.int64)
    rank_M, index_N = np.empty(len(text_MD), dtype=np.int64), np.arange(len(image_ND))
    for part, score in _chunks(text_MD, image_ND, TEXTS_A_CHUNK):
        right = image[part]
        own = np.take_along_axis(score, right[:, None], axis=1)
        rank_M[part] = _before(score, own, right[:, None], index_N)
    return rank_M


def text_ranks(image_ND: Rows, text_MD: Rows, image_M: ArrayLike) -> Ints:
    """Text retrieval: the place of each image's best-placed caption among all captions, 0 for the best.

    A caption with an equal score and a lower index stands before it.

    Parameters
    ----------
    image_ND, text_MD : unit rows.
    image_M : (M,) row number of each caption's image; every image needs a caption.

    Returns
    -------
    (N,) ranks, 0 to M - 1.

    Raises
    ------
    ValueError
        If an image has no caption: it has no right answer.

    Examples
    --------
    >>> text_ranks(np.eye(2), np.eye(2)[[1, 0, 0]], [1, 0, 0]).tolist()
    [0, 0]
    """
    image = np.asarray(image_M, dtype=np.int64)
    rank_N, index_M = np.empty(len(image_ND), dtype=np.int64), np.arange(len(text_MD))
    without = np.setdiff1d(np.arange(len(image_ND)), image)
    if len(without):
        raise ValueError(f"image {int(without[0])} has no caption ({len(without)} such images): leave it out, it has no right answer")
    for part, score in _chunks(image_ND, text_MD, IMAGES_A_CHUNK):
        right = image[None, :] == np.arange(part.start, part.stop)[:, None]
        best = np.where(right, score, -np.inf).argmax(axis=1)[:, None]
        rank_N[part] = _before(score, np.take_along_axis(score, best, axis=1), best, index_M)
    return rank_N


def recall_at_k(rank_Q: ArrayLike, *, k: int) -> float:
    """Share of queries with a right answer in the top k.

    1 is every query, 0 is none.

    Parameters
    ----------
    rank_Q : (Q,) place of the best-placed right answer, 0 for the best; at least one query.
    k : 1 or more.

    Returns
    -------
    0 to 1.

    Raises
    ------
    ValueError
        If there is no query or k is below 1.

    Examples
    --------
    >>> recall_at_k([0, 3, 9, 1], k=2)
    0.5
    """
    rank = np.asarray(rank_Q)
    if not rank.size or k < 1:
        raise ValueError(f"recall at k={k} of {rank.size} queries: at least one query and k of at least 1 are needed")
    return float(np.count_nonzero(rank < k) / rank.size)


def _chunks(query_QD: Rows, item_ID: Rows, size: int) -> Iterator[tuple[slice, Rows]]:
    """Scores of `size` queries at a time with all items."""
    scores = scorer(item_ID)
    for start in range(0, len(query_QD), size):
        part = slice(start, min(start + size, len(query_QD)))
        yield part, scores(query_QD[part])


def _before(score_QI: Rows, own_Q1: Rows, index_Q1: Ints, index_I: Ints) -> Ints:
    """How many items stand before each query's own: better ones, and equal ones with a lower index."""
    better = np.count_nonzero(score_QI > own_Q1, axis=1)
    rows, columns = np.nonzero(score_QI == own_Q1)
    equal = np.bincount(rows[index_I[columns] < index_Q1[rows, 0]], minlength=len(score_QI))
    return np.asarray(better + equal, dtype=np.int64)
