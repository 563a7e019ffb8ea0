"""Outcomes counted part by part: all that the metrics need, in memory that does not grow with the number of images.

Tallies of parts made anywhere merge in any order; what `measured` gives from them is what `measure` gives from the whole, bit for bit.
Shapes: N images of a part, P prompts, C classes.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from qbias.measurable import Attributes, Measurable
from qbias.metrics import HitCounts, RecallGaps, RunningSkews, Skews, gaps_between
from qbias.prepared import Prepared
from qbias.records import Kind, Outcomes

Key = tuple[Any, ...]
Ints = NDArray[np.int64]


class Tally(Measurable):
    """Counts and running top lists of the parts seen so far.

    Parameters
    ----------
    benchmark, kind, facts : as in Outcomes. prompts : P (skew).
    """

    def __init__(self, benchmark: str, kind: Kind, facts: Mapping[str, Any], *, prompts: int = 0) -> None:
        """Start with nothing."""
        self.kind, self.prompts = kind, prompts
        self._benchmark, self._facts = benchmark, facts
        # Whatever is counted, under a name of its own: merging is adding up.
        self._counts: dict[Key, Ints] = {}
        self.searches: dict[str, RunningSkews] = {}
        if kind == "skew":
            self.searches = {name: RunningSkews(prompts, k=int(facts["k"]), desired=facts["desired"]) for name in self.attributes}

    @property
    def benchmark(self) -> str:
        """First part of every metric name."""
        return self._benchmark

    @property
    def facts(self) -> Mapping[str, Any]:
        """The dataset's facts."""
        return self._facts

    def add(self, frame: str, rows: pd.DataFrame, *, first: int) -> None:
        """See some rows of one frame of the outcomes.

        Parameters
        ----------
        frame : its name. rows : the part. first : its first row's number in the whole frame (ties go to the lower one).
        """
        if self.kind == "skew":
            if frame == "images":
                self.add_scores(rows, rows[[f"score_{prompt}" for prompt in range(self.prompts)]].to_numpy(dtype=np.float32), first=first)
            return
        self._count(("rows", frame), len(rows))
        part = Prepared(Outcomes(self.benchmark, self.kind, self.facts, {frame: rows}, "", "", {}, ""))
        if self.kind == "classification":
            self._add_images(part)
        else:
            for k in self.ks:
                self._count(("answered", frame, k), part.answered(frame, k))

    def add_scores(self, images: pd.DataFrame, score_NP: NDArray[np.float32], *, first: int) -> None:
        """See some images of a search: their group columns and their score with every prompt.

        Parameters
        ----------
        images : with the attributes' columns. score_NP : (N, P) scores. first : the first one's row number in the whole data.
        """
        self._count(("rows", "images"), len(images))
        row_N = np.arange(first, first + len(images))
        for name, search in self.searches.items():
            group_N = images[name].to_numpy(dtype=object)
            annotated = group_N != ""
            if annotated.all():
                search.add(row_N, group_N, score_NP)
            else:
                search.add(row_N[annotated], group_N[annotated], score_NP[annotated])

    def merge(self, other: "Tally") -> None:
        """See all that `other` saw.

        Raises
        ------
        ValueError
            If the other is of another benchmark, other facts or another number of prompts.
        """
        mine, theirs = ((tally.benchmark, tally.kind, tally.facts, tally.prompts) for tally in (self, other))
        if mine != theirs:
            raise ValueError(f"tallies of {self.benchmark} and {other.benchmark} with other facts or prompts cannot be merged")
        for key, count in other._counts.items():
            self._count(key, count)
        for name, search in self.searches.items():
            search.merge(other.searches[name])

    def _count(self, key: Key, more: ArrayLike) -> None:
        self._counts[key] = self._counts.get(key, np.int64(0)) + np.asarray(more, dtype=np.int64)

    def _add_images(self, part: Prepared) -> None:
        for k in self.ks:
            self._count(("hits", k), part.hit_images(k))
        for pair in self.pairs:
            for k in self.ks:
                self._count(("pair", pair.name, k), [[side.count_C, side.hit_C] for side in part.pair_counts(pair.name, k)])
        for attributes, sizes in part.group_sizes.items():
            self._count(("annotated", attributes), part.annotated(attributes))
            groups = tuple(sizes)
            for k in self.ks:
                found = part.group_hits(attributes, k, groups)
                for group, row in zip(groups, np.column_stack([found.count_C, found.hit_C]), strict=True):
                    self._count(("group", attributes, k, group), row)

    def _counted(self, *key: Any) -> int:
        return int(self._counts.get(key, 0))

    def rows(self, frame: str) -> int:
        """How many rows of a frame were seen."""
        return self._counted("rows", frame)

    def hit_images(self, k: int) -> int:
        """How many images are hits at k (classification)."""
        return self._counted("hits", k)

    @property
    def gaps(self) -> dict[tuple[str, int], RecallGaps]:
        """Recall gaps by pair name and k (classification)."""
        floor, none = int(self.facts["min_per_group"]), np.zeros((2, 2, len(self.classes)), dtype=np.int64)
        sides = {(pair.name, k): self._counts.get(("pair", pair.name, k), none) for pair in self.pairs for k in self.ks}
        return {key: gaps_between(HitCounts(*first), HitCounts(*second), min_per_group=floor) for key, (first, second) in sides.items()}

    @property
    def group_sizes(self) -> dict[Attributes, dict[str, int]]:
        """How many images are in each group that occurs, sorted, by attribute and by each two of them together (classification)."""
        found: dict[Attributes, dict[str, int]] = {attributes: {} for attributes in self.attribute_sets}
        for name, *which in sorted(key for key in self._counts if key[0] == "group"):
            attributes, _, group = which
            found[attributes][group] = int(self._counts[name, *which][0])
        return found

    def annotated(self, attributes: Attributes) -> int:
        """How many images have these attributes (classification)."""
        return self._counted("annotated", attributes)

    def group_hits(self, attributes: Attributes, k: int, groups: tuple[str, ...]) -> HitCounts:
        """Images and hits at k of these groups (classification)."""
        none = np.zeros(2, dtype=np.int64)
        counts = [self._counts.get(("group", attributes, k, group), none) for group in groups]
        count_G2 = np.array(counts, dtype=np.int64).reshape(-1, 2)
        return HitCounts(count_G2[:, 0], count_G2[:, 1])

    def answered(self, frame: str, k: int) -> int:
        """How many queries of a frame have a right answer in the top k (retrieval)."""
        return self._counted("answered", frame, k)

    def value_sizes(self, attribute: str) -> dict[str, int]:
        """How many images have each value of an attribute that occurs (skew)."""
        return dict(self.searches[attribute].sizes)

    def skews(self, attribute: str) -> Skews:
        """Skews of an attribute's values, over the images that have the attribute (skew)."""
        return self.searches[attribute].skews()
