"""Which cells of the evidence the report shows where: primary ones, those of the tables, those of a benchmark; and counts of verdicts."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import get_args

from qbias.comparison import TABLES, Comparison
from qbias.records import Insufficient
from qbias.report.tables import other_tables
from qbias.significance import PairedTest
from qbias.significance.records import CellEvidence, Evidence, Role, VerdictName

ROLES: tuple[Role, ...] = get_args(Role)
ORDER: tuple[VerdictName, ...] = ("worse", "better", "changed", "equivalent", "inconclusive", "insufficient")
"""Verdicts as they are listed: what changed, what stayed, what is not known."""


def of_role(evidence: Evidence, role: Role) -> list[CellEvidence]:
    """The cells of one role, primary ones in the order in which the plan declares their endpoints."""
    declared = [row.metric for row in evidence.plan.endpoints]
    found = [cell for cell in evidence.cells if cell.role == role]
    return sorted(found, key=lambda cell: declared.index(cell.metric) if cell.metric in declared else len(declared))


def by_key(evidence: Evidence) -> dict[tuple[str, str], CellEvidence]:
    """Cells by precision and metric."""
    return {(cell.quantizer, cell.metric): cell for cell in evidence.cells}


def verdict_counts(cells: Iterable[CellEvidence]) -> dict[VerdictName, int]:
    """How many cells have each verdict, those with none too."""
    found = Counter(cell.verdict.name for cell in cells)
    return {name: found[name] for name in ORDER}


def family_of(cells: Iterable[CellEvidence]) -> tuple[str, int]:
    """Name and size of the family that corrected the cells; nothing and 0 where none was corrected."""
    return next(((cell.corrected.family, cell.corrected.size) for cell in cells if cell.corrected), ("", 0))


def shown_metrics(comparison: Comparison, evidence: Evidence, benchmark: str) -> list[str]:
    """The metrics of a benchmark that stand in figures: primary endpoints, those of the tables, and those of all images."""
    tables = {cell.metric for cell in comparison.cells if cell.family == TABLES}
    tables |= {cell.metric for table in other_tables(comparison) for cell in table.cells}
    primary = [cell.metric for cell in of_role(evidence, "primary")]
    own = dict.fromkeys([*primary, *(cell.metric for cell in evidence.cells)])
    chosen = tables | set(primary)
    return [name for name in own if name.startswith(f"{benchmark}/") and (name in chosen or name.count("/") == 1)]


def test_of(cell: CellEvidence) -> PairedTest | None:
    """The cell's t-test, if there is one."""
    return None if isinstance(cell.test, Insufficient) else cell.test


def left_out_ranges(cell: CellEvidence) -> Mapping[str, tuple[float, float]]:
    """Smallest and largest mean difference when each source, and each size, is left out."""
    found: dict[str, tuple[float, float]] = {}
    for label in ("source", "size"):
        means = [row.mean_difference for row in cell.left_out if row.label == label]
        if means:
            found[label] = (min(means), max(means))
    return found
