"""Group columns: one text per image. "" is not annotated; `a|b` is in both groups (FACET's skin tone by any vote can be).

Shapes: N images.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

BOTH = "|"
AND = " & "
Groups = Sequence[str] | NDArray[np.object_]


def members(group_N: Groups, value: str) -> NDArray[np.bool_]:
    """Which images belong to group `value`.

    An image whose cell joins several values by `|` belongs to each of them; an empty cell belongs to none.

    Parameters
    ----------
    group_N : the group column.
    value : one group's name.

    Returns
    -------
    (N,) booleans.

    Examples
    --------
    >>> members(["lighter", "lighter|darker", ""], "lighter").tolist()
    [True, True, False]
    """
    cells = np.asarray(group_N, dtype=object).tolist()
    inside = {cell for cell in set(cells) if value and value in cell.split(BOTH)}
    return np.fromiter(map(inside.__contains__, cells), dtype=bool, count=len(cells))


def values(group_N: Groups) -> list[str]:
    """The groups that occur, sorted; "" is none.

    Examples
    --------
    >>> values(["darker", "", "lighter|darker"])
    ['darker', 'lighter']
    """
    return sorted({value for cell in set(np.asarray(group_N, dtype=object).tolist()) for value in cell.split(BOTH) if value})


def intersection(first_N: Groups, second_N: Groups) -> list[str]:
    """The column of both attributes together, `a & b`; "" where either is not annotated.

    An image in several groups of an attribute is in each combination.

    Examples
    --------
    >>> intersection(["masc", "fem", ""], ["lighter", "lighter|darker", "darker"])
    ['masc & lighter', 'fem & lighter|fem & darker', '']
    """
    made: dict[tuple[str, str], str] = {}
    cells = list(zip(first_N, second_N, strict=True))
    for pair in set(cells):
        firsts, seconds = ([value for value in cell.split(BOTH) if value] for cell in pair)
        made[pair] = BOTH.join(f"{first}{AND}{second}" for first in firsts for second in seconds)
    return [made[pair] for pair in cells]
