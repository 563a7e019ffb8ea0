"""The first screen in words: what was compared, three sentences computed from the verdicts and the data, and what is missing.

Careful words: a change is a change, not a judgement of a model; a large p-value is no evidence of no change; what changed needs review.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from qbias.comparison import TABLES, Cell, Comparison, absent_pairs, unmeasured
from qbias.records import Refusal
from qbias.report.cells import ROLES, by_key, of_role, test_of, verdict_counts
from qbias.report.datasets import image_counts, images_text, prompt_lists, skipped_counts
from qbias.report.labels import PAPERS, benchmark_label, change_text, metric_label, points_text, several, short, size_text
from qbias.report.tables import GREEN, other_tables, table1, table2
from qbias.significance import Corrected, PairedTest
from qbias.significance.records import CellEvidence, Evidence, Role, VerdictName

NO_EVIDENCE = "A large p-value is not evidence of no change"
UNCORRECTED = (
    "No correction for multiple testing is applied in Tables 1 and 2, as in the paper; Holm's and Benjamini-Hochberg's corrected "
    "p-values stand beside them in the list of all cells and in tests.csv."
)
UNCORRECTED_OTHERS = "No correction for multiple testing is applied here; corrected p-values stand in the list of all cells."


class Unusable(Protocol):
    """A version whose evaluation could not be used at all: which, and why. Whoever collects evaluations supplies these."""

    @property
    def model(self) -> str:
        """Registered model name."""

    @property
    def version(self) -> str:
        """Its version."""

    @property
    def run_id(self) -> str:
        """The evaluation run, or nothing."""

    @property
    def reason(self) -> str:
        """Why it is not part of the comparison."""


@dataclass(frozen=True)
class Summary:
    """The first screen: (heading, text) facts, the sentences, verdicts counted by role, and what is missing (nothing: an empty tuple)."""

    facts: tuple[tuple[str, str], ...]
    sentences: tuple[str, ...]
    counts: tuple[tuple[Role, Mapping[VerdictName, int]], ...]
    missing: tuple[str, ...]


def summarize(comparison: Comparison, evidence: Evidence, *, problems: Sequence[Unusable] = ()) -> Summary:
    """The first screen of a comparison; `problems` are versions that had no usable evaluation."""
    sentences = (sentence_on_endpoints(evidence), sentence_on_tests(comparison, evidence), limits_sentence(comparison))
    counts = tuple((role, verdict_counts(cells)) for role in ROLES if (cells := of_role(evidence, role)))
    return Summary(_facts(comparison), sentences, counts, tuple(_missing(comparison, evidence, problems)))


def _facts(comparison: Comparison) -> tuple[tuple[str, str], ...]:
    baselines = list(dict.fromkeys(row.baseline.quantizer for row in comparison.pairings))
    candidates = ", ".join(comparison.quantizers) or "none"
    facts = [
        ("Models", f"{len(comparison.models)}: {', '.join(comparison.models)}" if comparison.models else "none"),
        ("Precisions", f"{candidates}; each beside its own {' or '.join(baselines) or 'baseline'}"),
        ("Images", images_text(image_counts(comparison)) or "none"),
    ]
    if skipped := skipped_counts(comparison):
        facts.append(("Skipped images", f"{images_text(skipped)}: they cannot be decoded; both sides of every pair used the same images"))
    if prompts := prompt_lists(comparison):
        facts.append(("Prompts", "; ".join(f"{benchmark_label(name)}: {lists.text}" for name, lists in prompts)))
    pairs = ("Pairs", f"{len(comparison.pairings)} compared, {len(comparison.refusals)} refused")
    return (*facts, pairs, ("Quality", quality_sentence(comparison)))


def quality_sentence(comparison: Comparison) -> str:
    """By how much accuracy (else recall) changed in each precision, averaged over models."""
    names = [name for name in comparison.metrics if name.count("/") == 1 and re.search(r"(accuracy|recall)_at_\d+$", name)]
    preferred = ("imagenet/accuracy_at_1", "coco/image_retrieval_recall_at_5")
    names.sort(key=lambda name: preferred.index(name) if name in preferred else len(preferred))
    if not names:
        return "Neither accuracy nor recall was measured, so nothing is said about the models' quality."
    parts, counts = [], set()
    for quantizer in comparison.quantizers:
        rows = [row.difference for row in comparison.changes if (row.quantizer, row.metric) == (quantizer, names[0])]
        values = [value for value in rows if value is not None]
        if values:
            parts.append(f"{points_text(sum(values) / len(values))} in {quantizer}")
            counts.add(len(values))
    return f"{metric_label(names[0])} changed by {', '.join(parts)} (percentage points, {_averaged(counts)})."


def _averaged(counts: set[int]) -> str:
    low, high = min(counts, default=0), max(counts, default=0)
    if high <= 1:
        return "one model each"
    return f"mean over {high} models" if low == high else f"mean over {low} to {high} models"


def sentence_on_endpoints(evidence: Evidence) -> str:
    """What the verdicts on the primary cells are: which changed, how many stayed within their margin, of how many nothing is known."""
    cells = of_role(evidence, "primary")
    if not cells:
        return "No primary endpoint was declared, so there is no verdict that was planned before the data were seen."
    counts, endpoints = verdict_counts(cells), len({cell.metric for cell in cells})
    precisions = len({cell.quantizer for cell in cells})
    changed = [text for name in ("worse", "better", "changed") if (text := _changed(cells, name))]
    if not counts["worse"]:
        changed.insert(0, "none was shown to have changed in the direction that hurts")
    stayed = [
        _stayed(cells),
        f"{counts['inconclusive']} give no evidence either way" if counts["inconclusive"] != 1 else "1 gives no evidence either way",
        f"{counts['insufficient']} could not be tested" if counts["insufficient"] else "",
    ]
    what = f"{several(endpoints, 'endpoint')} in {several(precisions, 'precision')}"
    of = f"Of the {len(cells)} primary cells ({what})" if len(cells) > 1 else f"Of the one primary cell ({cells[0].metric})"
    return f"{of}, {'; '.join([*changed, *filter(None, stayed)])}."


WAYS = {"worse": "in the direction that hurts", "better": "in the direction that does not hurt", "changed": "where no direction is better"}
MOST_NAMED = 3


def _changed(cells: Sequence[CellEvidence], name: str) -> str:
    """The cells with one verdict of change, the largest relative to their margin by name."""
    own = sorted((cell for cell in cells if cell.verdict.name == name), key=_relative, reverse=True)
    if not own:
        return ""
    named = [
        f"{metric_label(cell.metric)} in {cell.quantizer} by {change_text(test.mean_difference)}"
        for cell in own[:MOST_NAMED]
        if (test := test_of(cell))
    ]
    more = f", and {len(own) - MOST_NAMED} more" if len(own) > MOST_NAMED else ""
    return f"{len(own)} changed {WAYS[name]} ({', '.join(named)}{more})"


def _relative(cell: CellEvidence) -> float:
    """Size of the mean change in margins."""
    test = test_of(cell)
    return abs(test.mean_difference) / (cell.margin or 1.0) if test else 0.0


def _stayed(cells: Sequence[CellEvidence]) -> str:
    own = [cell.verdict for cell in cells if cell.verdict.name == "equivalent"]
    shifted = sum(row.shifted for row in own)
    moved = f" ({shifted} of them shifted: away from 0 all the same)" if shifted else ""
    return f"{len(own) or 'none'} changed by less than {'its' if len(own) == 1 else 'their'} margin{moved}"


def sentence_on_tests(comparison: Comparison, evidence: Evidence) -> str:
    """How many tests of Tables 1 and 2 are significant, how many chance alone gives, and what a correction leaves; then of the others."""
    corrections = {key: cell.corrected for key, cell in by_key(evidence).items() if cell.corrected}
    others = [cell for table in other_tables(comparison) for cell in table.cells]
    numbers = [table.number for table in other_tables(comparison)]
    own = [cell for cell in comparison.cells if cell.family == TABLES]
    if own:
        parts = [_counted(comparison, "Tables 1 and 2", own, corrections)]
    else:
        silent = "" if others else " and nothing is said about disparity between groups"
        parts = [f"Neither FACET nor FairFace was measured, so Tables 1 and 2 are empty{silent}."]
    if others:
        between = " and " if len(numbers) == 2 else " to "
        name = f"Table {numbers[0]}" if len(numbers) == 1 else f"Tables {numbers[0]}{between}{numbers[-1]}"
        parts.append(_counted(comparison, name, others, corrections))
    return " ".join(parts)


def _counted(comparison: Comparison, tables: str, cells: Sequence[Cell], corrections: Mapping[tuple[str, str], Corrected]) -> str:
    """The tests among `cells` in one sentence, with the families in which they were corrected."""
    found = [cell.result for cell in cells if isinstance(cell.result, PairedTest)]
    if not found:
        return f"None of the {len(cells)} tests of {tables} could be made: {_why_none(comparison)}."
    small = sum(test.p < GREEN for test in found)
    made = f"{len(found)}" if len(found) == len(cells) else f"{len(found)} (of {len(cells)} declared)"
    chance = short(GREEN * len(found), digits=1)
    counted = f"{small or 'none'} {'has' if small == 1 else 'have'} p < .05"
    return (
        f"Of the {made} paired t-tests of {tables}, {counted}, where chance alone gives {chance} on average if nothing "
        f"changed; {_left([row for cell in cells if (row := corrections.get((cell.quantizer, cell.metric)))])}."
    )


def _left(corrections: Sequence[Corrected]) -> str:
    """What Holm's correction leaves."""
    if not corrections:
        return "no corrected p-value was made"
    families = dict.fromkeys(f"the {row.size} tests of the {row.family} family" for row in corrections)
    left = sum(row.holm < GREEN for row in corrections)
    return f"after Holm's correction over {' and '.join(families)} {left or 'none'} {'remains' if left == 1 else 'remain'}"


def _why_none(comparison: Comparison) -> str:
    models = len(comparison.models)
    if models < 3:
        return f"a t-test across models needs at least three models, and this comparison has {models}"
    return "the list of cells without a test gives each one's reason"


def limits_sentence(comparison: Comparison) -> str:
    """What the tests cannot say, and the largest change of a single model in the first table in which any changed."""
    measured = False
    for table in (table1(comparison), table2(comparison), *other_tables(comparison)):
        declared = {cell.metric for cell in table.cells}
        rows = [(abs(row.difference), row) for row in comparison.changes if row.metric in declared and row.difference is not None]
        largest, row = max(rows, key=lambda entry: entry[0], default=(0.0, None))
        measured = measured or bool(rows)
        if row is None or not largest:
            continue
        assert row.baseline is not None
        assert row.candidate is not None
        tests = [cell.result for cell in table.cells if isinstance(cell.result, PairedTest)]
        ends = tuple(end for test in tests for end in (test.ci_low, test.ci_high))
        reach = f": the 95 % intervals for {benchmark_label(table.benchmark)} reach up to {size_text(ends)} from zero, and" if ends else ";"
        change = f"{table.subject} changed by up to {change_text(row.candidate - row.baseline)}"
        where = f"{row.model} in {row.quantizer}, {metric_label(row.metric)} from {short(row.baseline)} to {short(row.candidate)}"
        return f"{NO_EVIDENCE}{reach} in a single model {change} ({where}): review required."
    if measured:
        return f"{NO_EVIDENCE}; no disparity or skew of any model changed on these images, which says nothing of others: review required."
    return f"{NO_EVIDENCE}, and where no disparity was measured there is no evidence at all: review required."


def _missing(comparison: Comparison, evidence: Evidence, problems: Sequence[Unusable]) -> list[str]:
    """What a reader might expect and does not get, one line each."""
    lines = [f"{row.model} version {row.version} is not part of the comparison: {row.reason}." for row in problems]
    lines += [refusal_line(row) for row in comparison.refusals]
    refused = {(row.model, row.quantizer) for row in comparison.refusals}
    lines += [f"{model} has no pair in {name}." for model, name in absent_pairs(comparison) if (model, name) not in refused]
    lines += [f"{label} was not measured." for name, label in PAPERS.items() if name not in comparison.benchmarks]
    if empty := len(unmeasured(comparison)):
        lines.append(f"{empty} of {len(comparison.cells)} cells have no test; the list below gives each one's reason and counts.")
    tested = {cell.metric for cell in evidence.cells if test_of(cell)}
    lines += [f"The primary endpoint {row.metric} has no test." for row in evidence.plan.endpoints if row.metric not in tested]
    return lines + list(evidence.notes)


def refusal_line(refusal: Refusal) -> str:
    """A refused version in one line, naming every fact that differs."""
    facts = "; ".join(f"{fact} ({first} / {second})" for fact, first, second in refusal.differences)
    return f"{refusal.model} version {refusal.version} ({refusal.quantizer}) was not paired, baseline / candidate: {facts}."
