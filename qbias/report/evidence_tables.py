"""The evidence as lines of the page's tables: every text ready, nothing computed but means, ranges and counts over models."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

from qbias.report.cells import ROLES, by_key, left_out_ranges, of_role, test_of
from qbias.report.labels import (
    benchmark_label,
    change_text,
    interval_text,
    metric_label,
    p_text,
    percent_text,
    short,
    slice_label,
    verdict_label,
)
from qbias.significance.records import CellEvidence, Evidence, McNemar, Sensitivity

NONE = "–"
Fact = tuple[str, str]


@dataclass(frozen=True)
class Line:
    """One cell as a row of texts: `main` in the order of the table's columns, `facts` everything else with its name."""

    cell: CellEvidence
    anchor: str
    metric: str
    main: tuple[str, ...]
    facts: tuple[Fact, ...]
    verdict: str


def cell_lines(evidence: Evidence) -> dict[str, list[Line]]:
    """The lines of each role."""
    anchors = anchors_of(evidence)
    return {role: [_line(cell, anchors[cell.quantizer, cell.metric]) for cell in of_role(evidence, role)] for role in ROLES}


def anchors_of(evidence: Evidence) -> dict[tuple[str, str], str]:
    """Where each cell's line stands, by precision and metric."""
    return {key: f"cell-{place}" for place, key in enumerate(by_key(evidence))}


MAIN = ("change", "95 % CI", "margin", "p", "Holm p", "BH p", "TOST p", "noise floor")


def _line(cell: CellEvidence, anchor: str) -> Line:
    test = test_of(cell)
    margin, noise = NONE if cell.margin is None else short(cell.margin), NONE if cell.noise is None else short(cell.noise)
    numbers = (NONE, NONE) if test is None else (change_text(test.mean_difference), interval_text(test.ci_low, test.ci_high))
    corrected = (p_text(cell.corrected.holm), p_text(cell.corrected.bh)) if cell.corrected else (NONE, NONE)
    p, equal = NONE if test is None else p_text(test.p), NONE if cell.equivalence is None else p_text(cell.equivalence.p)
    label = metric_label(cell.metric) + (f": {metric_label(cell.member)}" if cell.member else "")
    facts = (*_facts_of_test(cell), *_facts_of_size(cell), *_facts_of_models(cell), *_words(cell))
    verdict = verdict_label(cell.verdict.name, shifted=cell.verdict.shifted)
    return Line(cell, anchor, label, (*numbers, margin, p, *corrected, equal, noise), facts, verdict)


def _facts_of_test(cell: CellEvidence) -> Iterator[Fact]:
    """The tests beside the t-test."""
    if found := cell.companions:
        unchanged = f", {found.unchanged} unchanged" if found.unchanged else ""
        yield "models", f"{found.n}: {found.up} up, {found.down} down{unchanged}"
        yield "d_z", NONE if found.d_z is None else short(found.d_z, digits=2)
        how = found.sign_flip_method if found.seed is None else f"{found.draws:,} draws, seed {found.seed}"
        yield "sign-flip p", f"{p_text(found.sign_flip_p)} (smallest reachable {p_text(found.smallest_sign_flip_p)}; {how})"
        yield "Wilcoxon p", p_text(found.wilcoxon_p)
    if cell.simultaneous:
        yield "interval for the whole family", interval_text(*cell.simultaneous)
    if cell.corrected:
        yield "family", f"{cell.corrected.family}, {cell.corrected.size} tests"


def _facts_of_size(cell: CellEvidence) -> Iterator[Fact]:
    """What the margin and the power say."""
    if equal := cell.equivalence:
        yield "equivalent from a margin of", short(equal.smallest_margin)
        if equal.non_inferior is not None:
            yield "non-inferior", "yes" if equal.non_inferior else "not shown"
    if power := cell.power:
        found = f"{short(power.smallest_detectable)} (corrected {short(power.smallest_detectable_corrected)})"
        yield f"smallest change found with {percent_text(power.power).replace('.0 ', ' ')}", found
        if power.models_needed is not None:
            yield "models needed for the margin", f"{power.models_needed:,}"


def _facts_of_models(cell: CellEvidence) -> Iterator[Fact]:
    """Whether the models changed alike, and what one source or size does."""
    if found := cell.heterogeneity:
        yield "I²", short(found.i_squared, digits=2)
        yield "Cochran's Q", f"{found.q:.1f}, p {p_text(found.p)}"
        yield "mean correlation of models' changes", short(found.mean_correlation, digits=2)
        yield "these models, over images", f"{change_text(found.pooled)} ({interval_text(found.low, found.high)})"
    for label, (low, high) in left_out_ranges(cell).items():
        yield f"without one {label}", f"{change_text(low)} to {change_text(high)}"


def _words(cell: CellEvidence) -> Iterator[Fact]:
    if cell.margin_why:
        yield "why this margin", cell.margin_why
    if cell.verdict.reason:
        yield "verdict because", cell.verdict.reason


COMPANIONS = (
    "up, down", "d_z", "sign-flip p (smallest)", "Wilcoxon p", "found with", "corrected", "models needed", "I²", "correlation",
    "without one source", "without one size",
)  # fmt: skip


def companion_texts(cell: CellEvidence) -> tuple[str, ...]:
    """A cell's companions in the order of COMPANIONS."""
    tests, power, models = cell.companions, cell.power, cell.heterogeneity
    flips = f"{p_text(tests.sign_flip_p)} ({p_text(tests.smallest_sign_flip_p)})" if tests else NONE
    ranges = left_out_ranges(cell)
    return (
        f"{tests.up}, {tests.down}" if tests else NONE,
        NONE if tests is None or tests.d_z is None else short(tests.d_z, digits=2),
        flips,
        p_text(tests.wilcoxon_p) if tests else NONE,
        short(power.smallest_detectable) if power else NONE,
        short(power.smallest_detectable_corrected) if power else NONE,
        NONE if power is None or power.models_needed is None else f"{power.models_needed:,}",
        short(models.i_squared, digits=2) if models else NONE,
        short(models.mean_correlation, digits=2) if models else NONE,
        *(interval_text(*ranges[label]) if label in ranges else NONE for label in ("source", "size")),
    )


@dataclass(frozen=True)
class Spread:
    """A number over the models of one precision: text, and what stands small below it."""

    text: str
    below: str


def churn_rows(evidence: Evidence, quantizers: Sequence[str]) -> list[tuple[str, list[Spread | None]]]:
    """(benchmark and group, per precision the mean share over models with its range)."""
    shares: dict[tuple[str, str, str], dict[str, list[float]]] = {}
    for row in evidence.churn:
        shares.setdefault((row.benchmark, row.attribute, row.group), {}).setdefault(row.quantizer, []).append(row.share)
    return [
        (f"{benchmark_label(benchmark)}, {group_text(attribute, group)}", [_shares(found.get(name)) for name in quantizers])
        for (benchmark, attribute, group), found in shares.items()
    ]


def _shares(values: Sequence[float] | None) -> Spread | None:
    return Spread(percent_text(fmean(values)), f"{percent_text(min(values))} to {percent_text(max(values))}") if values else None


def group_text(attribute: str, group: str) -> str:
    """A group for readers."""
    return f"{slice_label(attribute)}: {group}" if attribute else "all images"


def mcnemar_rows(evidence: Evidence, quantizers: Sequence[str]) -> list[tuple[str, str, list[McNemar | None]]]:
    """(metric, model, test per precision)."""
    found = {(row.metric, row.model, row.quantizer): row for row in evidence.mcnemar}
    keys = sorted({key[:2]: None for key in found}, key=lambda key: key[0])
    return [(metric, model, [found.get((metric, model, name)) for name in quantizers]) for metric, model in keys]


def swap_rows(evidence: Evidence, quantizers: Sequence[str]) -> list[tuple[str, list[Spread | None]]]:
    """(metric, per precision how many models have p < .05, and the smallest p)."""
    p_values: dict[str, dict[str, list[float]]] = {}
    for row in evidence.swaps:
        p_values.setdefault(row.metric, {}).setdefault(row.quantizer, []).append(row.p)
    return [(metric, [_smallest(found.get(name)) for name in quantizers]) for metric, found in p_values.items()]


def _smallest(values: Sequence[float] | None) -> Spread | None:
    if not values:
        return None
    return Spread(f"{sum(p < 0.05 for p in values)} of {len(values)}", f"smallest p {p_text(min(values))}")


def null_rows(evidence: Evidence) -> tuple[list[str], list[tuple[str, list[Spread | None]]]]:
    """The precisions, baselines among them, and (metric, per precision the mean excess over models and what it is made of)."""
    names = list(dict.fromkeys(row.quantizer for row in evidence.nulls))
    found: dict[str, dict[str, list[tuple[float, float, float, float]]]] = {}
    for row in evidence.nulls:
        numbers = (row.observed, row.expected, row.q95, row.excess)
        found.setdefault(row.metric, {}).setdefault(row.quantizer, []).append(numbers)
    return names, [(metric, [_excess(rows.get(name)) for name in names]) for metric, rows in found.items()]


def _excess(rows: Sequence[tuple[float, float, float, float]] | None) -> Spread | None:
    if not rows:
        return None
    observed, expected, q95, excess = (fmean(column) for column in zip(*rows, strict=True))
    # The quantile lies on the side on which the statistic is extreme: below what is expected for a Min, above for a Max.
    beyond = sum((seen - limit) * (limit - usual) > 0 for seen, usual, limit, _ in rows)
    where = f"{short(observed)}, expected {short(expected)}\n{beyond} of {len(rows)} beyond {short(q95)}"
    return Spread(change_text(excess), where)


@dataclass(frozen=True)
class Choice:
    """One open choice of the protocol: how many cells it was tried on, and the verdicts that it changes."""

    choice: str
    value: str
    cells: int
    flips: tuple[Sensitivity, ...]


def choices(evidence: Evidence) -> list[Choice]:
    """The choices that were swept, in their order."""
    found: dict[tuple[str, str], list[Sensitivity]] = {}
    for row in evidence.sensitivity:
        found.setdefault((row.choice, row.value), []).append(row)
    return [Choice(*key, len(rows), tuple(row for row in rows if row.changed)) for key, rows in found.items()]


def noise_rows(evidence: Evidence) -> list[tuple[str, list[float | None]]]:
    """(metric, largest change in each arm), primary endpoints first."""
    first = [row.metric for row in evidence.plan.endpoints]
    names = dict.fromkeys([*first, *(name for arm in evidence.noise for name in arm.change_by_metric)])
    rows = [(name, [arm.change_by_metric.get(name) for arm in evidence.noise]) for name in names]
    return [(name, values) for name, values in rows if any(value is not None for value in values)]
