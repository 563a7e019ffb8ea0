"""CSV files as text tables: every cell a string, every row with the line it ends on, every defect an error that names the place.

The standard library's reader, not pandas': pandas turns the first column of a file with ragged rows into an index and shifts the
others, without a word.
"""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from qbias.benchmarks.problems import Problems

LINE = "line"
"""Name of the index: the file's line on which the row ends (the header is line 1)."""


def read_text(path: Path) -> str:
    """The file's text, UTF-8 with or without a byte order mark.

    Raises
    ------
    ValueError
        If the file is missing, unreadable or not UTF-8.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror}); put the dataset's own file there") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8 text") from None


def read_sheet(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """The named columns of a CSV file as stripped strings, one row per record, indexed by line number.

    Other columns are left out; columns are found by name. Blank lines are skipped.

    Raises
    ------
    ValueError
        If the file is no CSV, a column is missing or stands twice, or rows have more or fewer cells than the header.
    """
    records = _records(path)
    if not records:
        raise ValueError(f"{path}: the file is empty; expected a header line with {', '.join(columns)}")
    (_, header), *rows = records
    places = _places(path, [cell.strip() for cell in header], columns)
    problems = Problems(path)
    for line, cells in rows:
        if len(cells) != len(header):
            problems.add(
                f"line {line}",
                f"{len(cells)} cells where the header has {len(header)}",
                "every row needs one cell per column of the header; a cell with a comma in it needs quotation marks",
            )
    problems.refuse()
    if not rows:
        raise ValueError(f"{path}: a header and no rows; put the dataset's own file there")
    index = pd.Index([line for line, _ in rows], name=LINE)
    return pd.DataFrame({name: [cells[at].strip() for _, cells in rows] for name, at in places.items()}, index=index, dtype=object)


def _records(path: Path) -> list[tuple[int, list[str]]]:
    """(line, cells) of every record that is not blank."""
    reader = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
    try:
        return [(reader.line_num, cells) for cells in reader if any(cell.strip() for cell in cells)]
    except csv.Error as error:
        raise ValueError(f"{path}: line {reader.line_num}: not readable as CSV ({error}); check its quotation marks") from None


def _places(path: Path, header: list[str], columns: Sequence[str]) -> dict[str, int]:
    """Column name -> position, for the columns asked for."""
    problems = Problems(path)
    for name in columns:
        if (found := header.count(name)) == 1:
            continue
        what = f"column {name!r} is missing" if found == 0 else f"column {name!r} stands {found} times"
        shown = ", ".join(header[:30]) + (", ..." if len(header) > 30 else "")
        problems.add("line 1", what, f"the file needs each of {', '.join(columns)} once in its header; it has: {shown}")
    problems.refuse()
    return {name: header.index(name) for name in columns}
