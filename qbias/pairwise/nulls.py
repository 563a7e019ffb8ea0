"""The extremes of one version beside what group labels shuffled over its images give: Min/Max disparity and Min/Max skew.

With no association at all a largest gap or skew is still above 0; `excess` is what is left over that. Shapes: B draws, C classes.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from qbias.families import name_part
from qbias.metrics import members
from qbias.pairwise.cells import extremes
from qbias.pairwise.skew import MOST_DRAWS, Rankings
from qbias.prepared import Prepared
from qbias.records import Evaluation, Outcomes
from qbias.significance.label_shuffles import shuffled_extreme_skews, shuffled_gaps
from qbias.significance.records import AnalysisPlan, ExtremeNull
from qbias.significance.skew_resampling import group_counts

Drawn = tuple[str, float, NDArray[np.float64]]
"""A metric's name, its observed value, and its value in every draw."""


def extreme_nulls(
    evaluation: Evaluation, plan: AnalysisPlan, *, rankings: Rankings | None = None, draws: int | None = None
) -> tuple[ExtremeNull, ...]:
    """Every extreme metric of one version beside its null, under the names that `measure` logs.

    Skew: labels shuffled over the images, one shuffle for all prompts. Disparity: over the positives of each class (an image with two
    labels counts as two). Metrics that `measure` gives no number for have no null either.

    Parameters
    ----------
    evaluation : of a baseline or a candidate. plan : seed, and draws. rankings : to spare ranking lists again.
    draws : instead of the plan's, of which at most MOST_DRAWS are made.

    Returns
    -------
    ExtremeNulls in the order of benchmarks and metrics.
    """
    rankings, draws = rankings or Rankings(), min(plan.draws, MOST_DRAWS) if draws is None else draws
    found: list[Drawn] = []
    for outcomes in evaluation.outcomes.values():
        if outcomes.kind == "skew":
            found += _skews(outcomes, rankings, draws, plan.seed)
        elif outcomes.kind == "classification":
            found += _disparities(Prepared(outcomes), draws, plan.seed)
    return tuple(_null(evaluation, *drawn, plan.seed) for drawn in found)


def _null(evaluation: Evaluation, metric: str, observed: float, drawn_B: NDArray[np.float64], seed: int) -> ExtremeNull:
    side = 0.05 if metric.split("/")[-1].startswith("min") else 0.95
    expected, q95 = float(drawn_B.mean()), float(np.quantile(drawn_B, side))
    return ExtremeNull(
        model=evaluation.model, quantizer=evaluation.quantizer, metric=metric, observed=observed, expected=expected, q95=q95,
        excess=observed - expected, draws=len(drawn_B), seed=seed,
    )  # fmt: skip


def _skews(outcomes: Outcomes, rankings: Rankings, draws: int, seed: int) -> Iterator[Drawn]:
    for search in rankings.of(outcomes):
        for attribute in search.attributes:
            share_G, name = attribute.share_G, f"{outcomes.benchmark}/{name_part(attribute.name)}"
            count_PG = group_counts(search.order_PN, attribute.code_N, k=search.k, groups=len(share_G))
            ratio_PG = np.maximum(count_PG, 1) / (search.k * share_G)
            low_B, high_B = shuffled_extreme_skews(search.order_PN, attribute.code_N, share_G, k=search.k, draws=draws, seed=seed)
            yield f"{name}/min_skew_at_{search.k}", float(np.log(ratio_PG.min(axis=1)).mean()), low_B
            yield f"{name}/max_skew_at_{search.k}", float(np.log(ratio_PG.max(axis=1)).mean()), high_B


def _disparities(prepared: Prepared, draws: int, seed: int) -> Iterator[Drawn]:
    classes, floor = len(prepared.classes), int(prepared.facts["min_per_group"])
    for pair in prepared.pairs:
        group_N = prepared.column(pair.column)[prepared.positives.row_N]
        first_N, second_N = members(group_N, pair.first), members(group_N, pair.second)
        for k in prepared.ks:
            gaps = prepared.gaps[pair.name, k]
            if k >= classes or not gaps.eligible_C.any():
                continue
            label_N, hit_N = prepared.positives.label_N, prepared.positives.hit_N[k]
            gap_BC = shuffled_gaps(label_N, hit_N, first_N, second_N, classes=classes, min_per_group=floor, draws=draws, seed=seed)
            observed, drawn = (extremes(rows, prepared.facts["sign"]) for rows in (gaps.gap_C[gaps.eligible_C][None], gap_BC))
            for statistic, drawn_B in drawn.items():
                yield f"{prepared.benchmark}/{name_part(pair.name)}/{statistic}_at_{k}", float(observed[statistic][0]), drawn_B
