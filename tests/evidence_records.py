"""Evidence in memory: every part of it filled for a comparison, from a seed and without the statistics.

The verdicts follow from the t-tests and the margins, so that a study reads like a real one; companions, intervals and nulls are drawn.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.special import stdtr, stdtrit

from qbias.comparison import Cell, Comparison
from qbias.records import Insufficient
from qbias.significance import PairedTest, corrected
from qbias.significance.records import (
    AnalysisPlan,
    Band,
    BandEntry,
    CellEvidence,
    Companions,
    Endpoint,
    Equivalence,
    Evidence,
    ExtremeNull,
    GroupChurn,
    Heterogeneity,
    ImageChange,
    LeftOut,
    Margin,
    McNemar,
    NoiseArm,
    Power,
    Sensitivity,
    SwapTest,
    Verdict,
)

ENDPOINTS = (
    Endpoint("imagenet/accuracy_at_1", 0.01, "a loss of one point is what a user of the model notices"),
    *(Endpoint(f"facet/{pair}/macro_gap_at_1", 0.02, "a fifth of the gaps between groups") for pair in ("gender_mf", "skin_ld", "age_my")),
    Endpoint("fairface/race/ndkl", 0.02, "a third of what random retrieval gives"),
    Endpoint("facet/accuracy_at_1", 0.01, "never measured in this study"),
)
PLAN = AnalysisPlan(ENDPOINTS, (Margin("*disparity*", 0.05, "half a standard deviation"), Margin("*", 0.02, "the rest")))
CLASSES = tuple("gardener laborer craftsman nurse dancer reporter skateboarder lawman singer retailer guard climber".split())
GROUPS = {"gender": ("masc", "fem"), "skin": ("lighter", "darker"), "age": ("young", "middle", "older")}


def evidence_of(comparison: Comparison, *, seed: int = 0, names: Sequence[str] = CLASSES) -> Evidence:
    """Evidence with all parts for whatever `comparison` holds; `names` are the classes of the bands."""
    random = np.random.default_rng(seed)
    return Evidence(
        plan=PLAN,
        cells=tuple(_cells(comparison, random)),
        changes=tuple(_changes(comparison, random)),
        mcnemar=tuple(_mcnemar(comparison, random)),
        churn=tuple(_churn(comparison, random)),
        bands=tuple(_bands(comparison, random, names)),
        swaps=tuple(_swaps(comparison, random)),
        nulls=tuple(_nulls(comparison, random)),
        noise=_noise(comparison, random),
        sensitivity=tuple(_sensitivity(comparison, random)),
        notes=("The fp32 versions have no second evaluation, so the arm of other batches is empty.",) if comparison.pairings else (),
    )


def without_statistics() -> Evidence:
    """What there is where nothing was computed."""
    return Evidence(plan=PLAN)


def _cells(comparison: Comparison, random: np.random.Generator) -> list[CellEvidence]:
    endpoints = {row.metric: row for row in PLAN.endpoints}
    found = [_cell(cell, endpoints.get(cell.metric), comparison, random) for cell in comparison.cells]
    known = {cell.metric for cell in comparison.cells}
    for quantizer in comparison.quantizers:
        for metric in endpoints.keys() - known:
            reason = Insufficient(f"{quantizer} {metric}", "measured for no model", {"models": 0})
            missing = Cell(quantizer, metric, "other metrics", reason)
            found.append(_cell(missing, endpoints[metric], comparison, random))
    for role in ("primary", "secondary"):
        places = [place for place, row in enumerate(found) if row.role == role]
        p_values = {found[place].test.name: found[place].test.p for place in places if isinstance(found[place].test, PairedTest)}  # type: ignore[union-attr]
        corrections = corrected(p_values, family=role, size=len(places))
        for place in places:
            found[place] = replace(found[place], corrected=corrections.get(found[place].test.name))
    return found


def _cell(cell: Cell, endpoint: Endpoint | None, comparison: Comparison, random: np.random.Generator) -> CellEvidence:
    harm: Any = "lower" if "accuracy" in cell.metric or "recall" in cell.metric else "higher" if "max" in cell.metric else "none"
    margin = endpoint.margin if endpoint else (0.05 if "disparity" in cell.metric else 0.02)
    test = cell.result
    row = CellEvidence(
        cell.quantizer, cell.metric, "primary" if endpoint else "secondary", harm, test,
        Verdict("insufficient", shifted=False, reason=test.reason if isinstance(test, Insufficient) else ""),
        margin=margin, margin_why=endpoint.why if endpoint else "half a standard deviation",
    )  # fmt: skip
    if isinstance(test, Insufficient):
        return row
    equivalence = _equivalence(test, margin, harm)
    low, high = sorted(random.normal(test.mean_difference, 0.3 * test.spread, 2))
    return replace(
        row,
        verdict=_verdict(test, equivalence, harm),
        companions=_companions(test, random),
        equivalence=equivalence,
        power=Power(0.8, 1.2 * test.spread, 2.4 * test.spread, max(3, int(1000 * test.spread))),
        simultaneous=(test.ci_low - test.spread / 2, test.ci_high + test.spread / 2),
        heterogeneity=_heterogeneity(test, random),
        left_out=(
            LeftOut("source", "balanced", test.n - 3, low, low - test.spread, low + test.spread),
            LeftOut("source", "tilt-a", test.n - 2, high, None, None),
            LeftOut("size", "s8", test.n - 3, test.mean_difference, low, high),
        ),
        noise=float(abs(random.normal(0, 0.004))) if "coco" not in cell.metric else None,
    )


def _equivalence(test: PairedTest, margin: float, harm: str) -> Equivalence:
    error = max(test.spread / math.sqrt(test.n), 1e-12)
    half = float(stdtrit(test.df, 0.95)) * error
    p = float(stdtr(test.df, -(margin - abs(test.mean_difference)) / error))
    inside = p <= 0.05
    smallest = abs(test.mean_difference) + half
    return Equivalence(
        margin, 0.05, p, inside, test.mean_difference - half, test.mean_difference + half, smallest, None if harm == "none" else inside
    )


def _verdict(test: PairedTest, equivalence: Equivalence, harm: str) -> Verdict:
    excludes = test.p < 0.05
    if equivalence.equivalent:
        return Verdict("equivalent", excludes, f"the 90 % interval lies within the margin of {equivalence.margin:g}")
    if not excludes:
        return Verdict("inconclusive", shifted=False, reason=f"p = {test.p:.3f} and the interval reaches beyond the margin")
    hurts = harm == ("higher" if test.mean_difference > 0 else "lower")
    name: Any = "changed" if harm == "none" else "worse" if hurts else "better"
    return Verdict(name, shifted=False, reason=f"p = {test.p:.3f}")


def _companions(test: PairedTest, random: np.random.Generator) -> Companions:
    differences = list(test.differences.values())
    up, down = sum(value > 0 for value in differences), sum(value < 0 for value in differences)
    return Companions(
        test.name, test.n, test.mean_difference, test.mean_difference / test.spread if test.spread else None,
        sign_flip_p=min(1.0, test.p + 0.01), smallest_sign_flip_p=2.0 ** (1 - test.n), sign_flip_method="exact", draws=2**test.n, seed=None,
        wilcoxon_p=float(min(1.0, test.p * random.uniform(0.9, 1.3))), up=up, down=down, unchanged=test.n - up - down,
    )  # fmt: skip


def _heterogeneity(test: PairedTest, random: np.random.Generator) -> Heterogeneity:
    n, variance = test.n, max(test.spread, 1e-6) ** 2
    covariance = np.full((n, n), 0.3 * variance) + 0.7 * variance * np.eye(n)
    mean = test.mean_difference
    return Heterogeneity(
        tuple(test.differences), tuple(test.differences.values()), tuple(map(tuple, covariance.tolist())), float(random.uniform(0.1, 0.5)),
        7.5, n - 1, 0.38, float(random.uniform(0, 0.6)), mean, mean - 0.01, mean + 0.01,
    )  # fmt: skip


def _smooth(metric: str) -> bool:
    return any(word in metric for word in ("accuracy", "recall", "macro_gap"))


def _extreme(metric: str) -> bool:
    return any(word in metric for word in ("min_", "max_"))


def _changes(comparison: Comparison, random: np.random.Generator) -> list[ImageChange]:
    found = []
    for row in comparison.changes:
        if _smooth(row.metric) and row.difference is not None:
            assert row.baseline is not None
            assert row.candidate is not None
            half = abs(float(random.normal(0.01, 0.004)))
            numbers = (row.baseline, row.candidate, row.difference, row.difference - half, row.difference + half)
            found.append(ImageChange(row.model, row.quantizer, row.metric, *numbers, 0.95, 1000, "paired bootstrap over images", 2000, 1))
    return found


def _mcnemar(comparison: Comparison, random: np.random.Generator) -> list[McNemar]:
    found = []
    for row in comparison.changes:
        if "/accuracy_at_" in row.metric:
            gained, lost = (int(value) for value in random.integers(0, 30, 2))
            p = float(random.uniform(0, 1))
            found.append(McNemar(row.model, row.quantizer, row.metric, gained, lost, gained + lost, 1000, p))
    return found


def _churn(comparison: Comparison, random: np.random.Generator) -> list[GroupChurn]:
    found = []
    for row in comparison.churn:
        groups = [("", "")]
        if row.benchmark == "facet":
            groups += [(attribute, group) for attribute, names in GROUPS.items() for group in names]
        for attribute, group in groups:
            images = int(random.integers(80, 900))
            changed = int(random.integers(0, images // 5))
            share = changed / images
            low, high = max(0.0, share - 0.02), min(1.0, share + 0.025)
            found.append(GroupChurn(row.model, row.quantizer, row.benchmark, attribute, group, changed, images, share, low, high, 0.95))
    return found


def _bands(comparison: Comparison, random: np.random.Generator, names: Sequence[str]) -> list[Band]:
    found = []
    for row in comparison.pairings:
        model, quantizer = row.candidate.model, row.candidate.quantizer
        if "facet" in row.candidate.outcomes:
            for pair in ("gender_mf", "skin_ld", "age_my", "age_mo"):
                entries = _entries(random, names)
                found.append(Band(model, quantizer, "facet", pair, 1, "gap", entries, 0.95, 3.1, 2000, 1))
            for attribute, both in (("gender", ("masc", "fem")), ("gender-and-age", ("masc & young", "fem & middle", "fem & older"))):
                entries = _entries(random, both)
                found.append(Band(model, quantizer, "facet", attribute, 1, "accuracy", entries, 0.95, 2.3, 2000, 1))
        if "fairface" in row.candidate.outcomes:
            for attribute, groups in (("gender", ("Male", "Female")), ("race", ("Black", "East Asian", "Latino_Hispanic", "White"))):
                entries = _entries(random, groups)
                found.append(Band(model, quantizer, "fairface", attribute, 20, "mean skew", entries, 0.95, 2.6, 2000, 1))
    return found


def _entries(random: np.random.Generator, names: Sequence[str]) -> tuple[BandEntry, ...]:
    found = []
    for name in names:
        change, half = float(random.normal(0, 0.04)), float(random.uniform(0.03, 0.12))
        found.append(BandEntry(name, change, change - half, change + half, int(random.integers(8, 90)), int(random.integers(8, 90))))
    return tuple(found)


def _swaps(comparison: Comparison, random: np.random.Generator) -> list[SwapTest]:
    return [
        SwapTest(row.model, row.quantizer, row.metric, row.difference, float(random.uniform(0.0005, 1)), 2000, 1)
        for row in comparison.changes
        if _extreme(row.metric) and row.difference is not None
    ]


def _nulls(comparison: Comparison, random: np.random.Generator) -> list[ExtremeNull]:
    values = {(row.model, row.quantizer, row.metric): row.candidate for row in comparison.changes}
    values |= {(row.model, "fp32", row.metric): row.baseline for row in comparison.changes}
    found = []
    for (model, quantizer, metric), value in values.items():
        if _extreme(metric) and value is not None:
            side = -1 if "min_" in metric else 1
            expected = side * float(random.uniform(0.02, 0.2))
            q95 = expected + side * 0.06
            found.append(ExtremeNull(model, quantizer, metric, value, expected, q95, value - expected, 2000, 1))
    return found


def _noise(comparison: Comparison, random: np.random.Generator) -> tuple[NoiseArm, ...]:
    arms = ("fp32, other batches", "bf16 beside fp32", "torch-int8 at two batch sizes") if comparison.pairings else ()
    changes = [{metric: float(abs(random.normal(0, 0.003))) for metric in comparison.metrics} for _ in arms]
    return tuple(
        NoiseArm(arm, comparison.models, change, float(random.uniform(0, 0.02))) for arm, change in zip(arms, changes, strict=True)
    )


def _sensitivity(comparison: Comparison, random: np.random.Generator) -> list[Sensitivity]:
    choices = (("facet_sign", "absolute"), ("desired", "uniform"), ("min_per_group", "10"), ("margin", "x 2"), ("prompts", "oxai319"))
    found = []
    for cell in comparison.cells:
        if not _extreme(cell.metric) or isinstance(cell.result, Insufficient):
            continue
        for choice, value in choices:
            verdict: Any = "inconclusive" if random.random() < 0.9 else "changed"
            mean, p = cell.result.mean_difference, cell.result.p
            found.append(Sensitivity(choice, value, cell.quantizer, cell.metric, mean * 1.1, p, verdict, mean, "inconclusive"))
    return found
