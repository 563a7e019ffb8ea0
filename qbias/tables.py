"""Look-up in the project's tables (models, quantizers, benchmarks): an unknown name gets an error one can act on."""

import difflib
from collections.abc import Iterable, Mapping
from typing import TypeVar

Row = TypeVar("Row")


def pick(table: Mapping[str, Row], name: str, *, what: str) -> Row:
    """The row called `name`.

    Raises
    ------
    ValueError
        If there is none; the message lists the valid names and the nearest one.
    """
    if name in table:
        return table[name]
    near = difflib.get_close_matches(name, table, n=1, cutoff=0.4)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"unknown {what} {name!r}.{hint} Valid names: {', '.join(table)}")


def pick_many(table: Mapping[str, Row], names: str | Iterable[str], *, what: str) -> list[Row]:
    """The rows of a comma-separated list of names, in the table's order; `all` means every row.

    Raises
    ------
    ValueError
        If the list is empty or one name is unknown.
    """
    wanted = split_names(names)
    if wanted == ["all"]:
        return list(table.values())
    if not wanted:
        raise ValueError(f"no {what} named: give one or several of {', '.join(table)}, or 'all'")
    chosen = {name: pick(table, name, what=what) for name in wanted}
    return [row for name, row in table.items() if name in chosen]


def split_names(names: str | Iterable[str]) -> list[str]:
    """`"a, b"` -> `["a", "b"]`; blanks are dropped."""
    parts = names.split(",") if isinstance(names, str) else names
    return [part.strip() for part in parts if part.strip()]
