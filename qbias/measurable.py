"""What the families of metrics ask of outcomes: facts and counts. Prepared answers from whole frames, Tally from sums over parts."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property
from itertools import combinations
from typing import Any

from qbias.metrics import HitCounts, RecallGaps, Skews
from qbias.records import Pair

Attributes = tuple[str, ...]
"""One attribute, or two that are looked at together."""


class Measurable(ABC):
    """One benchmark's outcomes as its metrics see them. Each property serves the kinds that need it."""

    @property
    @abstractmethod
    def benchmark(self) -> str:
        """First part of every metric name."""

    @property
    @abstractmethod
    def facts(self) -> Mapping[str, Any]:
        """The dataset's facts."""

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
    def attributes(self) -> dict[str, list[str]]:
        """Values by attribute (skew)."""
        return dict(self.facts["attributes"])

    @abstractmethod
    def rows(self, frame: str) -> int:
        """How many rows a frame of the outcomes has."""

    @abstractmethod
    def hit_images(self, k: int) -> int:
        """How many images are hits at k (classification)."""

    @property
    @abstractmethod
    def gaps(self) -> dict[tuple[str, int], RecallGaps]:
        """Recall gaps by pair name and k (classification)."""

    @cached_property
    def attribute_sets(self) -> list[Attributes]:
        """Each attribute, then each two of them together: those of the pairs, and `facts["groups"]` where a dataset has more."""
        names = dict.fromkeys([*(pair.column for pair in self.pairs), *self.facts.get("groups", ())])
        return [*((name,) for name in names), *combinations(names, 2)]

    @property
    @abstractmethod
    def group_sizes(self) -> dict[Attributes, dict[str, int]]:
        """How many images are in each group that occurs, sorted, by attribute and by each two of them together (classification)."""

    @abstractmethod
    def annotated(self, attributes: Attributes) -> int:
        """How many images have these attributes (classification)."""

    @abstractmethod
    def group_hits(self, attributes: Attributes, k: int, groups: tuple[str, ...]) -> HitCounts:
        """Images and hits at k of these groups (classification)."""

    def compared_groups(self, attributes: Attributes, k: int) -> tuple[str, ...]:
        """The groups whose accuracies at k can be compared: those of `min_per_group` images, if two are; none where all are hits."""
        floor = int(self.facts["min_per_group"])
        large = tuple(group for group, size in self.group_sizes[attributes].items() if size >= floor)
        return large if len(large) > 1 and k < len(self.classes) else ()

    @abstractmethod
    def answered(self, frame: str, k: int) -> int:
        """How many queries of a frame have a right answer in the top k (retrieval)."""

    @abstractmethod
    def value_sizes(self, attribute: str) -> dict[str, int]:
        """How many images have each value of an attribute that occurs (skew)."""

    @abstractmethod
    def skews(self, attribute: str) -> Skews:
        """Skews of an attribute's values, over the images that have the attribute (skew)."""
