"""The protocol's open choices, made another way from stored outcomes: what the tables' metrics would have been. Nothing is embedded again.

The class prompt of a classification benchmark cannot be swept so: its outcomes hold one prompt's predictions. A margin is no part of the
outcomes: MARGINS says by which factors to sweep it. Shapes: N images, P prompts, G groups.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qbias.benchmarks.prompts.berg2022 import CONCEPTS, TEMPLATES
from qbias.families import name_part
from qbias.metrics import hits, macro_gap, max_disparity, min_disparity
from qbias.prepared import Prepared
from qbias.protocol import Class2, Desired, Sign, SkinVote
from qbias.records import Outcomes, Pairing

FLOORS = (10, 25, 50)
MARGINS = {"half": 0.5, "double": 2.0}
"""Values of the choice `margin`: the declared margin times this."""
SKIN = "skin_"


@dataclass(frozen=True)
class Alternative:
    """One open choice made another way, and the outcomes as they are under it. `choice`: the protocol's name for it."""

    choice: str
    value: str
    outcomes: Outcomes


@dataclass(frozen=True)
class SweptCell:
    """A metric of one precision under an alternative: its values by model, for the models that have it on both sides."""

    choice: str
    value: str
    quantizer: str
    metric: str
    baseline: Mapping[str, float] = field(default_factory=dict)
    candidate: Mapping[str, float] = field(default_factory=dict)


def alternatives(outcomes: Outcomes) -> tuple[Alternative, ...]:
    """The same outcomes under every other value of each open choice that they can tell about.

    Classification with pairs: `facet_sign`, `min_per_group` (FLOORS), `facet_class2` (where an image has a second label), `skin_vote`
    (where the columns of the other votes were kept). Skew: `desired`, and `prompts`, either half of them or one template of Berg et al.
    The record's digests stay those of what was evaluated.

    Parameters
    ----------
    outcomes : of one model on one benchmark.

    Returns
    -------
    Alternatives, none of them the outcomes' own choice; none at all for retrieval.
    """
    if outcomes.kind == "skew":
        made = [*_desired(outcomes), *_prompts(outcomes)]
    elif outcomes.kind == "classification" and outcomes.facts.get("pairs"):
        made = [*_signs(outcomes), *_floors(outcomes), *_second_classes(outcomes), *_skin_votes(outcomes)]
    else:
        made = []
    return tuple(made)


def _with_facts(outcomes: Outcomes, **facts: Any) -> Outcomes:
    return replace(outcomes, facts={**outcomes.facts, **facts})


def _signs(outcomes: Outcomes) -> Iterator[Alternative]:
    for sign in get_args(Sign):
        if sign != outcomes.facts["sign"]:
            yield Alternative("facet_sign", sign, _with_facts(outcomes, sign=sign))


def _floors(outcomes: Outcomes) -> Iterator[Alternative]:
    for floor in FLOORS:
        if floor != outcomes.facts["min_per_group"]:
            yield Alternative("min_per_group", str(floor), _with_facts(outcomes, min_per_group=floor))


def _second_classes(outcomes: Outcomes) -> Iterator[Alternative]:
    images = outcomes.frames["images"]
    if not (images["label2"] >= 0).any():
        return
    for rule in get_args(Class2):
        if rule != outcomes.facts["class2"]:
            kept = images[images["label2"] < 0] if rule == "drop" else images
            columns = {f"hit_at_{k}": _found(kept, k, either=rule == "either") for k in outcomes.facts["ks"]}
            frame = kept.assign(**columns).reset_index(drop=True)
            yield Alternative("facet_class2", rule, replace(_with_facts(outcomes, class2=rule), frames={"images": frame}))


def _found(images: pd.DataFrame, k: int, *, either: bool) -> NDArray[np.bool_]:
    top_NK = images[[f"top_{rank}" for rank in range(1, k + 1)]].to_numpy()
    found = hits(images["label"], top_NK, k=k)
    return found | hits(images["label2"], top_NK, k=k) if either else found


def _skin_votes(outcomes: Outcomes) -> Iterator[Alternative]:
    votes = {f"{SKIN}{vote}" for vote in get_args(SkinVote)}
    pairs, columns = list(outcomes.facts["pairs"]), set(outcomes.frames["images"])
    for vote in get_args(SkinVote):
        column = f"{SKIN}{vote}"
        changed = [pair | {"column": column} if pair["column"] in votes else pair for pair in pairs]
        if changed != pairs and column in columns:
            yield Alternative("skin_vote", vote, _with_facts(outcomes, pairs=changed))


def _desired(outcomes: Outcomes) -> Iterator[Alternative]:
    for desired in get_args(Desired):
        if desired != outcomes.facts["desired"]:
            yield Alternative("desired", desired, _with_facts(outcomes, desired=desired))


def _prompts(outcomes: Outcomes) -> Iterator[Alternative]:
    prompts = outcomes.frames["prompts"].drop_duplicates("prompt").sort_values("prompt")
    place_P, texts = prompts["prompt"].to_numpy(), prompts["text"].tolist()
    half = len(texts) // 2
    parts = {"first half": place_P[:half], "second half": place_P[half:]}
    for template in TEMPLATES:
        made = {template.replace("{}", concept) for concept in CONCEPTS}
        parts[f"only {template!r}"] = place_P[[text in made for text in texts]]
    for value, chosen in parts.items():
        if 0 < len(chosen) < len(texts):
            yield Alternative("prompts", value, _with_prompts(outcomes, chosen.tolist()))


def _with_prompts(outcomes: Outcomes, chosen: Sequence[int]) -> Outcomes:
    """The outcomes of these prompts alone, numbered from 0."""
    images, prompts = outcomes.frames["images"], outcomes.frames["prompts"]
    others = [column for column in images if not re.fullmatch(r"score_\d+", str(column))]
    number = {prompt: place for place, prompt in enumerate(chosen)}
    kept = images[[*others, *(f"score_{prompt}" for prompt in chosen)]]
    frames = {
        "images": kept.rename(columns={f"score_{prompt}": f"score_{place}" for prompt, place in number.items()}),
        "prompts": prompts[prompts["prompt"].isin(number)].assign(prompt=lambda frame: frame["prompt"].map(number)).reset_index(drop=True),
    }
    return replace(_with_facts(outcomes, prompts=len(chosen)), frames=frames)


def table_values(outcomes: Outcomes) -> dict[str, float]:
    """The tables' metrics of one benchmark, as `measure` gives them, and no others: what a sweep can afford to make again.

    Classification: minimum and maximum disparity and macro gap of each pair at each k. Skew: mean MinSkew and MaxSkew of each attribute,
    from the stored counts. What `measure` gives no number for is left out.

    Parameters
    ----------
    outcomes : of one model on one benchmark.

    Returns
    -------
    Values by logged name; none for retrieval.
    """
    makers = {"classification": _disparities, "skew": _skews}
    return dict(makers[outcomes.kind](Prepared(outcomes))) if outcomes.kind in makers else {}


def _disparities(prepared: Prepared) -> Iterator[tuple[str, float]]:
    sign: Sign = prepared.facts["sign"]
    for (pair, k), gaps in prepared.gaps.items():
        if k < len(prepared.classes) and gaps.eligible_C.any():
            name = f"{prepared.benchmark}/{name_part(pair)}"
            yield f"{name}/min_disparity_at_{k}", min_disparity(gaps, sign=sign)
            yield f"{name}/max_disparity_at_{k}", max_disparity(gaps, sign=sign)
            yield f"{name}/macro_gap_at_{k}", macro_gap(gaps)


def _skews(prepared: Prepared) -> Iterator[tuple[str, float]]:
    k, frame = int(prepared.facts["k"]), prepared.outcomes.frames["prompts"]
    attribute_R, value_R, count_R = (frame[column].to_numpy() for column in ("attribute", "value", "count"))
    for attribute in prepared.attributes:
        size = Counter(prepared.column(attribute).tolist())
        images = size.total() - size.pop("", 0)
        # One row for each prompt and value, prompt by prompt, so each value's rows are in the order of the prompts.
        count_GP = [count_R[(attribute_R == attribute) & (value_R == value)] for value in size]
        if len(size) > 1 and k < images and all(map(len, count_GP)):
            uniform = prepared.facts["desired"] == "uniform"
            share_G = np.array([1 / len(size) if uniform else number / images for number in size.values()])
            ratio_GP = np.maximum(count_GP, 1) / (k * share_G)[:, None]
            name = f"{prepared.benchmark}/{name_part(attribute)}"
            yield f"{name}/min_skew_at_{k}", float(np.log(ratio_GP.min(axis=0)).mean())
            yield f"{name}/max_skew_at_{k}", float(np.log(ratio_GP.max(axis=0)).mean())


def metrics_under(pairings: Sequence[Pairing]) -> tuple[SweptCell, ...]:
    """The tables' metrics of every pair under every alternative, gathered into cells over models.

    Values, not verdicts: these are made of each cell by what made the main ones. Outcomes that several pairs share are measured once.

    Parameters
    ----------
    pairings : of all models and precisions.

    Returns
    -------
    One SweptCell for each choice, value, precision and metric that a model has on both sides, in the order in which they appear.
    """
    measured: dict[int, dict[tuple[str, str, str], float]] = {}
    cells: dict[tuple[str, str, str, str], tuple[dict[str, float], dict[str, float]]] = {}
    for pairing in pairings:
        for name in pairing.candidate.outcomes:
            before, after = (_swept(side.outcomes[name], measured) for side in (pairing.baseline, pairing.candidate))
            for key in [key for key in before if key in after]:
                choice, value, metric = key
                sides = cells.setdefault((choice, value, pairing.candidate.quantizer, metric), ({}, {}))
                sides[0][pairing.candidate.model], sides[1][pairing.candidate.model] = before[key], after[key]
    return tuple(SweptCell(*key, *sides) for key, sides in cells.items())


def _swept(outcomes: Outcomes, measured: dict[int, dict[tuple[str, str, str], float]]) -> dict[tuple[str, str, str], float]:
    """Values by choice, value and metric. The pairings hold the outcomes, so their ids stay theirs."""
    if id(outcomes) not in measured:
        measured[id(outcomes)] = {
            (row.choice, row.value, metric): found
            for row in alternatives(outcomes)
            for metric, found in table_values(row.outcomes).items()
        }  # fmt: skip
    return measured[id(outcomes)]
