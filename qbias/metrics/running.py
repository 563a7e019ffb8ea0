"""The best images of each prompt, and their skew, while images come in chunks: memory depends on prompts and k, not on images.

Chunks may have any size and come in any order, and parts can be made in several places and merged: a top list is a function of the set of
(score, row) alone, since ties go to the lower row and no row is given twice.
Shapes: N images of a chunk, P prompts, K top ranks, T tags, C candidates, B places for them.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qbias.metrics.counts import Bools, Ints
from qbias.metrics.groups import Groups
from qbias.metrics.skew import Desired, Skews, skews_of_top

Keys = NDArray[np.uint64]
ROWS = 4096
"""Images looked at together, so that a large chunk needs no more memory than a small one."""
LAST, LOW = np.uint64(2**64 - 1), np.uint64(2**32 - 1)
SIGN = np.uint32(2**31)
MOST_ROWS = 2**32 - 1


class RunningTop:
    """The k best-scored images of each prompt among those seen so far.

    Parameters
    ----------
    prompts : P. k : how many are kept.
    tags : T whole numbers that each image carries along, say its groups.
    """

    def __init__(self, prompts: int, *, k: int, tags: int = 0) -> None:
        """Start with no image."""
        if k < 1:
            raise ValueError(f"k={k}: a top list has at least one place")
        self.prompts, self.k, self.tags, self.images = prompts, k, tags, 0
        # Score and row in one number, so that the order of numbers is the order of ranks; LAST stands for no image.
        self._key_PB = np.full((prompts, k + ROWS), LAST)
        self._tag_PBT = np.zeros((prompts, k + ROWS, tags), dtype=np.int32)
        self._filled_P = np.zeros(prompts, dtype=np.int64)
        # Whoever does not come before the last kept image can never be among the k best.
        self._cut_P, self._cut_key_P = np.full(prompts, -np.inf, dtype=np.float32), np.full(prompts, LAST)

    def add(self, row_N: ArrayLike, score_NP: ArrayLike, tag_NT: ArrayLike | None = None) -> None:
        """See a chunk of images.

        Parameters
        ----------
        row_N : (N,) row numbers in the whole data, 0 to 2^32 - 2; no row may be given twice.
        score_NP : (N, P) finite scores, taken as float32. tag_NT : (N, T) tags.

        Raises
        ------
        ValueError
            If a score is NaN or infinite, a row is out of range, or the shapes do not agree.
        """
        row, score = np.asarray(row_N, dtype=np.int64), np.asarray(score_NP, dtype=np.float32)
        tag = np.empty((len(row), 0), dtype=np.int32) if tag_NT is None else np.asarray(tag_NT, dtype=np.int32)
        if score.shape != (len(row), self.prompts) or tag.shape != (len(row), self.tags):
            expected = f"({len(row)}, {self.prompts}) and ({len(row)}, {self.tags})"
            raise ValueError(f"scores of shape {score.shape} and tags of shape {tag.shape} for {len(row)} rows, expected {expected}")
        if len(row) and not 0 <= row.min() <= row.max() < MOST_ROWS:
            raise ValueError(f"rows from {row.min()} to {row.max()}: row numbers are from 0 to {MOST_ROWS - 1}")
        for start in range(0, len(row), ROWS):
            part = slice(start, start + ROWS)
            self._add(row[part], score[part], tag[part])

    def merge(self, other: "RunningTop", *, renamed: ArrayLike | None = None) -> None:
        """See all that `other` saw, which stays as it is.

        Parameters
        ----------
        other : of the same P, k and T. renamed : what each of its tags is called here, where that differs.

        Raises
        ------
        ValueError
            If the other is of another number of prompts, another k or other tags.
        """
        mine, theirs = ((top.prompts, top.k, top.tags) for top in (self, other))
        if mine != theirs:
            raise ValueError(f"top lists of (prompts, k, tags) {mine} and {theirs} cannot be merged: they must be equal")
        key_PK, tag_PKT = other._best()
        names = np.arange(tag_PKT.max(initial=0) + 1) if renamed is None else np.asarray(renamed, dtype=np.int32)
        self.images += other.images
        for start in range(0, key_PK.shape[1], ROWS):
            part_PK = key_PK[:, start : start + ROWS]
            prompt = np.repeat(np.arange(self.prompts), part_PK.shape[1])
            self._keep(prompt, part_PK.ravel(), names[tag_PKT[:, start : start + ROWS].reshape(len(prompt), self.tags)])

    @property
    def row_PK(self) -> Ints:
        """(P, K) rows of the best images, best first; K is k, or the number of images where there are fewer."""
        return (self._best()[0] & LOW).astype(np.int64)

    @property
    def tag_PKT(self) -> NDArray[np.int32]:
        """(P, K, T) tags of the best images."""
        return self._best()[1]

    def _add(self, row_N: Ints, score_NP: NDArray[np.float32], tag_NT: NDArray[np.int32]) -> None:
        with np.errstate(invalid="ignore"):
            finite = np.isfinite(score_NP.sum(dtype=np.float64))
        if not finite:
            image = int(row_N[np.argmin(np.isfinite(score_NP).all(axis=1))])
            raise ValueError(f"image {image} has a score that is NaN or infinite: scores must be finite")
        self.images += len(row_N)
        place, prompt = _places(score_NP >= self._cut_P)
        key = _keys(score_NP[place, prompt], row_N[place])
        near = key < self._cut_key_P[prompt]
        self._keep(prompt[near], key[near], tag_NT[place[near]])

    def _keep(self, prompt_C: Ints, key_C: Keys, tag_CT: NDArray[np.int32]) -> None:
        """Write candidates, at most ROWS of a prompt, behind those that are there."""
        number_P = np.bincount(prompt_C, minlength=self.prompts)
        if (self._filled_P + number_P).max(initial=0) > self._key_PB.shape[1]:
            self._shorten()
        # Numbers of 16 bits are sorted by counting, several times as fast.
        order = np.argsort(prompt_C.astype(np.uint16 if self.prompts <= 2**16 else np.int64), kind="stable")
        behind_C = np.arange(len(order)) - np.repeat(np.cumsum(number_P) - number_P, number_P)
        prompt, place = prompt_C[order], np.repeat(self._filled_P, number_P) + behind_C
        self._key_PB[prompt, place], self._tag_PBT[prompt, place] = key_C[order], tag_CT[order]
        self._filled_P += number_P

    def _shorten(self) -> None:
        """Keep the k best of each prompt."""
        best_PK = np.argpartition(self._key_PB, self.k - 1, axis=1)[:, : self.k]
        self._tag_PBT[:, : self.k] = np.take_along_axis(self._tag_PBT, best_PK[:, :, None], axis=1)
        self._key_PB[:, : self.k] = np.take_along_axis(self._key_PB, best_PK, axis=1)
        self._key_PB[:, self.k :] = LAST
        self._filled_P = np.minimum(self._filled_P, self.k)
        self._cut_key_P = self._key_PB[:, : self.k].max(axis=1)
        self._cut_P = _scores(self._cut_key_P)

    def _best(self) -> tuple[Keys, NDArray[np.int32]]:
        """Keys and tags of the best images, best first."""
        self._shorten()
        order = np.argsort(self._key_PB[:, : self.k], axis=1)[:, : min(self.k, self.images)]
        tag_PKT = np.take_along_axis(self._tag_PBT, order[:, :, None], axis=1)
        return np.take_along_axis(self._key_PB, order, axis=1), tag_PKT


def _places(mask_NP: Bools) -> tuple[Ints, Ints]:
    """Rows and columns of what is true, which is little, read in the order in which it lies in memory."""
    if mask_NP.flags.c_contiguous:
        place, prompt = np.divmod(np.flatnonzero(mask_NP), mask_NP.shape[1])
    else:
        prompt, place = np.divmod(np.flatnonzero(mask_NP.T), mask_NP.shape[0])
    return place, prompt


def _keys(score: NDArray[np.float32], row: Ints) -> Keys:
    """Numbers in the order of ranks: higher scores first, and of equal ones (0 and -0 are equal) the lower row."""
    bits = (score + np.float32(0)).view(np.uint32)
    # Bits of floats are in the order of their values once the sign is turned, and those of negative ones altogether.
    falling = np.where(bits & SIGN, bits, ~bits & ~SIGN)
    return (falling.astype(np.uint64) << np.uint64(32)) | row.astype(np.uint64)


def _scores(key: Keys) -> NDArray[np.float32]:
    """The scores that the keys were made of; minus infinity for LAST."""
    falling = (key >> np.uint64(32)).astype(np.uint32)
    score = np.where(falling & SIGN, falling, ~falling & ~SIGN).view(np.float32)
    return np.where(key == LAST, np.float32(-np.inf), score)


class RunningSkews:
    """Skews of one attribute over the images seen so far: what `skews` gives for all of them at once, bit for bit.

    Parameters
    ----------
    prompts : P. k : size of the top list. desired : `dataset` or `uniform`.
    """

    def __init__(self, prompts: int, *, k: int, desired: Desired = "dataset") -> None:
        """Start with no image."""
        if desired not in ("dataset", "uniform"):
            raise ValueError(f"desired={desired!r} is not one of dataset, uniform")
        self.desired, self.sizes = desired, dict[str, int]()
        self._top = RunningTop(prompts, k=k, tags=1)

    @property
    def images(self) -> int:
        """How many images were seen."""
        return self._top.images

    def add(self, row_N: ArrayLike, group_N: Groups, score_NP: ArrayLike) -> None:
        """See a chunk of images.

        Parameters
        ----------
        row_N : (N,) row numbers in the whole data. group_N : (N,) group of each image. score_NP : (N, P) finite scores.

        Raises
        ------
        ValueError
            If an image has no group or a score is not finite.
        """
        cells = np.asarray(group_N, dtype=object).tolist()
        if "" in cells:
            image = int(np.asarray(row_N)[cells.index("")])
            raise ValueError(f"image {image} has no group: leave images without the attribute out")
        number = {name: place for place, name in enumerate(self.sizes | dict.fromkeys(cells, 0))}
        code_N = np.fromiter(map(number.__getitem__, cells), dtype=np.int32, count=len(cells))
        self._top.add(row_N, score_NP, code_N[:, None])
        self.sizes = {
            name: self.sizes.get(name, 0) + int(some) for name, some in zip(number, np.bincount(code_N, minlength=len(number)), strict=True)
        }

    def merge(self, other: "RunningSkews") -> None:
        """See all that `other` saw.

        Raises
        ------
        ValueError
            If the other was made with another number of prompts, k or desired shares.
        """
        if self.desired != other.desired:
            raise ValueError(f"skews desired as {self.desired} and as {other.desired} cannot be merged")
        names = list(self.sizes | other.sizes)
        self._top.merge(other._top, renamed=[names.index(name) for name in other.sizes])
        self.sizes = {name: self.sizes.get(name, 0) + other.sizes.get(name, 0) for name in names}

    def top_counts(self) -> dict[str, Ints]:
        """(P,) images in the top k (in all, where there are fewer) by group."""
        tag_PK = self._top.tag_PKT[:, :, 0]
        return {name: np.count_nonzero(tag_PK == number, axis=1) for number, name in enumerate(self.sizes)}

    def skews(self) -> Skews:
        """The skews of all images seen.

        Raises
        ------
        ValueError
            If fewer than k images were seen.
        """
        if self.images < self._top.k:
            raise ValueError(f"k={self._top.k} of {self.images} images: give at least k images, or a smaller k")
        groups = tuple(sorted(self.sizes))
        place_G = np.array([groups.index(name) for name in self.sizes], dtype=np.int16)
        size_G = np.array([self.sizes[name] for name in groups], dtype=np.int64)
        return skews_of_top(place_G[self._top.tag_PKT[:, :, 0]], size_G, groups=groups, desired=self.desired)
