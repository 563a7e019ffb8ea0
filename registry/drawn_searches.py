"""Mean skew when nothing changed: no formula, so one pair of score matrices is drawn and put through the gate's own statistics.

How the pair is made:

- scores: those of a stored evaluation, where there is one. Else drawn: every image has a random vector, every prompt another, and a score
  is their product; the prompts share one direction, so that two prompts' scores correlate by CORRELATION. Groups are dealt out at random;
- both versions see these scores with noise of their own. An image's noise is `amount` times the scores of another image, drawn at random:
  it moves images in the directions in which images differ, and all prompts together, as noise of an embedding does;
- `amount` is found by bisection so that, on average over prompts, a share `churn` of the top k differs between the two.

`resampled_skews` then gives errors, correlations and the critical value of the band, as it does for a real pair. What it cannot know is
how alike real prompts are: the more alike, the wider the interval. If all gave one list, the error of a group with share q would be
``sqrt(2 churn (1 - q) / (k q))`` (`one_list_error`).

Shapes: N images, P prompts, G groups.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qbias.families import name_part, slug
from qbias.pairwise.skew import MOST_DRAWS, searches
from qbias.prepared import Prepared
from qbias.records import Outcomes
from qbias.significance.skew_resampling import SkewResamples, best_first, resampled_skews
from registry.planning import Noise

Scores = NDArray[np.float32]

CORRELATION = 0.8
"""Of two drawn prompts' scores."""
WIDTH = 16
SEED = 20240611
SOUGHT_PROMPTS = 12
"""Prompts on which the amount of noise is sought."""
STEPS = 12


@dataclass(frozen=True)
class SkewNoise:
    """Noise of the mean skews of one attribute's groups. `groups` : as in metric names; `size_G` : their images."""

    attribute: str
    groups: tuple[str, ...]
    k: int
    size_G: tuple[int, ...]
    noise: Noise


def skew_noises(outcomes: Outcomes, *, churn: float) -> Iterator[SkewNoise]:
    """Noise of every attribute's mean skews, from one drawn pair of these outcomes.

    Parameters
    ----------
    outcomes : of a skew benchmark: stored ones, or `drawn_outcomes`. churn : share of the top k that differs between both versions.

    Yields
    ------
    SkewNoise; none for an attribute that cannot be measured.
    """
    pair = noisy_pair(outcomes, churn=churn)
    for before, after in zip(*(searches(side) for side in pair), strict=True):
        for attribute in before.attributes:
            found = resampled_skews(
                before.order_PN, after.order_PN, attribute.code_N, attribute.share_G, k=before.k, draws=MOST_DRAWS, seed=SEED
            )  # fmt: skip
            sizes = tuple(np.bincount(attribute.code_N).tolist())
            names = tuple(map(slug, attribute.groups))
            yield SkewNoise(name_part(attribute.name), names, before.k, sizes, _noise(found))


def _noise(found: SkewResamples) -> Noise:
    """What a pair's resamples say about the noise; `spread_T` is that of a variance of so many draws."""
    variance_T = found.error_G**2
    scaled = found.deviation_GB / np.where(found.error_G > 0, found.error_G, 1)[:, None]
    correlation = scaled @ scaled.T / scaled.shape[1]
    return Noise(variance_T, 2 * variance_T**2 / MOST_DRAWS, np.zeros_like(variance_T), correlation)


def one_list_error(share: float, *, k: int, churn: float) -> float:
    """Standard error of a group's skew if every prompt gave the same list: the most that alike prompts can do.

    Examples
    --------
    >>> round(one_list_error(0.5, k=1000, churn=0.05), 3)
    0.01
    """
    return float(np.sqrt(2 * churn * (1 - share) / (k * share)))


def drawn_outcomes(
    benchmark: str,
    sizes: Mapping[str, Mapping[str, int]],
    *,
    images: int,
    prompts: int,
    k: int,
    correlation: float = CORRELATION,
    seed: int = SEED,
) -> Outcomes:
    """Outcomes of a drawn skew benchmark, as the statistics read them.

    Parameters
    ----------
    benchmark : its name. sizes : by attribute the images of each group, of which the shares count.
    images, prompts, k : how many of each. correlation : of two prompts' scores, 0 to 1. seed : of the drawing.
    """
    random = np.random.default_rng(seed)
    own_NW, common_N = random.standard_normal((images, WIDTH)), random.standard_normal((images, 1))
    text_WP = random.standard_normal((WIDTH, prompts))
    text_WP /= np.linalg.norm(text_WP, axis=0)
    score_NP = np.sqrt(correlation) * common_N + np.sqrt(1 - correlation) * own_NW @ text_WP
    frame = pd.DataFrame({name: random.permutation(_labels(given, images)) for name, given in sizes.items()})
    facts = {"k": k, "desired": "dataset", "attributes": {name: list(given) for name, given in sizes.items()}}
    frames = {"images": _with_scores(frame, score_NP.astype(np.float32)), "prompts": pd.DataFrame({"prompt": np.arange(prompts)})}
    return Outcomes(benchmark, "skew", facts, frames, "", "", {}, "")


def _labels(sizes: Mapping[str, int], images: int) -> NDArray[np.str_]:
    """The group of every image, in the shares given."""
    edges = np.round(np.cumsum(list(sizes.values())) / sum(sizes.values()) * images).astype(int)
    return np.repeat(list(sizes), np.diff(edges, prepend=0))


def _with_scores(frame: pd.DataFrame, score_NP: Scores) -> pd.DataFrame:
    columns = [f"score_{prompt}" for prompt in range(score_NP.shape[1])]
    rest: Any = frame[[name for name in frame if name not in set(columns)]].reset_index(drop=True)
    return pd.concat([rest, pd.DataFrame(score_NP, columns=columns)], axis=1)


def noisy_pair(outcomes: Outcomes, *, churn: float, seed: int = SEED) -> tuple[Outcomes, Outcomes]:
    """Two versions of the same outcomes, each with its own noise, whose top k differ by `churn` on average."""
    score_NP, k = Prepared(outcomes).score_NP, int(outcomes.facts["k"])
    amount = _amount(score_NP[:, :SOUGHT_PROMPTS], k, churn)
    random = np.random.default_rng(seed)
    first, second = (
        replace(outcomes, frames={**outcomes.frames, "images": _with_scores(outcomes.frames["images"], _noisy(score_NP, amount, random))})
        for _ in range(2)
    )
    return first, second


def _noisy(score_NP: Scores, amount: float, random: np.random.Generator) -> Scores:
    other_NP = score_NP[random.permutation(len(score_NP))]
    return np.asarray(score_NP + np.float32(amount) * (other_NP - score_NP.mean(axis=0)))


def _amount(score_NP: Scores, k: int, churn: float) -> float:
    """The amount of noise at which a share `churn` of the top k differs, by bisection."""
    low, high = 0.0, 2.0
    for _ in range(STEPS):
        middle = (low + high) / 2
        random = np.random.default_rng(SEED)
        lists = [best_first(_noisy(score_NP, middle, random))[:, :k] for _ in range(2)]
        low, high = (low, middle) if turnover(*lists) > churn else (middle, high)
    return (low + high) / 2


def turnover(first_PK: NDArray[np.int32], second_PK: NDArray[np.int32]) -> float:
    """Share of the first lists that is not in the second, mean over prompts.

    Examples
    --------
    >>> turnover(np.array([[0, 1]]), np.array([[1, 2]]))
    0.5
    """
    shared = [len(np.intersect1d(one, other)) for one, other in zip(first_PK, second_PK, strict=True)]
    return float(1 - np.mean(shared) / first_PK.shape[1])
