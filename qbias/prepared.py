"""Outcomes prepared for measuring: what several metrics share is computed once, when first asked for.

Shapes: N images or positives, P prompts, K top ranks.
"""

from collections import Counter
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qbias.measurable import Attributes, Measurable
from qbias.metrics import (
    HitCounts,
    RecallGaps,
    Skews,
    gaps_between,
    group_counts,
    hit_counts,
    intersection,
    members,
    skews,
    top_images,
    values,
)
from qbias.outcomes import Positives, positives
from qbias.records import Outcomes


class Prepared(Measurable):
    """One benchmark's whole outcomes with what its metrics share. Each property serves the kinds that need it."""

    def __init__(self, outcomes: Outcomes) -> None:
        """Keep the outcomes; compute nothing yet."""
        self.outcomes = outcomes
        self._skews: dict[str, Skews] = {}

    @property
    def benchmark(self) -> str:
        """First part of every metric name."""
        return self.outcomes.benchmark

    @property
    def facts(self) -> Mapping[str, Any]:
        """The dataset's facts."""
        return self.outcomes.facts

    def rows(self, frame: str) -> int:
        """How many rows a frame has."""
        return len(self.outcomes.frames[frame])

    def hit_images(self, k: int) -> int:
        """How many images are hits at k (classification)."""
        return int(np.count_nonzero(self._hit(k)))

    def _hit(self, k: int) -> NDArray[np.bool_]:
        return self.outcomes.frames["images"][f"hit_at_{k}"].to_numpy(dtype=bool)

    @cached_property
    def positives(self) -> Positives:
        """The positives that recall is counted over (classification)."""
        return positives(self.outcomes)

    def column(self, name: str) -> NDArray[np.object_]:
        """A group column, one text per image."""
        return self.outcomes.frames["images"][name].to_numpy(dtype=object)

    @cached_property
    def _memberships(self) -> dict[str, tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
        row_N = self.positives.row_N
        columns = {pair.name: self.column(pair.column)[row_N] for pair in self.pairs}
        return {pair.name: (members(columns[pair.name], pair.first), members(columns[pair.name], pair.second)) for pair in self.pairs}

    def pair_counts(self, pair: str, k: int) -> tuple[HitCounts, HitCounts]:
        """Positives and hits at k by class, of a pair's first group and of its second (classification)."""
        found = self.positives
        first, second = (
            hit_counts(found.label_N[side], found.hit_N[k][side], classes=len(self.classes)) for side in self._memberships[pair]
        )
        return first, second

    @cached_property
    def gaps(self) -> dict[tuple[str, int], RecallGaps]:
        """Recall gaps by pair name and k (classification)."""
        floor = int(self.facts["min_per_group"])
        return {(pair.name, k): gaps_between(*self.pair_counts(pair.name, k), min_per_group=floor) for pair in self.pairs for k in self.ks}

    @cached_property
    def group_columns(self) -> dict[Attributes, NDArray[np.object_]]:
        """The group of every image, by `attribute_sets` (classification)."""
        sets = self.attribute_sets
        single = {name: self.column(name) for (name, *others) in sets if not others}
        both = {pair: np.array(intersection(*map(single.__getitem__, pair)), dtype=object) for pair in sets if len(pair) > 1}
        return {(name,): column for name, column in single.items()} | both

    @cached_property
    def group_sizes(self) -> dict[Attributes, dict[str, int]]:
        """How many images are in each group that occurs, by the keys of `group_columns` (classification)."""
        columns = self.group_columns.items()
        return {key: {group: int(members(group_N, group).sum()) for group in values(group_N)} for key, group_N in columns}

    def annotated(self, attributes: Attributes) -> int:
        """How many images have these attributes (classification)."""
        return int(np.count_nonzero(self.group_columns[attributes] != ""))

    def group_hits(self, attributes: Attributes, k: int, groups: tuple[str, ...]) -> HitCounts:
        """Images and hits at k of these groups (classification)."""
        return group_counts(self._hit(k), self.group_columns[attributes], groups=groups)

    def answered(self, frame: str, k: int) -> int:
        """How many queries of a frame have a right answer in the top k (retrieval)."""
        return int(np.count_nonzero(self.outcomes.frames[frame]["rank"].to_numpy() < k))

    def value_sizes(self, attribute: str) -> dict[str, int]:
        """How many images have each value of an attribute that occurs (skew)."""
        return dict(Counter(cell for cell in self.column(attribute).tolist() if cell))

    @cached_property
    def score_NP(self) -> NDArray[np.float32]:
        """The score of every image with every prompt (skew)."""
        frame = self.outcomes.frames["images"]
        prompts = self.outcomes.frames["prompts"]["prompt"].nunique()
        return frame[[f"score_{prompt}" for prompt in range(prompts)]].to_numpy(dtype=np.float32)

    @cached_property
    def _top_PK(self) -> NDArray[np.int64]:
        return top_images(self.score_NP, k=int(self.facts["k"]))

    def skews(self, attribute: str) -> Skews:
        """Skews of an attribute's values, over the images that have the attribute (skew)."""
        if attribute not in self._skews:
            group_N, k, desired = self.column(attribute), int(self.facts["k"]), self.facts["desired"]
            annotated = group_N != ""
            if annotated.all():
                self._skews[attribute] = skews(group_N, self.score_NP, k=k, desired=desired, top_PK=self._top_PK)
            else:
                self._skews[attribute] = skews(group_N[annotated], self.score_NP[annotated], k=k, desired=desired)
        return self._skews[attribute]
