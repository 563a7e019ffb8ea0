"""Every file of the report, each written whole. The same comparison and evidence give the same bytes."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import pandas as pd

from qbias.comparison import Comparison
from qbias.report.drawings import NAMES, drawings
from qbias.report.figures import save_figure1
from qbias.report.frames import evidence_frames, frame_of_tests, per_model_frame
from qbias.report.latex import latex_table
from qbias.report.markdown import summary_markdown
from qbias.report.page import report_page, table_page
from qbias.report.published import Beside
from qbias.report.record import as_record, json_text
from qbias.report.summary import UNCORRECTED, Unusable
from qbias.report.tables import Table, table1, table2, table_frame
from qbias.significance.records import Evidence
from qbias.store import whole_file


def write_report(
    comparison: Comparison,
    folder: Path,
    *,
    evidence: Evidence,
    title: str,
    commands: Sequence[str],
    problems: Sequence[Unusable] = (),
    published: Sequence[Beside] = (),
    run_links: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Path]:
    """Write the report of `comparison` into `folder`, which is made where it is missing; files of these names are replaced.

    Parameters
    ----------
    comparison : what compare() gave; with nothing in it the page says what was refused.
    folder : where the files go.
    evidence : every statistic of the comparison; any part of it may be empty.
    title : heading of the page.
    commands : how to reproduce the comparison, one shell command each.
    problems : versions that had no usable evaluation.
    published : cells of a published study beside ours, see qbias/report/published.py.
    run_links : address of each run in the tracking server, by run id; runs without one are named only.

    Returns
    -------
    Path of each file by its name. A figure that there is nothing to draw for has no file, and an older one of its name is removed.
    """
    paths = {name: folder / name for name in FILES}
    save_figure1(comparison, paths["figure1.svg"], paths["figure1.png"])
    figures = drawings(comparison, evidence)
    tests, frames = frame_of_tests(comparison, evidence), evidence_frames(evidence)
    texts: dict[str, str] = {
        "report.html": report_page(
            comparison, evidence, title=title, commands=commands, figure_svg=paths["figure1.svg"].read_text(encoding="utf-8"),
            figures=figures, problems=problems, published=published, run_links=run_links,
        ),
        "report.md": summary_markdown(comparison, evidence, problems=problems),
        "comparison.json": json_text(as_record(comparison, evidence, problems=problems, published=published)),
        "tests.csv": csv_text(tests),
        "per_model.csv": csv_text(per_model_frame(comparison)),
        **{f"{name}.csv": csv_text(frame) for name, frame in frames.items()},
        **_table_texts(table1(comparison), evidence),
        **_table_texts(table2(comparison), evidence),
        **{f"{name}.svg": figure.svg for name, figure in figures.items()},
    }  # fmt: skip
    for name, text in texts.items():
        _write(paths[name], lambda beside, text=text: beside.write_bytes(text.encode()))  # type: ignore[misc]
    _write(paths["tests.parquet"], lambda beside: tests.to_parquet(beside, index=False))
    for name in (f"{name}.svg" for name in NAMES if name not in figures):
        paths.pop(name).unlink(missing_ok=True)
    return paths


FRAMES = ("changes", "mcnemar", "churn", "swaps", "nulls", "sensitivity", "bands", "noise")
FILES = (
    "report.html", "report.md", "comparison.json", "tests.csv", "tests.parquet", "per_model.csv", *(f"{name}.csv" for name in FRAMES),
    *(f"table{number}.{kind}" for number in (1, 2) for kind in ("html", "csv", "tex")), "figure1.svg", "figure1.png",
    *(f"{name}.svg" for name in NAMES),
)  # fmt: skip


def _table_texts(table: Table, evidence: Evidence) -> dict[str, str]:
    """One of the paper's tables in its three forms."""
    forms = {"html": table_page(table, evidence), "csv": csv_text(table_frame(table)), "tex": latex_table(table, note=UNCORRECTED)}
    return {f"table{table.number}.{kind}": text for kind, text in forms.items()}


def _write(path: Path, fill: Callable[[Path], object]) -> None:
    with whole_file(path) as beside:
        fill(beside)


def csv_text(frame: pd.DataFrame) -> str:
    """CSV with full precision and the same line ends everywhere; a text that a spreadsheet would take for a formula is quoted by '."""
    safe = frame.copy()
    for column in safe.select_dtypes("object"):
        safe[column] = [f"'{value}" if isinstance(value, str) and value[:1] in "=+@\t" and value else value for value in safe[column]]
    return str(safe.to_csv(index=False, lineterminator="\n"))
