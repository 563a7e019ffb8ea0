"""The report in short as Markdown: a run's note in the tracking server's pages. Whatever comes from the data is escaped."""

import re
from collections.abc import Sequence

from qbias.comparison import Comparison
from qbias.report.cells import ORDER, family_of, of_role, test_of
from qbias.report.labels import VERDICTS, change_text, interval_text, metric_label, p_text, several, short, verdict_label
from qbias.report.summary import UNCORRECTED, Summary, Unusable, summarize
from qbias.significance.records import CellEvidence, Evidence

LONGEST = 7800
"""Characters of a note: a run's tag holds 8,000 at most."""
MOST_MISSING = 8
SHORTER = ((None, MOST_MISSING), (30, 4), (12, 2), (0, 1))
"""Rows of the table and lines on what is missing, with ever fewer of both until the note is short enough."""


def summary_markdown(comparison: Comparison, evidence: Evidence, *, problems: Sequence[Unusable] = ()) -> str:
    """A short Markdown summary: facts, sentences, counts of verdicts, the primary endpoints, what is missing; never over LONGEST."""
    summary = summarize(comparison, evidence, problems=problems)
    cells = of_role(evidence, "primary")
    for rows, lines in SHORTER:
        text = _text(summary, cells, rows, lines)
        if len(text) <= LONGEST:
            return text
    return text[: LONGEST - 2].rstrip() + "…\n"


def _text(summary: Summary, cells: Sequence[CellEvidence], rows: int | None, lines: int) -> str:
    parts = ["## Quantized models beside their baselines", ""]
    parts += [f"- **{heading}**: {markdown_text(text)}" for heading, text in summary.facts]
    parts += ["", *(f"{number}. {markdown_text(text)}" for number, text in enumerate(summary.sentences, start=1))]
    parts += _counts(summary) + _endpoints(cells, rows)
    if summary.missing:
        parts += ["", "### Missing or refused", "", *(f"- {markdown_text(text)}" for text in summary.missing[:lines])]
        if len(summary.missing) > lines:
            parts.append(f"- {len(summary.missing) - lines} more in report/report.html")
    return "\n".join([*parts, "", markdown_text(UNCORRECTED), ""])


def _counts(summary: Summary) -> list[str]:
    """Verdicts by role as a table."""
    if not summary.counts:
        return []
    head = ["cells", *(VERDICTS[name] for name in ORDER)]
    rows = [[role, *(str(counts[name]) for name in ORDER)] for role, counts in summary.counts]
    return ["", "### Verdicts", "", *_table(head, rows)]


def _endpoints(cells: Sequence[CellEvidence], most: int | None) -> list[str]:
    """The primary endpoints as a table."""
    shown = cells[:most]
    if not cells:
        return []
    _, size = family_of(cells)
    head = ["endpoint", "precision", "change", "95 % CI", "margin", f"Holm p ({several(size, 'test')})", "TOST p", "verdict"]
    rows = [[metric_label(cell.metric), cell.quantizer, *_numbers(cell)] for cell in shown]
    left = [f"\n{len(cells) - len(shown)} more rows in report/report.html"] if len(shown) < len(cells) else []
    return ["", "### Primary endpoints", "", *(_table(head, rows) if rows else []), *left]


def _numbers(cell: CellEvidence) -> list[str]:
    test, margin = test_of(cell), "–" if cell.margin is None else short(cell.margin)
    verdict = verdict_label(cell.verdict.name, shifted=cell.verdict.shifted)
    if test is None:
        return ["–", "–", margin, "–", "–", verdict]
    holm = p_text(cell.corrected.holm) if cell.corrected else "–"
    equal = p_text(cell.equivalence.p) if cell.equivalence else "–"
    return [change_text(test.mean_difference), interval_text(test.ci_low, test.ci_high), margin, holm, equal, verdict]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *([markdown_text(text) for text in row] for row in rows)]
    return [f"| {' | '.join(line)} |" for line in lines]


def markdown_text(text: str) -> str:
    r"""Text that Markdown and HTML show as it is.

    Examples
    --------
    >>> print(markdown_text("<b> *x* | p < .05"))
    &lt;b&gt; \*x\* \| p &lt; .05
    """
    escaped = re.sub(r"\s", " ", text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"))
    return re.sub(r"([\\`*_\[\]|#~])", r"\\\1", escaped)
