"""The noise floor: A/A arms, in which a version is measured again under changes that should not matter, and how far its metrics moved.

A quantizer's effect means something only beside what another batch or a rounding of the same model does. An arm measures one version a
second time; `noise_arms` sets both measurements side by side. No mlflow.
"""

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from qbias.digests import json_digest
from qbias.encoder import Encoder
from qbias.engines import LOCAL, Engine, Source
from qbias.outcomes import outcomes_of
from qbias.plan import Plan
from qbias.protocol import Protocol
from qbias.records import Dataset, Evaluation, Outcomes
from qbias.significance.records import NoiseArm
from qbias.subject import Subject

FORMAT = 1
"""Raised when the same arm gives other outcomes."""


@dataclass(frozen=True)
class Arm:
    """One way to measure a version of `quantizer` again.

    Attributes
    ----------
    name : what differs, in words. other_size : batches of half the images (of two, where the protocol's hold one).
    other_order : other images share a batch. texts : whether texts are embedded again; else the version's own are used.
    bfloat16 : weights and products in bfloat16.
    """

    name: str
    quantizer: str
    other_size: bool = False
    other_order: bool = False
    texts: bool = True
    bfloat16: bool = False

    def protocol(self, protocol: Protocol) -> Protocol:
        """The protocol under which the arm measures."""
        size = protocol.batch_size
        return replace(protocol, batch_size=size // 2 if size > 1 else 2) if self.other_size else protocol

    def key(self, base: str) -> str:
        """The content key of this arm of the evaluation whose key is `base`."""
        return json_digest({"arm": self.name, "base": base, "format": FORMAT})


ARMS = {
    row.name: row
    for row in (
        # A text's batch is settled by its list; in float32 it changes the last bits, as an image's does, at twice the cost.
        Arm("fp32, other batches", "fp32", other_size=True, other_order=True, texts=False),
        Arm("fp32 in bfloat16", "fp32", bfloat16=True),
        Arm("torch-int8, other batch size", "torch-int8", other_size=True),
    )
}


def arms_of(quantizer: str) -> list[Arm]:
    """The arms of versions in this precision; most have none."""
    return [arm for arm in ARMS.values() if arm.quantizer == quantizer]


def arm_outcomes(
    arm: Arm, encoder: Encoder, artifact: str, plan: Plan, *, source: Source | None = None, engine: Engine = LOCAL
) -> dict[str, Outcomes]:
    """What the version does on every benchmark of the plan when it is measured as the arm says.

    Pixels, and the texts of an arm that leaves them alone, are found in the cache where the version was evaluated before.

    Parameters
    ----------
    arm : a row of ARMS. encoder, artifact : of the version, as its MLflow model hands them out. plan : that of its evaluation.
    source, engine : see Subject.

    Returns
    -------
    Outcomes by benchmark name; their protocol is the arm's.
    """
    usual = Subject(arm.name, _no_predict, encoder, artifact, source, engine)
    measured = in_bfloat16(encoder) if arm.bfloat16 else encoder
    rounded = replace(source, bfloat16=arm.bfloat16) if source else None
    other = Subject(arm.name, _no_predict, measured, _artifact(arm, artifact), rounded, engine)
    protocol = arm.protocol(plan.protocol)
    found = {}
    for dataset in plan.datasets():
        image_ND = other.images(dataset, protocol, ids=_names(arm, dataset))
        text_MD = other.texts(dataset, protocol) if arm.texts else usual.texts(dataset, plan.protocol)
        found[dataset.benchmark] = outcomes_of(dataset, image_ND, text_MD, protocol)
    return found


def missing(arm: Arm, encoder: Encoder, artifact: str, plan: Plan) -> tuple[int, int]:
    """How many batches of images and of texts the arm still has to compute, by what lies in the cache."""
    other, protocol = Subject(arm.name, _no_predict, encoder, _artifact(arm, artifact)), arm.protocol(plan.protocol)
    found = [other.missing(dataset, protocol, ids=_names(arm, dataset)) for dataset in plan.datasets()]
    return sum(images for images, _ in found), sum(texts for _, texts in found) if arm.texts else 0


def _artifact(arm: Arm, artifact: str) -> str:
    """What the cache knows embeddings by; of another batch size it has a key already."""
    return f"{artifact} {arm.name}" if arm.bfloat16 or arm.other_order else artifact


def _names(arm: Arm, dataset: Dataset) -> list[str]:
    """What the images' canonical order is made from: their ids, or other names where the arm asks for another order."""
    return [f"{arm.name} {name}" if arm.other_order else name for name in dataset.images["id"]]


def _no_predict(frame: object) -> Any:
    raise AssertionError("an arm embeds through the Encoder")


def in_bfloat16(encoder: Encoder) -> Encoder:
    """The same model with its weights rounded to bfloat16, which also computes in it; the given one is left as it is."""
    import torch

    from qbias.quantizers.torch_encoder import TorchEncoder

    assert isinstance(encoder, TorchEncoder), "an arm of fp32 versions"
    rounded = copy.copy(encoder)
    rounded.model = copy.deepcopy(encoder.model).to(torch.bfloat16)
    return rounded


@dataclass(frozen=True)
class ArmPair:
    """A version's evaluation, and the same version measured again as `arm` says."""

    arm: str
    base: Evaluation
    again: Evaluation


def noise_arms(pairs: Sequence[ArmPair]) -> tuple[NoiseArm, ...]:
    """How far each metric moved in each arm: the largest absolute difference over the models.

    0 means that the arm changed nothing. A metric that a side could not measure is left out for that model.

    Parameters
    ----------
    pairs : one per arm and model, of the same data (checked where they are found).

    Returns
    -------
    One NoiseArm per arm, in the order of ARMS, then of appearance; `churn` is None without a classification benchmark.
    """
    names = dict.fromkeys([*ARMS, *(pair.arm for pair in pairs)])
    by_arm = {name: [pair for pair in pairs if pair.arm == name] for name in names}
    return tuple(_noise(name, rows) for name, rows in by_arm.items() if rows)


def _noise(name: str, pairs: Sequence[ArmPair]) -> NoiseArm:
    changes: dict[str, float] = {}
    for pair in pairs:
        for metric, difference in _differences(pair):
            changes[metric] = max(changes.get(metric, 0.0), difference)
    shares = [share for pair in pairs for share in _churn(pair)]
    return NoiseArm(name, tuple(dict.fromkeys(pair.base.model for pair in pairs)), changes, max(shares, default=None))


def _differences(pair: ArmPair) -> Iterator[tuple[str, float]]:
    for metric, value in pair.base.metrics.items():
        difference = abs(pair.again.metrics.get(metric, math.nan) - value)
        if math.isfinite(difference) and metric.partition("/")[0] in pair.again.outcomes:
            yield metric, difference


def _churn(pair: ArmPair) -> Iterator[float]:
    """Share of images whose first prediction differs, of each classification benchmark."""
    for name, again in pair.again.outcomes.items():
        base = pair.base.outcomes.get(name)
        if base is not None and again.kind == "classification" and len(again.frames["images"]):
            before, after = (side.frames["images"]["top_1"].to_numpy() for side in (base, again))
            yield float((before != after).mean())
