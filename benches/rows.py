"""One measured figure beside the bar it is held to, and a table of them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """A figure: what was measured, its value and unit, and the most it should be."""

    what: str
    value: float
    unit: str
    most: float | None = None

    @property
    def verdict(self) -> str:
        """`reached` or `missed`; empty where there is no bar."""
        return "" if self.most is None else ("reached" if self.value <= self.most else "missed")


def table(rows: list[Row]) -> str:
    """The rows as aligned text."""
    cells = [(row.what, f"{row.value:,.2f} {row.unit}", _bar(row), row.verdict) for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in cells)


def _bar(row: Row) -> str:
    return "" if row.most is None else f"at most {row.most:g} {row.unit}"
