"""One measured figure beside the bar it is held to, and a table of them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """A figure: what was measured, its value and unit, and the most or the least it should be."""

    what: str
    value: float
    unit: str
    most: float | None = None
    least: float | None = None

    @property
    def verdict(self) -> str:
        """`reached` or `missed`; empty where there is no bar."""
        if self.most is None and self.least is None:
            return ""
        fits = (self.most is None or self.value <= self.most) and (self.least is None or self.value >= self.least)
        return "reached" if fits else "missed"

    @property
    def bar(self) -> str:
        """The bar in words; empty where there is none."""
        bounds = (("at least", self.least), ("at most", self.most))
        return ", ".join(f"{word} {bound:g} {self.unit}" for word, bound in bounds if bound is not None)


def table(rows: list[Row]) -> str:
    """The rows as aligned text."""
    cells = [(row.what, f"{row.value:,.2f} {row.unit}", row.bar, row.verdict) for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in cells)
