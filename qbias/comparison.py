"""The comparison: pairs, one paired test over models per precision and metric, every change of every model, and churn.

`compare` takes finished evaluations and gives one frozen record; the report is made from that record alone.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from qbias.pairing import is_baseline, pair
from qbias.records import Evaluation, Insufficient, Outcomes, Pairing, Refusal
from qbias.significance import PairedTest, paired_t

Family = Literal["tables 1 and 2", "other metrics"]
TABLES: Family = "tables 1 and 2"
OTHER: Family = "other metrics"
FACET_PAIRS = ("gender_mf", "skin_ld", "age_my", "age_mo")
FACET_STATISTICS = ("min_disparity_at_1", "max_disparity_at_1", "min_disparity_at_5", "max_disparity_at_5")
FAIRFACE_ATTRIBUTES = ("gender", "race", "age")
FAIRFACE_STATISTICS = ("min_skew_at_{k}", "max_skew_at_{k}")


@dataclass(frozen=True)
class Cell:
    """One precision and metric: the test over models, or why there is none. `family` is what a correction counts it in."""

    quantizer: str
    metric: str
    family: Family
    result: PairedTest | Insufficient


@dataclass(frozen=True)
class Change:
    """One metric of one pair; None where a side did not measure it."""

    model: str
    quantizer: str
    metric: str
    baseline: float | None
    candidate: float | None

    @property
    def difference(self) -> float | None:
        """Candidate - baseline; None where a side is missing."""
        return None if self.baseline is None or self.candidate is None else self.candidate - self.baseline


@dataclass(frozen=True)
class Churn:
    """How many of a classification benchmark's images got another first prediction than from the baseline."""

    model: str
    quantizer: str
    benchmark: str
    changed: int
    images: int

    @property
    def share(self) -> float:
        """Changed / images, from 0 (every prediction stayed) to 1."""
        return self.changed / self.images


@dataclass(frozen=True)
class Comparison:
    """All that was compared, with everything the report says.

    Attributes
    ----------
    pairings, refusals : see qbias/pairing.py; a version that a newer one of the same model and precision replaces is refused.
    models, quantizers : of the pairings, in the order of the data (or as asked); declared precisions without a pair too.
    baselines : evaluations of baselines, those without a pair too, the last of each model.
    cells : per precision and metric, the tables' metrics first.
    changes : per pair and metric. churn : per pair and classification benchmark.
    """

    pairings: tuple[Pairing, ...]
    refusals: tuple[Refusal, ...]
    models: tuple[str, ...]
    quantizers: tuple[str, ...]
    baselines: tuple[Evaluation, ...]
    cells: tuple[Cell, ...]
    changes: tuple[Change, ...]
    churn: tuple[Churn, ...]

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of all metrics, the tables' first."""
        return tuple(dict.fromkeys(cell.metric for cell in self.cells))

    @property
    def benchmarks(self) -> tuple[str, ...]:
        """Names of the benchmarks in any pair."""
        return tuple(dict.fromkeys(name for pairing in self.pairings for name in pairing.candidate.outcomes))


def compare(evaluations: Sequence[Evaluation], *, order: Sequence[str] = (), declared: Sequence[str] = ()) -> Comparison:
    """Pair the evaluations, test every metric over models in every precision, and list each model's changes.

    A cell is Insufficient, with its counts, where fewer than three models have the metric, where one side of a pair lacks it (a
    model dropped for what it could not measure would bias the mean), or where models were measured on different data, prompts
    or protocol. Models that lack it on both sides do not count.

    Parameters
    ----------
    evaluations : finished evaluations, oldest first.
    order : names of precisions that come first, in this order; the others follow as they appear.
    declared : precisions whose cells are there even where no pair is, so that a family stays as it was declared.

    Returns
    -------
    Comparison; empty but for refusals and baselines when nothing can be paired.
    """
    paired, refused = pair(evaluations)
    pairings, replaced = _newest(paired)
    sides = [_Sides(row, _metrics(row.baseline), _metrics(row.candidate)) for row in pairings]
    compared = {*(row.candidate.quantizer for row in pairings), *(declared if pairings else ())}
    appearing = (*(row.quantizer for row in evaluations), *declared)
    quantizers = tuple(name for name in dict.fromkeys([*order, *appearing]) if name in compared)
    return Comparison(
        pairings=tuple(pairings),
        refusals=(*refused, *replaced),
        models=tuple(dict.fromkeys(row.candidate.model for row in pairings)),
        quantizers=quantizers,
        baselines=tuple({row.model: row for row in evaluations if is_baseline(row)}.values()),
        cells=tuple(_cells(sides, table_metrics(pairings), quantizers)),
        changes=tuple(_changes(sides)),
        churn=tuple(_churn(pairings)),
    )


def table_metrics(pairings: Sequence[Pairing]) -> list[str]:
    """Logged names behind Tables 1 and 2 for the benchmarks that were measured: FACET's 16 and FairFace's 6."""
    measured = {name: outcomes for row in pairings for name, outcomes in row.candidate.outcomes.items()}
    names: list[str] = []
    if "facet" in measured:
        names += [f"facet/{slice_}/{statistic}" for slice_ in FACET_PAIRS for statistic in FACET_STATISTICS]
    if "fairface" in measured:
        k = measured["fairface"].facts["k"]
        names += [f"fairface/{slice_}/{name.format(k=k)}" for slice_ in FAIRFACE_ATTRIBUTES for name in FAIRFACE_STATISTICS]
    return names


def _newest(pairings: Iterable[Pairing]) -> tuple[list[Pairing], list[Refusal]]:
    """One pair per model and precision, the highest version's: a model that stands twice in a test is not two models."""
    chosen: dict[tuple[str, str], Pairing] = {}
    replaced: list[Refusal] = []
    for row in pairings:
        key = (row.candidate.model, row.candidate.quantizer)
        older, newer = sorted([chosen.get(key, row), row], key=lambda side: _version(side.candidate.version))
        if key in chosen:
            versions = (f"version {newer.candidate.version} is used", f"version {older.candidate.version}")
            difference = ("replaced by a newer version of the same model and precision", *versions)
            replaced.append(Refusal(*key, older.candidate.version, (difference,)))
        chosen[key] = newer
    return list(chosen.values()), replaced


def _version(version: str) -> tuple[int, str]:
    """Registry versions are whole numbers; anything else sorts before them."""
    return (int(version), "") if version.isdecimal() else (-1, version)


@dataclass(frozen=True)
class _Sides:
    """A pairing with the metrics that count on either side."""

    pairing: Pairing
    before: Mapping[str, float]
    after: Mapping[str, float]

    @property
    def model(self) -> str:
        return self.pairing.candidate.model

    @property
    def quantizer(self) -> str:
        return self.pairing.candidate.quantizer


def _cells(sides: Sequence[_Sides], declared: Sequence[str], quantizers: Sequence[str]) -> Iterator[Cell]:
    others = dict.fromkeys(name for row in sides for name in (*row.before, *row.after))
    families: dict[str, Family] = {**dict.fromkeys(others, OTHER), **dict.fromkeys(declared, TABLES)}
    by_quantizer = {name: [row for row in sides if row.quantizer == name] for name in quantizers}
    for metric in dict.fromkeys([*declared, *others]):
        for quantizer, rows in by_quantizer.items():
            yield Cell(quantizer, metric, families[metric], _result(f"{quantizer} {metric}", metric, rows))


def _result(name: str, metric: str, sides: Sequence[_Sides]) -> PairedTest | Insufficient:
    """The test of one cell, or why there is none."""
    both = [row for row in sides if metric in row.before and metric in row.after]
    one_sided = [row.model for row in sides if (metric in row.before) != (metric in row.after)]
    counts = {"pairs": len(sides), "pairs with both values": len(both)}
    if one_sided:
        return Insufficient(name, f"measured on one side only for {', '.join(one_sided)}", counts)
    if not both:
        return Insufficient(name, "measured for no model; each evaluation's insufficient.json says why", counts)
    settings = {_setting(row.pairing.candidate.outcomes[metric.partition("/")[0]]) for row in both}
    if len(settings) > 1:
        reason = "the models were measured on different data, prompts or protocol, so their changes cannot be averaged"
        return Insufficient(name, reason, {**counts, "different settings": len(settings)})
    return paired_t({row.model: row.before[metric] for row in both}, {row.model: row.after[metric] for row in both}, name=name)


def _setting(outcomes: Outcomes) -> tuple[str, str, str]:
    return outcomes.dataset_digest, outcomes.prompts_sha256, outcomes.protocol_digest


def _metrics(evaluation: Evaluation) -> Mapping[str, float]:
    """The finite values that belong to a benchmark of this evaluation (a run may hold other metrics, such as its speed)."""
    return {
        name: value for name, value in evaluation.metrics.items() if name.partition("/")[0] in evaluation.outcomes and math.isfinite(value)
    }


def _changes(sides: Sequence[_Sides]) -> Iterator[Change]:
    for row in sides:
        for metric in dict.fromkeys([*row.before, *row.after]):
            yield Change(row.model, row.quantizer, metric, row.before.get(metric), row.after.get(metric))


def _churn(pairings: Sequence[Pairing]) -> Iterator[Churn]:
    for row in pairings:
        for name, outcomes in row.candidate.outcomes.items():
            if outcomes.kind == "classification":
                before, after = (side.outcomes[name].frames["images"]["top_1"].to_numpy() for side in (row.baseline, row.candidate))
                if len(before):
                    yield Churn(row.candidate.model, row.candidate.quantizer, name, int((before != after).sum()), len(before))


def unmeasured(comparison: Comparison) -> list[Cell]:
    """The cells without a test."""
    return [cell for cell in comparison.cells if isinstance(cell.result, Insufficient)]


def absent_pairs(comparison: Comparison) -> list[tuple[str, str]]:
    """(model, precision) combinations that have no pair although the model and the precision occur."""
    there = Counter((row.candidate.model, row.candidate.quantizer) for row in comparison.pairings)
    models = dict.fromkeys([*(row.model for row in comparison.baselines), *comparison.models])
    return [(model, quantizer) for model in models for quantizer in comparison.quantizers if not there[model, quantizer]]
