"""Which verdicts another choice of the protocol, or of a margin, would turn: from stored outcomes, nothing is embedded again.

Under each choice the cells that it touches are tested again; all other cells of the family keep their p-values, so that corrections are
those of the whole family as declared.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from qbias.cells import Key, equivalence_within, harm_under
from qbias.comparison import Comparison
from qbias.pairwise.sensitivity import MARGINS, SweptCell, metrics_under
from qbias.records import Insufficient
from qbias.significance import AnalysisPlan, PairedTest, corrected, paired_t
from qbias.significance.multiplicity import Corrected
from qbias.significance.records import CellEvidence, Sensitivity, Verdict
from qbias.significance.verdict import verdict


def sensitivity_of(comparison: Comparison, cells: Sequence[CellEvidence], plan: AnalysisPlan) -> tuple[Sensitivity, ...]:
    """Every cell that an open choice touches, under each other value of that choice, beside its verdict as it stands.

    Parameters
    ----------
    comparison : its pairings' outcomes are what is measured again. cells : as they stand. plan : margins and error rate.

    Returns
    -------
    Choice by choice; a composite endpoint is not among them, as its groups are tested together.
    """
    known = {(cell.quantizer, cell.metric): cell for cell in cells}
    rows: list[Sensitivity] = []
    swept = sorted(metrics_under(comparison.pairings), key=lambda row: (row.choice, row.value))
    for _, group in groupby(swept, key=lambda row: (row.choice, row.value)):
        rows += _under([row for row in group if (row.quantizer, row.metric) in known], known, plan)
    return (*rows, *_margins(cells, plan))


def _under(swept: Sequence[SweptCell], known: Mapping[Key, CellEvidence], plan: AnalysisPlan) -> Iterator[Sensitivity]:
    """One choice at one value."""
    tests = {
        (row.quantizer, row.metric): paired_t(row.baseline, row.candidate, name=f"{row.quantizer} {row.metric}") for row in swept
    }  # fmt: skip
    corrections = _corrected(tests, known)
    for row in swept:
        key = row.quantizer, row.metric
        cell, test = known[key], tests[key]
        # The name is the protocol's: under signed disparities no direction of an extreme hurts.
        sign = row.value if row.choice == "facet_sign" else None
        found = _verdict(cell, test, cell.margin, corrections.get(test.name), plan, sign)
        yield _row(row.choice, row.value, cell, test, found)


def _corrected(tests: Mapping[Key, PairedTest | Insufficient], known: Mapping[Key, CellEvidence]) -> dict[str, Corrected]:
    """Corrections within each family by the tests' names, with the new p-values in the places of the old ones."""
    found: dict[str, Corrected] = {}
    for role in ("primary", "secondary"):
        family = [tests.get(key, cell.test) for key, cell in known.items() if cell.role == role]
        p_values = {test.name: test.p for test in family if isinstance(test, PairedTest)}
        found |= corrected(p_values, family=role, size=len(family))
    return found


def _verdict(
    cell: CellEvidence,
    test: PairedTest | Insufficient,
    margin: float | None,
    correction: Corrected | None,
    plan: AnalysisPlan,
    sign: str | None = None,
) -> Verdict:
    harm = harm_under(cell.metric, sign) if sign else cell.harm
    inside = equivalence_within(margin, test, harm=harm, alpha=plan.alpha)
    return verdict(test, harm=harm, corrected=correction, equivalence=inside, alpha=plan.alpha)


def _margins(cells: Sequence[CellEvidence], plan: AnalysisPlan) -> Iterator[Sensitivity]:
    """Half and double the declared margin, for the primary endpoints that are no composite."""
    for value, factor in MARGINS.items():
        for cell in cells:
            if cell.role == "primary" and cell.margin and not cell.member:
                found = _verdict(cell, cell.test, factor * cell.margin, cell.corrected, plan)
                yield _row("margin", value, cell, cell.test, found)


def _row(choice: str, value: str, cell: CellEvidence, test: PairedTest | Insufficient, found: Verdict) -> Sensitivity:
    return Sensitivity(
        choice=choice,
        value=value,
        quantizer=cell.quantizer,
        metric=cell.metric,
        mean_difference=test.mean_difference if isinstance(test, PairedTest) else None,
        p=test.p if isinstance(test, PairedTest) else None,
        verdict=found.name,
        default_mean_difference=cell.test.mean_difference if isinstance(cell.test, PairedTest) else None,
        default_verdict=cell.verdict.name,
    )
