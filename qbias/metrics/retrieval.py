"""Image-text retrieval: where the right answer stands, counted block by block so that no score matrix is ever whole in memory.

A rank is the number of items that stand before the right one, so ranks over parts of the items add up (`items_before`).
Shapes: N images, M captions (texts), D embedding width, Q queries, I items.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike

from qbias.metrics.counts import Bools, Ints
from qbias.metrics.similarity import Rows, Scores32, pair_scores, scorer

BLOCK = 1024
"""Queries and items scored at once: 8 MB. Nothing depends on it but speed."""


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
    return items_before(text_MD, image_ND, own_scores(text_MD, image_ND, image), image)


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
    own_M = own_scores(text_MD, image_ND, image_M)
    best_N = best_captions(own_M, image_M, images=len(image_ND))
    return items_before(image_ND, text_MD, own_M[best_N], best_N)


def both_ranks(text_MD: Rows, image_ND: Rows, image_M: ArrayLike) -> tuple[Ints, Ints]:
    """What `image_ranks` and `text_ranks` give, with every pair scored once for both.

    Parameters
    ----------
    text_MD, image_ND : unit rows.
    image_M : (M,) row number of each caption's image; every image needs a caption.

    Returns
    -------
    (M,) ranks of the captions' images and (N,) ranks of the images' best captions.

    Raises
    ------
    ValueError
        If an image has no caption.

    Examples
    --------
    >>> [rank.tolist() for rank in both_ranks(np.eye(2), np.eye(2), [1, 0])]
    [[1, 1], [1, 1]]
    """
    image, own_M = np.asarray(image_M, dtype=np.int64), own_scores(text_MD, image_ND, image_M)
    best_N = best_captions(own_M, image, images=len(image_ND))
    rank_M, rank_N = np.zeros(len(own_M), dtype=np.int64), np.zeros(len(best_N), dtype=np.int64)
    for images in _parts(len(best_N)):
        scores, best = scorer(image_ND[images]), best_N[images]
        for texts in _parts(len(own_M)):
            score_MN = scores(text_MD[texts])
            rank_M[texts] += _before(score_MN, own_M[texts], image[texts], images.start)
            rank_N[images] += _before(score_MN.T, own_M[best], best, texts.start)
    return rank_M, rank_N


def own_scores(text_MD: Rows, image_ND: Rows, image_M: ArrayLike) -> Scores32:
    """Score of each caption with its own image.

    Parameters
    ----------
    text_MD, image_ND : unit rows. image_M : (M,) row number of each caption's image.

    Returns
    -------
    (M,) scores.
    """
    image, own_M = np.asarray(image_M, dtype=np.int64), np.empty(len(text_MD), dtype=np.float32)
    for part in _parts(len(own_M)):
        own_M[part] = pair_scores(text_MD[part], image_ND[image[part]])
    return own_M


def best_captions(own_M: ArrayLike, image_M: ArrayLike, *, images: int) -> Ints:
    """The caption of each image that scores best with it; of equal ones the lower index.

    Parameters
    ----------
    own_M : (M,) score of each caption with its own image. image_M : (M,) row number of that image.
    images : N, every one of which needs a caption.

    Returns
    -------
    (N,) row numbers of captions.

    Raises
    ------
    ValueError
        If an image has no caption: it has no right answer.

    Examples
    --------
    >>> best_captions([0.2, 0.9, 0.9], [0, 1, 1], images=2).tolist()
    [0, 1]
    """
    own, image = np.asarray(own_M), np.asarray(image_M, dtype=np.int64)
    if len(without := np.setdiff1d(np.arange(images), image)):
        raise ValueError(f"image {int(without[0])} has no caption ({len(without)} such images): leave it out, it has no right answer")
    best_first = np.lexsort((np.arange(len(own)), -own, image))
    return np.asarray(best_first[np.unique(image[best_first], return_index=True)[1]], dtype=np.int64)


def items_before(query_QD: Rows, item_ID: Rows, own_Q: ArrayLike, own_index_Q: ArrayLike, *, first: int = 0) -> Ints:
    """How many of these items stand before each query's own: better ones, and equal ones with a lower index.

    Where the items are all there are, this is the rank of the right answer; over parts of them, in any order, the counts add up to it.

    Parameters
    ----------
    query_QD, item_ID : unit rows.
    own_Q : (Q,) score of each query with its right item, as `pair_scores` or `scorer` gives it.
    own_index_Q : (Q,) index of that item, which need not be among these.
    first : index of the first item of this part.

    Returns
    -------
    (Q,) counts, 0 to I.

    Examples
    --------
    >>> own, index = [0.0, 1.0], [1, 1]
    >>> parts = [items_before(np.eye(2), np.eye(2)[[place]], own, index, first=place) for place in (1, 0)]
    >>> sum(parts).tolist(), items_before(np.eye(2), np.eye(2), own, index).tolist()
    ([1, 0], [1, 0])
    """
    own, index = np.asarray(own_Q, dtype=np.float32), np.asarray(own_index_Q, dtype=np.int64)
    before_Q = np.zeros(len(own), dtype=np.int64)
    for items in _parts(len(item_ID)):
        scores = scorer(item_ID[items])
        for queries in _parts(len(own)):
            before_Q[queries] += _before(scores(query_QD[queries]), own[queries], index[queries], first + items.start)
    return before_Q


def _before(score_QI: Scores32, own_Q: Scores32, index_Q: Ints, first: int) -> Ints:
    """`items_before` of one block of scores, whose columns are the items from `first` on."""
    own_Q1 = own_Q[:, None]
    # Equal scores are few, so a look at where they are costs less than another comparison of the whole block.
    row, column = _places(score_QI == own_Q1)
    equal_Q = np.bincount(row[column + first < index_Q[row]], minlength=len(own_Q))
    return np.asarray(np.count_nonzero(score_QI > own_Q1, axis=1) + equal_Q, dtype=np.int64)


def _places(mask_QI: Bools) -> tuple[Ints, Ints]:
    """Rows and columns of what is true, read in the order in which it lies in memory."""
    if mask_QI.flags.c_contiguous:
        row, column = np.nonzero(mask_QI)
    else:
        column, row = np.nonzero(mask_QI.T)
    return row, column


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


def _parts(rows: int) -> Iterator[slice]:
    """Slices of at most BLOCK rows that cover all."""
    return (slice(start, min(start + BLOCK, rows)) for start in range(0, rows, BLOCK))
