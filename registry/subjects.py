"""What a rule can be about, with how it varies when nothing changed: from a policy's planning, or from a stored evaluation.

A policy's planning knows the benchmarks of the table alone. What it assumes about them beyond its own numbers: FACET's classes all have
`persons_per_group` persons in both groups of every pair; groups over all classes have the shares that FACET and FairFace publish, two
attributes together as if they were independent; skin tone is not published, so its groups are known only from an evaluation.

Recalls count images: captions of one image are taken to flip together, which makes the interval of image retrieval too wide rather than
too narrow.

Shapes: E classes, S strata.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
from numpy.typing import NDArray

from qbias.benchmarks import BENCHMARKS
from qbias.benchmarks.facet import CLASSES, FULL_PERSONS
from qbias.benchmarks.facet import pairs as facet_pairs
from qbias.benchmarks.facet_groups import AGE, GENDER, PUBLISHED_FLAGS
from qbias.benchmarks.fairface import AGE_BINS, AGES, GENDERS, RACES
from qbias.families import name_part
from qbias.measure import measure
from qbias.pairwise.cells import GapCells, gap_cells
from qbias.pairwise.classification import SMOOTHING
from qbias.pairwise.retrieval import DIRECTIONS
from qbias.prepared import Prepared
from qbias.protocol import Protocol
from qbias.records import Evaluation, Outcomes
from registry.drawn_searches import drawn_outcomes, one_list_error, skew_noises
from registry.planning import Noise, flip_noise
from registry.policy import Planning, RequiredBenchmark
from registry.rules import Each

KS = {"classification": (1, 5), "retrieval": (1, 5, 10)}
"""Ranks of the table's benchmarks."""
BANDS: dict[str, tuple[str, Each]] = {
    "macro_gap": ("gap", "class"),
    "worst_group_accuracy": ("accuracy", "group"),
    "max_skew": ("mean_skew", "group"),
}
"""By a logged statistic, the band that exists exactly where it does."""
EMPTY = np.zeros(0, dtype=np.int64)
FACET_GROUPS = {
    name: {group: PUBLISHED_FLAGS[flag] / FULL_PERSONS for group, flag in flags.items() if group}
    for name, flags in (("gender", GENDER), ("age", AGE))
}
FAIRFACE_GROUPS = {
    "gender": GENDERS,
    "race": RACES,
    "age": {name: sum(AGES[age] for age in AGES if AGE_BINS[age] == name) for name in dict.fromkeys(AGE_BINS.values())},
}


@dataclass(frozen=True)
class Subject:
    """One number, or one band, that a rule can be about.

    Attributes
    ----------
    name : as the gate names it: a metric, or of a band `<benchmark>/<pair or attribute>/<statistic>_at_<k>`. each : what a band is over.
    noise : when nothing changed. size : of the smallest part, in `unit`.
    most_error : of a search, the largest standard error if every prompt gave the same list; None for all else.
    """

    name: str
    each: Each | None
    noise: Noise
    size: int
    unit: str
    most_error: float | None = None

    @property
    def parts(self) -> int:
        """Classes or groups of a band; 1 for a number."""
        return len(self.noise.variance_T)


def planned_subjects(planning: Planning, benchmarks: Sequence[RequiredBenchmark], *, skew: bool = True) -> Iterator[Subject]:
    """All that the planning knows the size of, benchmark by benchmark.

    Parameters
    ----------
    planning : of a policy. benchmarks : the policy's. skew : whether to draw searches too, which takes seconds.
    """
    for required in benchmarks:
        kind = BENCHMARKS[required.name].kind if required.name in BENCHMARKS else None
        images = min(planning.images.get(required.name, 0), _number(required, "limit") or 10**9)
        if not images or kind is None:
            continue
        if kind == "retrieval":
            yield from _recalls(required.name, {name: KS[kind] for name in DIRECTIONS}, images, planning.churn)
        elif kind == "classification":
            yield from _accuracies(required.name, KS[kind], images, planning.churn)
            if required.name == "facet":
                yield from _planned_facet(required, planning, images)
        elif skew and (k := _number(required, "skew_k") or Protocol.skew_k) < images:
            drawn = drawn_outcomes(required.name, FAIRFACE_GROUPS, images=images, prompts=planning.prompts, k=k)
            yield from _skews(drawn, planning.churn)


def stored_subjects(evaluation: Evaluation, churn: float, *, skew: bool = True) -> Iterator[Subject]:
    """All that an evaluation measured, with its own sizes (and, for searches, its own scores).

    Parameters
    ----------
    evaluation : of a candidate or a baseline; its sizes count, not its predictions. churn : above 0, below 1. skew : as above.
    """
    for name, outcomes in evaluation.outcomes.items():
        if outcomes.kind == "skew":
            yield from _skews(outcomes, churn) if skew else ()
        elif outcomes.kind == "retrieval":
            ks, found = outcomes.facts["ks"], {metric: len(outcomes.frames[items]) for metric, (_, items) in DIRECTIONS.items()}
            below = {metric: [k for k in ks if k < items] for metric, items in found.items()}
            yield from _recalls(name, below, len(outcomes.frames["images"]), churn)
        else:
            yield from _stored_classification(Prepared(outcomes), churn)


def unmeasured(evaluation: Evaluation) -> Iterator[tuple[str, Each | None, str]]:
    """What the evaluation has no number for: name and `each` as in Subject, and why. A rule about it blocks, whatever changed."""
    for outcomes in evaluation.outcomes.values():
        for row in measure(outcomes)[1]:
            yield row.name, None, row.reason
            head, _, last = row.name.rpartition("/")
            statistic, _, k = last.partition("_at_")
            if statistic in BANDS:
                band, each = BANDS[statistic]
                yield f"{head}/{band}_at_{k}", each, row.reason


def _number(required: RequiredBenchmark, field: str) -> int:
    """A whole number above 0 that the policy's protocol asks for; 0 where it does not."""
    value = required.protocol.get(field)
    return value if isinstance(value, int) and value > 0 else 0


def _planned_facet(required: RequiredBenchmark, planning: Planning, images: int) -> Iterator[Subject]:
    persons, classes = planning.persons_per_group, min(planning.classes, len(CLASSES))
    names = tuple(name.replace("_", " ") for name in CLASSES[:classes])
    cells = GapCells(names, EMPTY, EMPTY, EMPTY.astype(bool), EMPTY.astype(bool), np.array([[persons, persons, 0]] * classes))
    groups = _facet_groups(images, floor=_number(required, "min_per_group") or Protocol.min_per_group)
    for k in KS["classification"]:
        for pair in facet_pairs(Protocol()):
            yield from _gaps(required.name, pair.name, k, cells, planning.churn)
        for attributes, sizes in groups.items():
            yield from _groups(required.name, attributes, k, sizes, planning.churn)


def _facet_groups(images: int, floor: int) -> dict[tuple[str, ...], dict[str, int]]:
    """Images of the groups of each attribute, and of two together, that are large enough to be compared."""
    shares: dict[tuple[str, ...], dict[str, float]] = {(name,): groups for name, groups in FACET_GROUPS.items()}
    for one, two in combinations(FACET_GROUPS, 2):
        cells = product(FACET_GROUPS[one].items(), FACET_GROUPS[two].items())
        shares[one, two] = {f"{first} and {second}": share * other for (first, share), (second, other) in cells}
    sizes = {name: {group: round(share * images) for group, share in groups.items()} for name, groups in shares.items()}
    return {name: {group: size for group, size in groups.items() if size >= floor} for name, groups in sizes.items()}


def _stored_classification(prepared: Prepared, churn: float) -> Iterator[Subject]:
    images = len(prepared.outcomes.frames["images"])
    ks = [k for k in prepared.ks if k < len(prepared.classes)] if images else []
    yield from _accuracies(prepared.benchmark, ks, images, churn)
    for k in ks:
        for pair in prepared.pairs:
            cells = gap_cells(prepared, prepared, pair, k)
            if cells.classes:
                yield from _gaps(prepared.benchmark, pair.name, k, cells, churn)
        for attributes, sizes in prepared.group_sizes.items():
            compared = {group: sizes[group] for group in prepared.compared_groups(attributes, k)}
            yield from _groups(prepared.benchmark, attributes, k, compared, churn)


def _accuracies(benchmark: str, ks: Sequence[int], images: int, churn: float) -> Iterator[Subject]:
    noise = _shares([images], churn)
    for k in ks:
        yield Subject(f"{benchmark}/accuracy_at_{k}", None, noise, images, "images")


def _recalls(benchmark: str, ks: Mapping[str, Sequence[int]], images: int, churn: float) -> Iterator[Subject]:
    for name, ranks in ks.items():
        for k in ranks if images else ():
            yield Subject(f"{benchmark}/{name}_at_{k}", None, _shares([images], churn), images, "images with their captions")


def _shares(sizes: Sequence[int], churn: float) -> Noise:
    """Of shares of hits, each over images of its own."""
    return flip_noise(sizes, np.diag(1 / np.array(sizes)), churn=churn, smoothing=0.5)


def _gaps(benchmark: str, pair: str, k: int, cells: GapCells, churn: float) -> Iterator[Subject]:
    """The macro gap, each class by itself, and the band over classes."""
    where, size_S, weight_ES = f"{benchmark}/{name_part(pair)}", cells.size_E3.ravel(), cells.weight_ES
    size_E = _smaller(cells.size_E3)
    macro = flip_noise(size_S, weight_ES.mean(axis=0, keepdims=True), churn=churn, smoothing=cells.sharing)
    yield Subject(f"{where}/macro_gap_at_{k}", None, macro, int(size_E.min()), "persons in the smallest group of a class")
    band = flip_noise(size_S, weight_ES, churn=churn, smoothing=SMOOTHING)
    for place, name in enumerate(cells.classes):
        yield Subject(f"{where}/{name_part(name)}/gap_at_{k}", None, band.of(place), int(size_E[place]), "persons in its smaller group")
    yield Subject(f"{where}/gap_at_{k}", "class", band, int(size_E.min()), "persons in the smallest group of a class")


def _smaller(size_E3: NDArray[np.int64]) -> NDArray[np.int64]:
    """Persons in the smaller of both groups of each class; who is in both counts in both."""
    return np.asarray((size_E3[:, :2] + size_E3[:, 2:]).min(axis=1))


def _groups(benchmark: str, attributes: Sequence[str], k: int, sizes: Mapping[str, int], churn: float) -> Iterator[Subject]:
    """The band over the groups' accuracies, if there are two groups; an image in two of them counts in both, as if it were two."""
    if len(sizes) < 2:
        return
    name = f"{benchmark}/{'-and-'.join(map(name_part, attributes))}/accuracy_at_{k}"
    yield Subject(name, "group", _shares(list(sizes.values()), churn), min(sizes.values()), "images of the smallest group")


def _skews(outcomes: Outcomes, churn: float) -> Iterator[Subject]:
    """Each group's mean skew, and the band over an attribute's groups."""
    unit = "images in each list"
    for found in skew_noises(outcomes, churn=churn):
        where, k, images = f"{outcomes.benchmark}/{found.attribute}", found.k, sum(found.size_G)
        most_G = [one_list_error(size / images, k=k, churn=churn) for size in found.size_G]
        for place, group in enumerate(found.groups):
            yield Subject(f"{where}/{group}/mean_skew_at_{k}", None, found.noise.of(place), k, unit, most_G[place])
        yield Subject(f"{where}/mean_skew_at_{k}", "group", found.noise, k, unit, max(most_G))
