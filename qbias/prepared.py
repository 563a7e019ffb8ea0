"""Outcomes prepared for measuring: what several metrics share is computed once, when first asked for.

Shapes: N images or positives, P prompts, K top ranks.
"""

from collections.abc import Mapping
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qbias.metrics import RecallGaps, Skews, intersection, members, recall_gaps, skews, top_images, values
from qbias.outcomes import Positives, positives
from qbias.records import Outcomes, Pair


class Prepared:
    """One benchmark's outcomes with what its metrics share. Each property serves the kinds that need it."""

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

    @cached_property
    def ks(self) -> list[int]:
        """The ranks measured (classification, retrieval)."""
        return list(self.facts["ks"])

    @cached_property
    def classes(self) -> list[str]:
        """The classes (classification)."""
        return list(self.facts["classes"])

    @cached_property
    def pairs(self) -> list[Pair]:
        """The pairs of groups (classification)."""
        return [Pair(**pair) for pair in self.facts["pairs"]]

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

    @cached_property
    def gaps(self) -> dict[tuple[str, int], RecallGaps]:
        """Recall gaps by pair name and k (classification)."""
        found, floor, count = self.positives, int(self.facts["min_per_group"]), len(self.classes)
        return {
            (pair.name, k): recall_gaps(
                found.label_N, found.hit_N[k], *self._memberships[pair.name], classes=count, min_per_group=floor
            )
            for pair in self.pairs
            for k in self.ks
        }  # fmt: skip

    @cached_property
    def group_columns(self) -> dict[tuple[str, ...], NDArray[np.object_]]:
        """Each attribute, then each two of them together, with its group of every image (classification).

        The attributes are those of the pairs, and `facts["groups"]` where a dataset has more.
        """
        names = dict.fromkeys([*(pair.column for pair in self.pairs), *self.facts.get("groups", ())])
        single = {name: self.column(name) for name in names}
        both = {(one, two): intersection(single[one], single[two]) for one, two in combinations(single, 2)}
        return {(name,): column for name, column in single.items()} | {pair: np.array(cells, dtype=object) for pair, cells in both.items()}

    @cached_property
    def group_sizes(self) -> dict[tuple[str, ...], dict[str, int]]:
        """How many images are in each group that occurs, by the keys of `group_columns` (classification)."""
        columns = self.group_columns.items()
        return {key: {group: int(members(group_N, group).sum()) for group in values(group_N)} for key, group_N in columns}

    def compared_groups(self, attributes: tuple[str, ...], k: int) -> tuple[str, ...]:
        """The groups whose accuracies at k can be compared: those of `min_per_group` images, if two are; none where all are hits."""
        floor = int(self.facts["min_per_group"])
        large = tuple(group for group, size in self.group_sizes[attributes].items() if size >= floor)
        return large if len(large) > 1 and k < len(self.classes) else ()

    @cached_property
    def attributes(self) -> dict[str, list[str]]:
        """Values by attribute (skew)."""
        return dict(self.facts["attributes"])

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
