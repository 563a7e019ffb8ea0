"""The families of metrics: what each computes from outcomes, whole or tallied, and when it must not be computed at all.

A family yields one result per pair, attribute, value or k: Measured with the counts behind it, or Insufficient with the reason. The
arithmetic itself is in qbias/metrics.
"""

import re
from collections.abc import Callable, Iterator

import numpy as np

from qbias.measurable import Measurable
from qbias.metrics import RecallGaps, Skews, values, worst_group
from qbias.records import Insufficient, Measured

Result = Measured | Insufficient


def slug(value: str) -> str:
    """A group's name as part of a metric name: lower-case letters and digits, all else one hyphen.

    Examples
    --------
    >>> slug("Latino_Hispanic"), slug("more than 70")
    ('latino-hispanic', 'more-than-70')
    """
    return re.sub(r"[^0-9a-z]+", "-", value.lower()).strip("-") or "unnamed"


def accuracies(prepared: Measurable, pattern: str) -> Iterator[Result]:
    """Share of images that are hits, at each k."""
    images, classes = prepared.rows("images"), len(prepared.classes)
    for k in prepared.ks:
        name = pattern.format(benchmark=prepared.benchmark, k=k)
        if k >= classes:
            yield Insufficient(name, f"k={k} takes all {classes} classes, where every image is a hit", {"classes": classes, "k": k})
        elif not images:
            yield Insufficient(name, "there is no image", {"images": 0})
        else:
            found = prepared.hit_images(k)
            yield Measured(name, found / images, {"images": images, "hits": found})


def disparities(value: Callable[[Measurable, RecallGaps], float]) -> Callable[[Measurable, str], Iterator[Result]]:
    """The family of one number made of the recall gaps, for each pair and k."""

    def compute(prepared: Measurable, pattern: str) -> Iterator[Result]:
        floor, classes = int(prepared.facts["min_per_group"]), len(prepared.classes)
        for (pair, k), gaps in prepared.gaps.items():
            name = pattern.format(benchmark=prepared.benchmark, pair=name_part(pair), k=k)
            counts = _gap_counts(gaps)
            if k >= classes:
                yield Insufficient(name, f"k={k} takes all {classes} classes, where every recall is 1", {"classes": classes, "k": k})
            elif not counts["eligible_classes"]:
                yield Insufficient(name, f"no class has {floor} positives in both groups", {**counts, "min_per_group": floor})
            else:
                yield Measured(name, value(prepared, gaps), counts)

    return compute


def name_part(name: str) -> str:
    """A pair's or attribute's name as it stands in metric names: letters, digits and underscores of ASCII, all else one hyphen.

    Examples
    --------
    >>> name_part("gender_mf"), name_part("skin tone")
    ('gender_mf', 'skin-tone')
    """
    return re.sub(r"\W+", "-", name, flags=re.ASCII)


def _gap_counts(gaps: RecallGaps) -> dict[str, int]:
    return {
        "eligible_classes": int(gaps.eligible_C.sum()),
        "first": int(gaps.count_first_C[gaps.eligible_C].sum()),
        "second": int(gaps.count_second_C[gaps.eligible_C].sum()),
        "largest_smaller_group": int(np.minimum(gaps.count_first_C, gaps.count_second_C).max(initial=0)),
    }


def worst_groups(prepared: Measurable, pattern: str) -> Iterator[Result]:
    """Accuracy of the worst group of each attribute of the pairs, and of each two of them together, at each k."""
    floor, classes = int(prepared.facts["min_per_group"]), len(prepared.classes)
    for attributes, sizes in prepared.group_sizes.items():
        for k in prepared.ks:
            name = pattern.format(benchmark=prepared.benchmark, attribute="-and-".join(map(name_part, attributes)), k=k)
            groups = prepared.compared_groups(attributes, k)
            if k >= classes:
                yield Insufficient(name, f"k={k} takes all {classes} classes, where every image is a hit", {"classes": classes, "k": k})
            elif not groups:
                counts = {"groups": len(sizes), "images_of_largest": max(sizes.values(), default=0), "min_per_group": floor}
                yield Insufficient(name, f"fewer than two groups have {floor} images", counts)
            else:
                _, value, size = worst_group(prepared.group_hits(attributes, k, groups), groups=groups, min_per_group=floor)
                yield Measured(name, value, {"images": prepared.annotated(attributes), "worst_group": size, "groups": len(groups)})


def recalls(frame: str, candidates: str) -> Callable[[Measurable, str], Iterator[Result]]:
    """The family of retrieval recalls whose queries are the rows of `frame` and whose answers are `candidates`."""

    def compute(prepared: Measurable, pattern: str) -> Iterator[Result]:
        queries, items = prepared.rows(frame), prepared.rows(candidates)
        for k in prepared.ks:
            name = pattern.format(benchmark=prepared.benchmark, k=k)
            if k >= items:
                reason = f"k={k} takes all {items} {candidates}, where every query is answered"
                yield Insufficient(name, reason, {candidates: items, "k": k})
            elif not queries:
                yield Insufficient(name, "there is no query", {"queries": 0})
            else:
                yield Measured(name, prepared.answered(frame, k) / queries, {"queries": queries, candidates: items})

    return compute


def _too_few(prepared: Measurable, attribute: str) -> tuple[str, dict[str, int]] | None:
    """Why an attribute's skews say nothing, if so."""
    sizes, k = prepared.value_sizes(attribute), int(prepared.facts["k"])
    images, present = sum(sizes.values()), len(values(list(sizes)))
    if not images:
        return f"no image has {attribute}", {"images": 0}
    if k >= images:
        return f"k={k} takes all {images} images that have the attribute, where skew is 0 by construction", {"images": images, "k": k}
    if present < 2:
        return f"{present} value occurs; a share needs at least two", {"images": images, "values": present}
    return None


def skew_summaries(value: Callable[[Skews], float]) -> Callable[[Measurable, str], Iterator[Result]]:
    """The family of one number made of an attribute's skews."""

    def compute(prepared: Measurable, pattern: str) -> Iterator[Result]:
        for attribute in prepared.attributes:
            name = pattern.format(benchmark=prepared.benchmark, attribute=name_part(attribute), k=prepared.facts["k"])
            if short := _too_few(prepared, attribute):
                yield Insufficient(name, *short)
            else:
                found = prepared.skews(attribute)
                yield Measured(name, value(found), _skew_counts(prepared, found))

    return compute


def _skew_counts(prepared: Measurable, found: Skews) -> dict[str, int]:
    return {"prompts": len(found.skew_PG), "images": prepared.rows("images"), "values": len(found.groups), "floored": found.floored}


def value_skews(prepared: Measurable, pattern: str) -> Iterator[Result]:
    """Mean skew over the prompts of each value of each attribute."""
    for attribute, listed in prepared.attributes.items():
        short = _too_few(prepared, attribute)
        for value in listed:
            parts = {"attribute": name_part(attribute), "value": slug(value), "k": prepared.facts["k"]}
            name = pattern.format(benchmark=prepared.benchmark, **parts)
            images = prepared.value_sizes(attribute).get(value, 0)
            if short:
                yield Insufficient(name, *short)
            elif not images:
                yield Insufficient(name, f"no image has {attribute} {value!r}", {"images": 0})
            else:
                found = prepared.skews(attribute)
                column = found.groups.index(value)
                floored = int(np.count_nonzero(found.count_PG[:, column] == 0))
                counts = {"prompts": len(found.skew_PG), "images": images, "floored": floored}
                yield Measured(name, float(found.skew_PG[:, column].mean()), counts)
