"""Published tables of p-values and intervals: read from CSV, checked against themselves, and laid beside our own tests.

`published.csv` holds the 66 cells of Tables 1 and 2 of the study as printed. Any other CSV with the same columns will do.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from scipy.special import stdtrit

from qbias.benchmarks.problems import Problems, repeated
from qbias.benchmarks.sheet import read_sheet
from qbias.significance import PairedTest

STUDY = Path(__file__).parent / "published.csv"
LABELS = ("source", "table", "method", "quantizer", "demographic", "statistic", "metric")
NUMBERS = ("p", "ci_low", "ci_high")
COLUMNS = (*LABELS, "n", *NUMBERS)
DECIMAL = re.compile(r"[+-]?(?:[0-9]{1,9}(?:\.[0-9]{0,12})?|\.[0-9]{1,12})", re.ASCII)
"""A number as tables print it."""
WHOLE = re.compile(r"[0-9]{1,6}", re.ASCII)
CONFIDENCE = 0.95
ROUNDING = 1e-12
"""Ratios this close are equal: .02 - .005 is not exactly .015."""


@dataclass(frozen=True)
class Printed:
    """A number as printed: the text, its value, and one unit of its last digit (.01 for `.05`)."""

    text: str
    value: float
    unit: float


@dataclass(frozen=True)
class PublishedCell:
    """One cell of a published table.

    Attributes
    ----------
    line : of the file. source, table, method, demographic, statistic : as the publication says.
    quantizer, metric : our row of QUANTIZERS and our logged name; "" where we have none.
    n : models (df = n - 1). p, low, high : two-sided p of the paired t-test, and the interval of the mean difference at 95 %.
    """

    line: int
    source: str
    table: str
    method: str
    quantizer: str
    demographic: str
    statistic: str
    metric: str
    n: int
    p: Printed
    low: Printed
    high: Printed

    @property
    def name(self) -> str:
        """The cell in words; its line where it has no labels."""
        return " ".join(filter(None, (self.table, self.method, self.demographic, self.statistic))) or f"line {self.line}"


@dataclass(frozen=True)
class Beside:
    """A published cell and our test of the same precision and metric. `published` is the centre of the printed interval."""

    cell: PublishedCell
    published: float
    ours: PairedTest
    overlap: bool
    """Whether both intervals share a point, as printed and as computed."""


def read_published(path: Path) -> tuple[PublishedCell, ...]:
    """The cells of a CSV file with the columns COLUMNS, one row a cell.

    `quantizer`, `metric` and the other labels may be empty; numbers are written as printed (`.05`, `-.010`), because the digits say how
    they were rounded.

    Raises
    ------
    ValueError
        If the file is no such CSV, a number is none, p is outside 0 to 1, an interval ends before it begins, n is below 2, or two rows
        are the same cell; every offending line is listed.
    """
    sheet = read_sheet(path, COLUMNS)
    problems = Problems(path)
    lines = [int(line) for line in sheet.index]
    rows: list[list[str]] = sheet[list(COLUMNS)].to_numpy().tolist()
    for again, first in repeated([repr(row[: len(LABELS)]) for row in rows]).items():
        problems.add(f"line {lines[again]}", f"the same cell as line {lines[first]}", "keep one of the two lines")
    cells = [_cell(line, dict(zip(COLUMNS, row, strict=True)), problems) for line, row in zip(lines, rows, strict=True)]
    problems.refuse()
    return tuple(cell for cell in cells if cell is not None)


def _cell(line: int, row: Mapping[str, str], problems: Problems) -> PublishedCell | None:
    """One row; what is wrong with it goes to `problems`."""
    place = f"line {line}"
    wrong = [name for name in NUMBERS if not DECIMAL.fullmatch(row[name])]
    for name in wrong:
        problems.add(
            f"{place}, column {name!r}", f"{row[name]!r} is not a number", "write p and both ends as printed, such as .05 or -0.10"
        )
    if not WHOLE.fullmatch(row["n"]) or int(row["n"]) < 2:
        problems.add(f"{place}, column 'n'", f"{row['n']!r}: n counts models", "give a whole number of at least 2")
        return None
    if wrong:
        return None
    p, low, high = (_printed(row[name]) for name in NUMBERS)
    if not 0 <= p.value <= 1:
        problems.add(f"{place}, column 'p'", f"{row['p']} is outside 0 to 1", "write p as printed")
    if low.value > high.value:
        problems.add(place, f"the interval begins at {row['ci_low']} and ends at {row['ci_high']}", "write its lower end first")
    return PublishedCell(line, **{name: row[name] for name in LABELS}, n=int(row["n"]), p=p, low=low, high=high)


def _printed(text: str) -> Printed:
    return Printed(text, float(text), 10.0 ** -len(text.partition(".")[2]))


def possible(cell: PublishedCell, *, units: float = 0.5) -> bool:
    """Whether any paired t-test of n models rounds to the printed p and interval.

    With n - 1 degrees of freedom p fixes t, and t / t_.975 is the interval's centre divided by its half width. The true p lies within
    half a unit of its last printed digit, each end of the interval within `units` of its own: .5 is ordinary rounding, 1 allows .01 at
    either end of `.00, .05`. The cell is possible if the ratios |low + high| / (high - low) that such ends can have and those that such a
    p can have share a value. (Of a fraction whose sign does not matter the extremes are at the corners; ends that can meet allow any.)

    Of the study's 66 cells 13 are impossible under ordinary rounding and 4 with a whole unit.

    Parameters
    ----------
    cell : as read. units : how far each end may be from what is printed, in units of its last digit.
    """
    lows, highs = ([end.value - units * end.unit, end.value + units * end.unit] for end in (cell.low, cell.high))
    corners = [(low + high) / (high - low) for low, high in product(lows, highs) if high - low > ROUNDING]
    meet = lows[1] >= highs[0] - ROUNDING
    around_zero = min(corners) <= 0 <= max(corners)
    least = 0.0 if around_zero else min(map(abs, corners))
    most = math.inf if meet else max(map(abs, corners))
    smallest, largest = max(cell.p.value - cell.p.unit / 2, 0.0), min(cell.p.value + cell.p.unit / 2, 1.0)
    return _ratio(largest, cell.n) <= most + ROUNDING and _ratio(smallest, cell.n) >= least - ROUNDING


def _ratio(p: float, n: int) -> float:
    """Centre / half width of the interval that belongs to a p-value; infinite at p = 0."""
    return float(stdtrit(n - 1, 1 - p / 2) / stdtrit(n - 1, (1 + CONFIDENCE) / 2)) if p > 0 else math.inf


def audit_text(cells: Sequence[PublishedCell]) -> str:
    """Every cell with what can be said about it, and both counts of impossible ones, as text to print."""
    says = [_says(cell) for cell in cells]
    rows = [
        (cell.name, cell.p.text, f"{cell.low.text}, {cell.high.text}", str(cell.n), word) for cell, word in zip(cells, says, strict=True)
    ]
    rows.insert(0, ("cell", "p", "95 % CI", "n", ""))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    counts = (
        f"{len(cells)} cells. {len(cells) - says.count('')} are impossible under ordinary rounding: no paired t-test has that p and that "
        f"interval. {says.count(FAR)} of these stay so where each end may be off by a whole unit of its last digit."
    )
    return "\n".join([*lines, counts])


NEAR = "impossible under rounding"
FAR = "impossible, with a unit of slack too"


def _says(cell: PublishedCell) -> str:
    if possible(cell):
        return ""
    return NEAR if possible(cell, units=1) else FAR


def beside_published(cells: Sequence[PublishedCell], tests: Mapping[tuple[str, str], PairedTest]) -> tuple[Beside, ...]:
    """The published cells that we have a test of, in their order, each with our test.

    Parameters
    ----------
    cells : as read. tests : by (quantizer, metric).
    """
    both = [(cell, tests[cell.quantizer, cell.metric]) for cell in cells if (cell.quantizer, cell.metric) in tests]
    return tuple(
        Beside(cell, (cell.low.value + cell.high.value) / 2, ours, cell.low.value <= ours.ci_high and ours.ci_low <= cell.high.value)
        for cell, ours in both
    )
