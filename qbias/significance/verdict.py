"""The verdict on one cell, in one word and one sentence.

The first row that applies counts:

| verdict | when |
|---|---|
| insufficient | there is no test over models: too few models, or differences that do not vary |
| equivalent | both one-sided tests against the margin pass at alpha; `shifted` where the interval of the mean difference also excludes 0 |
| worse | Holm-corrected p < alpha, and the mean moved in the direction that hurts |
| better | Holm-corrected p < alpha, and the mean moved the other way |
| changed | Holm-corrected p < alpha, and no direction hurts (`harm` is `none`) |
| inconclusive | none of these: neither a change nor the absence of one that matters was shown |

Without a margin nothing is equivalent. At the border itself: an equivalence test passes at p = alpha (the interval's end lies on the
margin, which still does not matter); a change needs p below alpha (an interval that ends at 0 contains 0). Where no model's value
changed, a margin makes the cell equivalent; without one it is inconclusive, as nothing says which change would have mattered.

Equivalence comes before a change because it answers the question that is asked: a change that was found, and is too small to matter, is
`equivalent` and `shifted`. The equivalence test is not corrected for the family: each verdict speaks for its own cell.
"""

from typing import Protocol

from qbias.records import Harm, Insufficient
from qbias.significance.multiplicity import Corrected
from qbias.significance.records import Equivalence, Verdict, VerdictName


class MeanChange(Protocol):
    """What a verdict reads of a test: PairedTest and LargestChange both have it."""

    @property
    def n(self) -> int:
        """Models."""

    @property
    def mean_difference(self) -> float:
        """Candidate - baseline."""

    @property
    def ci_low(self) -> float:
        """Lower end of the interval."""

    @property
    def ci_high(self) -> float:
        """Upper end of the interval."""

    @property
    def confidence(self) -> float:
        """Of the interval."""


def verdict(
    test: MeanChange | Insufficient, *, harm: Harm, corrected: Corrected | None, equivalence: Equivalence | None, alpha: float = 0.05
) -> Verdict:
    """The verdict by the table at the top of this file, with the numbers behind it.

    Parameters
    ----------
    test : of the mean difference over models, or why there is none.
    harm : which direction of change hurts.
    corrected : the test's p within its family; None only where `test` is Insufficient.
    equivalence : the tests against the margin; None where no margin was declared.
    alpha : error rate of the family, as `equivalence` was made with.

    Returns
    -------
    Verdict. Its reason never claims more than the numbers: `inconclusive` says what was not shown.

    Examples
    --------
    >>> verdict(Insufficient("gap", "a t-test needs three models", {"models": 2}), harm="higher", corrected=None, equivalence=None)
    Verdict(name='insufficient', shifted=False, reason='A t-test needs three models (models: 2).')
    """
    if isinstance(test, Insufficient):
        return Verdict("insufficient", False, _why_not(test))
    assert corrected is not None, "a test that was made has its corrected p-value"
    seen = f"mean difference {_estimate(test)}"
    if equivalence is not None and equivalence.equivalent:
        shifted = test.ci_low > 0 or test.ci_high < 0
        return Verdict("equivalent", shifted, _inside(seen, equivalence, shifted))
    found = f"{_p('Holm-corrected p', corrected.holm)} among {corrected.size} tests of the {corrected.family} family"
    if corrected.holm < alpha:
        name, meaning = _direction(test.mean_difference, harm)
        return Verdict(name, False, f"{_capital(seen)}; {found}, below {alpha:g}; {meaning}.")
    return Verdict("inconclusive", False, f"{_capital(seen)}; {found}, not below {alpha:g}; {_open(equivalence)}.")


def _direction(mean: float, harm: Harm) -> tuple[VerdictName, str]:
    moved = "higher" if mean > 0 else "lower"
    if harm == "none":
        return "changed", "for this metric neither direction is better or worse"
    return ("worse" if moved == harm else "better"), f"for this metric {harm} is worse"


def _inside(seen: str, found: Equivalence, shifted: bool) -> str:
    if found.low == found.high == 0:
        return f"No model's value changed: {seen}, inside the margin of {found.margin:g}."
    end = "; the interval of the mean difference excludes 0, so a change was found, smaller than the margin" if shifted else ""
    return (
        f"{_capital(seen)}; its {100 * (1 - 2 * found.alpha):g} % interval {_span(found.low, found.high)} lies inside the margin of "
        f"{found.margin:g} ({_p('equivalence p', found.p)}){end}."
    )


def _open(found: Equivalence | None) -> str:
    if found is None:
        return "no margin was declared, so a change too small to matter cannot be told from a change that was missed"
    return (
        f"equivalence within {found.margin:g} was not shown either ({_p('p', found.p)}; the smallest margin that would be is "
        f"{found.smallest_margin:.3g})"
    )


def _why_not(test: Insufficient) -> str:
    counts = ", ".join(f"{what}: {count}" for what, count in test.counts.items())
    return _capital(test.reason) + (f" ({counts})." if counts else ".")


def _estimate(test: MeanChange) -> str:
    return f"{test.mean_difference:+.3g} ({100 * test.confidence:g} % interval {_span(test.ci_low, test.ci_high)}, {test.n} models)"


def _span(low: float, high: float) -> str:
    return f"{low:+.3g} to {high:+.3g}"


def _p(label: str, p: float) -> str:
    """A p-value that never reads as 0, and keeps enough digits to be told from alpha."""
    return f"{label} < 0.0001" if p < 1e-4 else f"{label} = {p:.3g}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
