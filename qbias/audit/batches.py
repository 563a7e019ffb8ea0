"""The batch-invariance probe: the same items embedded alone and in other company. Plain functions of arrays, and of one that embeds.

Shapes: N items of the probe, T tracked ones, D embedding width.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from qbias.audit.table import LARGE, SMALL, SOME

Rows = NDArray[np.floating]
TRACKED = 4


def tracked(reach_N: NDArray[np.floating]) -> NDArray[np.intp]:
    """The items with the smallest activations, lower index first: what their companions' outliers do to them shows best."""
    found: NDArray[np.intp] = np.argsort(reach_N, kind="stable")[:TRACKED]
    return found


def compositions(reach_N: NDArray[np.floating]) -> Iterator[tuple[bool, NDArray[np.intp]]]:
    """Batches that hold the tracked items: alone; 8 in random company; 8 and 32, shuffled, with the largest activations for company.

    Yields
    ------
    Whether the companions are those with the largest activations, and the items of the batch.
    """
    own = tracked(reach_N)
    rest = np.argsort(reach_N, kind="stable")[TRACKED:]
    rng = np.random.default_rng(0)
    yield from ((False, own[i : i + SMALL]) for i in range(len(own)))
    yield False, rng.permutation(np.concatenate([own, rng.choice(rest, SOME - TRACKED, replace=False)]))
    yield from ((True, rng.permutation(np.concatenate([own, rest[TRACKED - size :]]))) for size in (SOME, LARGE))


def spread(rows: Sequence[Rows]) -> float:
    """Largest difference of one coordinate between any two of several embeddings of the same items, each (T, D).

    0 means bit-identical embeddings.

    Examples
    --------
    >>> spread([np.array([[0.0, 1.0]]), np.array([[0.5, 1.0]]), np.array([[-0.25, 1.0]])])
    0.75
    """
    several = np.stack([row_TD.astype(np.float64) for row_TD in rows])
    return float((several.max(axis=0) - several.min(axis=0)).max())


def differences(embed: Callable[[NDArray[np.intp]], Rows], usual_ND: Rows, reach_N: NDArray[np.floating]) -> tuple[float, float]:
    """Largest difference over all compositions, and between alone and the largest companions.

    Parameters
    ----------
    embed : rows of the given items, embedded as one batch.
    usual_ND : rows of all items as the drift was measured with, one more composition.
    reach_N : largest activation of each item.
    """
    own = tracked(reach_N)
    alone: list[Rows] = []
    company, largest = [usual_ND[own]], list[Rows]()
    for outlier, items in compositions(reach_N):
        row_BD = embed(items)
        if len(items) == SMALL:
            alone.append(row_BD[0])
            continue
        place_T = [int(np.flatnonzero(items == item)[0]) for item in own]
        (largest if outlier else company).append(row_BD[place_T])
    single = np.stack(alone)
    return spread([single, *company, *largest]), spread([single, *largest])
