"""Mean skew: images and prompts are drawn anew each time, from populations whose skews are known.

A score is the product of an image's and a prompt's vector; both versions see the same images with noise of their own.
Shapes: N images, P prompts, G groups, D width of the vectors, R replications.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.special import ndtr

from benches.calibration.claims import Claim, Random, Simulation, claim
from benches.calibration.intervals import BAND, coverage, holds
from benches.calibration.worlds import Floats
from qbias.significance.rank_swaps import swap_p_values
from qbias.significance.skew_resampling import Codes, Order, best_first, resampled_skews

DRAWS = 300
WIDTH, NOISE, SPREAD = 16, 0.3, 0.25
"""Width of the vectors; noise of a version beside an image's own spread of 1; spread of the groups' means."""
MANY = 4000
"""Prompts over which the true mean skew is averaged."""


@dataclass(frozen=True)
class Population:
    """Groups with their shares and mean vectors before and after."""

    size_G: tuple[int, ...]
    mean_2GD: tuple[Floats, Floats]

    @property
    def code_N(self) -> Codes:
        """Group of each image."""
        return np.repeat(np.arange(len(self.size_G)), self.size_G)

    @property
    def share_G(self) -> Floats:
        """Share of each group."""
        return np.array(self.size_G) / sum(self.size_G)

    def orders(self, random: Random, prompts: int) -> tuple[Order, Order]:
        """Images of each prompt, best first, before and after; new images and prompts."""
        code_N = self.code_N
        own_ND, prompt_DP = random.normal(size=(len(code_N), WIDTH)), random.normal(size=(WIDTH, prompts))
        first, second = (
            best_first((own_ND + NOISE * random.normal(size=own_ND.shape) + mean_GD[code_N]) @ prompt_DP) for mean_GD in self.mean_2GD
        )
        return first, second

    def truth(self, random: Random, top: float) -> Floats:
        """True change of each group's mean skew where a share `top` of all images is taken, over many prompts."""
        prompt_DP = random.normal(size=(WIDTH, MANY))
        before_G, after_G = (_mean_skew(mean_GD @ prompt_DP, prompt_DP, self.share_G, top) for mean_GD in self.mean_2GD)
        return np.asarray(after_G - before_G)


def _mean_skew(mean_GP: Floats, prompt_DP: Floats, share_G: Floats, top: float) -> Floats:
    """Mean over prompts of ln(share of the group among the best / its share of all); the cut is found by bisection."""
    spread_P = np.linalg.norm(prompt_DP, axis=0) * np.sqrt(1 + NOISE**2)
    low_P, high_P = mean_GP.min(axis=0) - 8 * spread_P, mean_GP.max(axis=0) + 8 * spread_P
    for _ in range(50):
        cut_P = (low_P + high_P) / 2
        above_GP = ndtr((mean_GP - cut_P) / spread_P)
        many_P = share_G @ above_GP > top
        low_P, high_P = np.where(many_P, cut_P, low_P), np.where(many_P, high_P, cut_P)
    return np.asarray(np.log(above_GP / top).mean(axis=1))


def population(random: Random, *, groups: int, images: int, shift: float) -> Population:
    """Groups of uneven size whose means move by `shift` times their spread between the versions."""
    share_G = random.dirichlet(np.full(groups, 8.0))
    size_G = np.maximum((share_G * images).astype(np.int64), images // 40)
    before_GD = SPREAD * random.normal(size=(groups, WIDTH))
    after_GD = before_GD + shift * SPREAD * random.normal(size=(groups, WIDTH))
    return Population(tuple(size_G.tolist()), (before_GD, after_GD))


def mean_skews(random: Random, replications: int, *, groups: int, images: int, prompts: int, shift: float) -> list[Claim]:
    """Each group's interval, and the band over groups."""
    world = population(random, groups=groups, images=images, shift=shift)
    code_N, share_G = world.code_N, world.share_G
    k = len(code_N) // 10
    truth_G = world.truth(random, k / len(code_N)) if shift else np.zeros(groups)
    each, together = [], []
    for _ in range(replications):
        before, after = world.orders(random, prompts)
        found = resampled_skews(before, after, code_N, share_G, k=k, draws=DRAWS, seed=int(random.integers(2**31)))
        each.append(holds(found.interval(0.95), truth_G))
        half_G = found.critical(0.95) * found.error_G
        together.append(bool(holds((found.difference_G - half_G, found.difference_G + half_G), truth_G).all()))
    moved = "groups moved" if shift else "nothing moved"
    where = f"{groups} groups, {len(code_N):,} images, {prompts} prompts, k = {k}, {moved}"
    return [
        coverage("interval of a group's mean skew's change", where, each, False),
        claim("band holds all groups' mean skews at once", where, together, least=BAND),
    ]


def extreme_skews(random: Random, replications: int, *, groups: int, images: int, prompts: int) -> list[Claim]:
    """Swap permutation of ranks for MinSkew and MaxSkew: both versions are the same images with noise of the same size."""
    world = population(random, groups=groups, images=images, shift=0.0)
    code_N, share_G = world.code_N, world.share_G
    k, p_R2 = len(code_N) // 10, []
    for _ in range(replications):
        before, after = world.orders(random, prompts)
        seed = int(random.integers(2**31))
        ((_, low, _, high),) = swap_p_values(before, after, [code_N], [share_G], k=k, draws=199, seed=seed)
        p_R2.append((low, high))
    where = f"{groups} groups, {len(code_N):,} images, {prompts} prompts, k = {k}"
    rejected = np.array(p_R2) <= 0.05
    return [
        claim(f"swap permutation rejects for {name}, nothing changed", where, rejected[:, place], most=0.05)
        for place, name in enumerate(("MinSkew", "MaxSkew"))
    ]


def simulations() -> Sequence[Simulation]:
    """All of this file."""
    section = "Mean skew and extreme skews"
    settings = ((2, 400, 24, 0.0), (7, 400, 24, 0.0), (9, 1000, 48, 0.0), (2, 1000, 48, 0.3), (7, 1000, 48, 0.3), (9, 400, 24, 0.3))
    return (
        *(
            Simulation(
                f"skew {row}", section, partial(mean_skews, groups=row[0], images=row[1], prompts=row[2], shift=row[3]), 1000
            )
            for row in settings
        ),
        *(
            Simulation(f"extreme skew {groups}", section, partial(extreme_skews, groups=groups, images=400, prompts=12), 1000)
            for groups in (2, 7)
        ),
    )  # fmt: skip
