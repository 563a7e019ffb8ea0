"""The first screen in words: what was compared, three sentences computed from the data, and what is missing. Also the run's note.

Careful words: a change is a change, not a verdict; a large p-value is no evidence of no change; what changed needs review.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from qbias.comparison import TABLES, Comparison, absent_pairs, unmeasured
from qbias.records import Refusal
from qbias.report.labels import benchmark_label, change_text, metric_label, points_text, short, size_text
from qbias.report.tables import GREEN, corrections_of, family_size, made_tests

NO_EVIDENCE = "A large p-value is not evidence of no change"
UNCORRECTED = (
    "No correction for multiple testing is applied in Tables 1 and 2, as in the paper; Holm's and Benjamini-Hochberg's corrected "
    "p-values stand in tests.csv."
)


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
    """The first screen: (heading, text) facts, the sentences, and what is missing (nothing: an empty tuple)."""

    facts: tuple[tuple[str, str], ...]
    sentences: tuple[str, ...]
    missing: tuple[str, ...]


def summarize(comparison: Comparison, *, problems: Sequence[Unusable] = ()) -> Summary:
    """The first screen of a comparison; `problems` are versions that had no usable evaluation."""
    sentences = (quality_sentence(comparison), sentence_on_tests(comparison), limits_sentence(comparison))
    return Summary(_facts(comparison), sentences, tuple(_missing(comparison, problems)))


def _facts(comparison: Comparison) -> tuple[tuple[str, str], ...]:
    baselines = list(dict.fromkeys(row.baseline.quantizer for row in comparison.pairings))
    candidates = ", ".join(comparison.quantizers) or "none"
    return (
        ("Models", f"{len(comparison.models)}: {', '.join(comparison.models)}" if comparison.models else "none"),
        ("Precisions", f"{candidates}; each beside its own {' or '.join(baselines) or 'baseline'}"),
        ("Images", ", ".join(f"{benchmark_label(name)} {count}" for name, count in image_counts(comparison)) or "none"),
        ("Pairs", f"{len(comparison.pairings)} compared, {len(comparison.refusals)} refused"),
    )


def image_counts(comparison: Comparison) -> list[tuple[str, str]]:
    """Images per benchmark; a range where pairs differ."""
    found = []
    for name in comparison.benchmarks:
        sides = [row.candidate.outcomes[name] for row in comparison.pairings if name in row.candidate.outcomes]
        counts = sorted({len(side.frames["images"]) for side in sides})
        found.append((name, f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,} to {counts[-1]:,}"))
    return found


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


def sentence_on_tests(comparison: Comparison) -> str:
    """How many tests of Tables 1 and 2 are significant, how many chance alone gives, and what a correction leaves."""
    size, found = family_size(comparison, TABLES), made_tests(comparison, TABLES)
    if not size:
        return "Neither FACET nor FairFace was measured, so Tables 1 and 2 are empty and nothing is said about disparity between groups."
    if not found:
        return f"None of the {size} tests of Tables 1 and 2 could be made: {_why_none(comparison)}."
    small = sum(test.p < GREEN for test in found)
    corrections = corrections_of(comparison)
    left = sum(corrections[test.name].holm < GREEN for test in found)
    made = f"{len(found)}" if len(found) == size else f"{len(found)} (of {size} declared)"
    chance = short(GREEN * len(found), digits=1)
    counted = f"{small or 'none'} {'has' if small == 1 else 'have'} p < .05"
    remaining = f"{left or 'none'} {'remains' if left == 1 else 'remain'}"
    return (
        f"Of the {made} paired t-tests of Tables 1 and 2, {counted}, where chance alone gives {chance} on average if no disparity "
        f"changed; after Holm's correction over {size} tests {remaining}."
    )


def _why_none(comparison: Comparison) -> str:
    models = len(comparison.models)
    if models < 3:
        return f"a t-test across models needs at least three models, and this comparison has {models}"
    return "the list of cells without a test gives each one's reason"


def limits_sentence(comparison: Comparison) -> str:
    """What the tests cannot say, and the largest change of a single model."""
    for benchmark, what in (("facet", "disparity"), ("fairface", "skew")):
        declared = {cell.metric for cell in comparison.cells if cell.family == TABLES and cell.metric.startswith(benchmark + "/")}
        rows = [(abs(row.difference), row) for row in comparison.changes if row.metric in declared and row.difference is not None]
        if not rows:
            continue
        _, row = max(rows, key=lambda entry: entry[0])
        assert row.baseline is not None
        assert row.candidate is not None
        names = {cell.result.name for cell in comparison.cells if cell.metric in declared}
        ends = tuple(end for test in made_tests(comparison, TABLES) if test.name in names for end in (test.ci_low, test.ci_high))
        reach = f": the 95 % intervals for {benchmark_label(benchmark)} reach up to {size_text(ends)} from zero, and" if ends else ";"
        return (
            f"{NO_EVIDENCE}{reach} in a single model {what} changed by up to {change_text(row.candidate - row.baseline)} ({row.model} in "
            f"{row.quantizer}, {metric_label(row.metric)} from {short(row.baseline)} to {short(row.candidate)}): review required."
        )
    return f"{NO_EVIDENCE}, and where no disparity was measured there is no evidence at all: review required."


def _missing(comparison: Comparison, problems: Sequence[Unusable]) -> list[str]:
    """What a reader might expect and does not get, one line each."""
    lines = [f"{row.model} version {row.version} is not part of the comparison: {row.reason}." for row in problems]
    lines += [refusal_line(row) for row in comparison.refusals]
    refused = {(row.model, row.quantizer) for row in comparison.refusals}
    lines += [f"{model} has no pair in {name}." for model, name in absent_pairs(comparison) if (model, name) not in refused]
    lines += [
        f"{benchmark_label(name)} was not measured."
        for name in ("imagenet", "coco", "facet", "fairface")
        if name not in comparison.benchmarks
    ]
    if empty := len(unmeasured(comparison)):
        lines.append(f"{empty} of {len(comparison.cells)} cells have no test; the list below gives each one's reason and counts.")
    return lines


def refusal_line(refusal: Refusal) -> str:
    """A refused version in one line, naming every fact that differs."""
    facts = "; ".join(f"{fact} ({first} / {second})" for fact, first, second in refusal.differences)
    return f"{refusal.model} version {refusal.version} ({refusal.quantizer}) was not paired, baseline / candidate: {facts}."


def summary_markdown(comparison: Comparison, *, problems: Sequence[Unusable] = ()) -> str:
    """A short Markdown summary for a run's note; whatever comes from the data is escaped."""
    summary = summarize(comparison, problems=problems)
    lines = ["## Quantized models beside their baselines", ""]
    lines += [f"- **{heading}**: {markdown_text(text)}" for heading, text in summary.facts]
    lines += ["", *(f"{number}. {markdown_text(text)}" for number, text in enumerate(summary.sentences, start=1))]
    if summary.missing:
        lines += ["", "### Missing or refused", "", *(f"- {markdown_text(text)}" for text in summary.missing)]
    return "\n".join([*lines, "", markdown_text(UNCORRECTED), ""])


def markdown_text(text: str) -> str:
    r"""Text that Markdown and HTML show as it is.

    Examples
    --------
    >>> print(markdown_text("<b> *x* | p < .05"))
    &lt;b&gt; \*x\* \| p &lt; .05
    """
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\n", " ")
    return re.sub(r"([\\`*_\[\]|#~])", r"\\\1", escaped)
