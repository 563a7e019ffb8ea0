"""One pair on one skew benchmark: mean skew of every group with an interval, a band over groups, and swap tests of the extremes.

Lists are ranked once per version and attribute's images (`Rankings`); everything after that is counting.
Shapes: N images, P prompts, G groups, M models.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from qbias.families import name_part, slug
from qbias.pairwise import JointChanges, PairStatistics, unlike
from qbias.prepared import Prepared
from qbias.records import Insufficient, Outcomes, Pairing
from qbias.significance.joint import change_covariance
from qbias.significance.rank_swaps import swap_p_values
from qbias.significance.records import AnalysisPlan, Band, BandEntry, ImageChange, SwapTest
from qbias.significance.skew_resampling import Codes, Floats, Order, SkewResamples, best_first, image_influence, resampled_skews

MOST_DRAWS = 300
"""Draws for statistics over whole lists, where the plan asks for more: each costs a thousand times a draw of counts. So many are what
docs/calibration.md was made with."""
METHOD = "bootstrap of images (within groups) x prompts, normal interval"
ONE_PROMPT = "bootstrap of images within groups, normal interval"


@dataclass(frozen=True)
class Attribute:
    """An attribute of a search: its groups, sorted, each image's group by number, and the desired shares."""

    name: str
    groups: tuple[str, ...]
    code_N: Codes
    share_G: Floats


@dataclass(frozen=True)
class Search:
    """The ranked images of every prompt, among the images that have these attributes."""

    order_PN: Order
    k: int
    attributes: tuple[Attribute, ...]


def searches(outcomes: Outcomes) -> tuple[Search, ...]:
    """The ranked lists behind a skew benchmark's metrics, one Search for each set of annotated images.

    Attributes that `measure` gives no number for (no image has it, k takes all, one group, no prompt) are left out.

    Parameters
    ----------
    outcomes : of a skew benchmark.

    Returns
    -------
    Searches, possibly none.
    """
    prepared, k = Prepared(outcomes), int(outcomes.facts["k"])
    found: dict[bytes, list[Attribute]] = {}
    for name in prepared.attributes:
        group_N = prepared.column(name)
        annotated_N = group_N != ""
        groups, code_N, count_G = np.unique(group_N[annotated_N].astype(str), return_inverse=True, return_counts=True)
        if len(groups) > 1 and k < len(code_N) and prepared.score_NP.shape[1]:
            uniform = outcomes.facts["desired"] == "uniform"
            share_G = np.full(len(groups), 1 / len(groups)) if uniform else count_G / len(code_N)
            found.setdefault(annotated_N.tobytes(), []).append(Attribute(name, tuple(map(str, groups)), code_N, share_G))
    return tuple(
        Search(best_first(prepared.score_NP[np.frombuffer(annotated, dtype=bool)]), k, tuple(rows)) for annotated, rows in found.items()
    )


@dataclass
class Rankings:
    """Remembers the searches of outcomes that come again, such as a baseline's beside each of its candidates.

    Some 2 MB per version at 2,000 images and 240 prompts, 10 MB at 10,954: make a new one for each model.
    """

    _found: dict[int, tuple[Outcomes, tuple[Search, ...]]] = field(default_factory=dict)

    def of(self, outcomes: Outcomes) -> tuple[Search, ...]:
        """What `searches` gives."""
        # The outcomes are kept too, so that their id cannot pass to others.
        if id(outcomes) not in self._found:
            self._found[id(outcomes)] = outcomes, searches(outcomes)
        return self._found[id(outcomes)][1]


def skew_changes(
    pairing: Pairing, benchmark: str, plan: AnalysisPlan, *, rankings: Rankings | None = None, tests: bool = True
) -> PairStatistics:
    """All that one pair's outcomes on a skew benchmark say, under the names that `measure` logs.

    - changes: mean skew of every group, images drawn anew within the attribute's groups and prompts as clusters, the same on both sides;
    - bands: the same of all groups of an attribute at once; swaps: mean MinSkew and MaxSkew, on within-prompt ranks. NDKL has none.

    At most MOST_DRAWS draws; each record says how many.

    Parameters
    ----------
    pairing : baseline and candidate with the same images, checked by qbias/pairing.py. benchmark : a skew benchmark of both.
    plan : confidence, seed and number of draws. rankings : to spare ranking lists again that another pair has.
    tests : False leaves out the swap tests.

    Returns
    -------
    PairStatistics, empty where no attribute can be measured.
    """
    rankings, draws = rankings or Rankings(), min(plan.draws, MOST_DRAWS)
    changes: list[ImageChange] = []
    bands: list[Band] = []
    swaps: list[SwapTest] = []
    sides = [rankings.of(side.outcomes[benchmark]) for side in (pairing.baseline, pairing.candidate)]
    for before, after in zip(*sides, strict=True):
        one = _Pair(pairing, benchmark, before, after, draws, plan.seed, plan.confidence)
        swaps += _swaps(one) if tests else ()
        for attribute in before.attributes:
            found = resampled_skews(
                before.order_PN, after.order_PN, attribute.code_N, attribute.share_G, k=before.k, draws=draws, seed=plan.seed
            )  # fmt: skip
            changes += _changes(one, attribute, found)
            bands.append(_band(one, attribute, found))
    return PairStatistics(changes=tuple(changes), bands=tuple(bands), swaps=tuple(swaps))


@dataclass(frozen=True)
class _Pair:
    """Both sides' lists, with what every record of them says."""

    pairing: Pairing
    benchmark: str
    before: Search
    after: Search
    draws: int
    seed: int
    confidence: float

    @property
    def version(self) -> dict[str, str]:
        return {"model": self.pairing.candidate.model, "quantizer": self.pairing.candidate.quantizer}

    def metric(self, attribute: Attribute, statistic: str) -> str:
        return f"{self.benchmark}/{name_part(attribute.name)}/{statistic}_at_{self.before.k}"


def _changes(one: _Pair, attribute: Attribute, found: SkewResamples) -> Iterator[ImageChange]:
    listed = one.pairing.candidate.outcomes[one.benchmark].facts["attributes"][attribute.name]
    prompts, images = one.before.order_PN.shape
    low_G, high_G = found.interval(one.confidence)
    for place, group in enumerate(attribute.groups):
        if group in listed:
            yield ImageChange(
                **one.version,
                metric=one.metric(attribute, f"{slug(group)}/mean_skew"),
                baseline=float(found.baseline_G[place]),
                candidate=float(found.candidate_G[place]),
                difference=float(found.difference_G[place]),
                low=float(low_G[place]),
                high=float(high_G[place]),
                confidence=one.confidence,
                n=images * prompts,
                method=METHOD if prompts > 1 else ONE_PROMPT,
                draws=one.draws,
                seed=one.seed,
            )


def _band(one: _Pair, attribute: Attribute, found: SkewResamples) -> Band:
    critical = found.critical(one.confidence)
    half_G, size_G = critical * found.error_G, np.bincount(attribute.code_N)
    low_G, high_G = found.difference_G - half_G, found.difference_G + half_G
    numbers = (found.difference_G, low_G, high_G, size_G, np.zeros_like(size_G), found.baseline_G, found.candidate_G)
    entries = tuple(BandEntry(*row) for row in zip(attribute.groups, *(column.tolist() for column in numbers), strict=True))
    return Band(
        **one.version, benchmark=one.benchmark, slice_=attribute.name, k=one.before.k, subject="mean skew",
        entries=entries, confidence=one.confidence, critical=critical, draws=one.draws, seed=one.seed,
    )  # fmt: skip


def _swaps(one: _Pair) -> Iterator[SwapTest]:
    attributes = one.before.attributes
    codes, shares = [row.code_N for row in attributes], [row.share_G for row in attributes]
    found = swap_p_values(one.before.order_PN, one.after.order_PN, codes, shares, k=one.before.k, draws=one.draws, seed=one.seed)
    for attribute, (low, p_low, high, p_high) in zip(attributes, found, strict=True):
        for statistic, difference, p in (("min_skew", low, p_low), ("max_skew", high, p_high)):
            yield SwapTest(
                **one.version, metric=one.metric(attribute, statistic), difference=difference, p=p, draws=one.draws, seed=one.seed
            )  # fmt: skip


def joint_changes(pairings: Sequence[Pairing], metric: str, *, rankings: Rankings | None = None) -> JointChanges | Insufficient:
    """The change of one group's mean skew in each model, and the covariance of these changes over the shared images.

    To first order: the limit, for many images, of drawing them anew within the attribute's groups, the same ones for every model. The
    prompts are held fixed. A covariance of 0 means that the models' lists changed in different images.

    Parameters
    ----------
    pairings : those of one quantizer. metric : a logged name, such as `fairface/age/older/mean_skew_at_1000`.
    rankings : to spare ranking lists again.

    Returns
    -------
    JointChanges, or Insufficient where there is no pairing, the models were measured on different images, or no such mean skew has a value.
    """
    rankings, benchmark = rankings or Rankings(), metric.partition("/")[0]
    if short := unlike(pairings, benchmark, metric):
        return short
    models = tuple(pairing.candidate.model for pairing in pairings)
    if pairings[0].baseline.outcomes[benchmark].kind == "skew":
        sides = [[rankings.of(side.outcomes[benchmark]) for side in (row.baseline, row.candidate)] for row in pairings]
        for place, search in enumerate(sides[0][0]):
            for attribute in search.attributes:
                for code, group in enumerate(attribute.groups):
                    if metric == f"{benchmark}/{name_part(attribute.name)}/{slug(group)}/mean_skew_at_{search.k}":
                        orders = [[side[place].order_PN for side in row] for row in sides]
                        return JointChanges(models, *_joint(orders, attribute, code, search.k))
    return Insufficient(metric, "no mean skew of this name is measured", {"models": len(models)})


def _joint(orders: list[list[Order]], attribute: Attribute, code: int, k: int) -> tuple[Floats, Floats]:
    columns, changes = [], []
    for before, after in orders:
        (first_N, first), (second_N, second) = (image_influence(side, attribute.code_N, code, k=k) for side in (before, after))
        columns.append(second_N - first_N)
        changes.append(second - first)
    code_N = attribute.code_N
    _, covariance_MM = change_covariance(np.column_stack(columns), np.ones(len(code_N)), code_N)
    return np.array(changes), covariance_MM
