"""evaluate: one model on the benchmarks; outcomes, metrics, protocol and machine are logged on one run."""

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

import mlflow

from entrypoints.options import AUTO, add_cache_limit, add_engine, add_plan, add_required, engine_of, obey_cache_limit, plan_of, verb_parser
from entrypoints.verb import run_verb, say
from qbias.arms import Arm, arm_outcomes
from qbias.batch_size import chosen_batch_size
from qbias.engines import HERE, EngineChoice, source_of
from qbias.environment import one_thread_per_batch
from qbias.evaluator import evaluate_model, evaluation_key
from qbias.models import MODELS, distances
from qbias.plan import Plan
from registry.noise import log_arm
from registry.versions import VersionCard, find_card


def parser() -> argparse.ArgumentParser:
    """The verb's parameters."""
    parser = verb_parser("evaluate", __doc__ or "")
    add_required(parser, "model", "models:/name/version, models:/name@alias, or any MLflow model URI")
    add_plan(parser)
    add_cache_limit(parser)
    add_engine(parser)
    return parser


def evaluate(uri: str, plan: Plan, *, card: VersionCard | None, where: EngineChoice = HERE) -> str:
    """Evaluate the model at `uri` within the active run and say how it went in one line."""
    title = f"{card.name} {card.quantizer}" if card else uri
    images = sum(len(dataset.images) for dataset in plan.datasets())
    mlflow.set_tags(card_tags(card, plan) if card else {"qbias.model": uri})
    model = mlflow.pyfunc.load_model(uri)
    started = time.perf_counter()
    metrics = evaluate_model(model, plan, title=title, where=where)
    speed = images / (time.perf_counter() - started)
    skipped = sum(len(plan.skipped(benchmark)) for benchmark in plan.benchmarks)
    left_out = f" ({skipped} that cannot be decoded left out)" if skipped else ""
    if card and card.name in MODELS:
        _say_distances(card.name, plan, {name: value for found in metrics.values() for name, value in found.items()})
    return f"{title}: {images} images{left_out}, {sum(map(len, metrics.values()))} metrics, {speed:,.0f} images/s"


def probed(plan: Plan, uris: Sequence[str]) -> Plan:
    """The plan with the batch size that `auto` is for these models: the smallest of theirs, so that it fits each of them.

    Raises
    ------
    ValueError
        If a model is not ours: what is fast for it cannot be told from outside.
    """
    sizes = []
    for uri in uris:
        inner = mlflow.pyfunc.load_model(uri).unwrap_python_model()
        if not hasattr(inner, "encoder") or not hasattr(inner, "digest"):
            raise ValueError(f"batch_size=auto needs a version that 'register' made, and {uri!r} is none: give a number, such as 64")
        sizes.append(chosen_batch_size(inner.encoder, inner.digest))
    say(f"batch_size=auto: {min(sizes)}; results can depend on it, so both sides of a pair need batch_size={min(sizes)}")
    return replace(plan, protocol=replace(plan.protocol, batch_size=min(sizes)))


def _say_distances(name: str, plan: Plan, metrics: Mapping[str, float]) -> None:
    """How far a catalogue model is from its published figures, where a full dataset was measured."""
    images = {dataset.benchmark: len(dataset.images) for dataset in plan.datasets()}
    for row in distances(MODELS[name], metrics, images=images):
        say(f"{row.metric}: {row.measured:.4f} here, {row.published:.4f} published for the baseline, {row.distance:+.4f}")


def evaluate_again(arm: Arm, card: VersionCard, plan: Plan, where: EngineChoice = HERE) -> str:
    """Measure a version again as an A/A arm does, within the active run, and say so in one line."""
    model = mlflow.pyfunc.load_model(card.uri).unwrap_python_model()
    outcomes = arm_outcomes(arm, model.encoder, model.digest, plan, source=source_of(model.encoder), engine=where.made())
    metrics = log_arm(arm, outcomes, card_tags(card, plan))
    return f"{card.name} {arm.name}: {metrics} metrics"


def card_tags(card: VersionCard, plan: Plan) -> dict[str, str]:
    """What the comparison and the gate look a run up by."""
    return {
        "qbias.model": card.name,
        "qbias.version": card.version,
        "qbias.quantizer": card.quantizer,
        "qbias.baseline_version": card.baseline_version,
        "qbias.weights_sha256": card.weights_sha256,
        "qbias.source": card.source,
        "qbias.size": card.size,
        "qbias.evaluation_key": card_key(card, plan),
    }


def card_key(card: VersionCard, plan: Plan) -> str:
    """The content key of this version's evaluation. Version and content both count: a run speaks for the version it names, so an equal
    model under another name, or made again after a deletion, is evaluated for itself (its embeddings are found in the cache).
    """
    return evaluation_key(f"{card.uri} {card.content}", plan)


def work(options: argparse.Namespace) -> str:
    """Check every parameter, then evaluate."""
    one_thread_per_batch()
    obey_cache_limit(options)
    where = engine_of(options)
    card = find_card(options.model)
    plan = plan_of(options)
    # Of a copy the origin is evaluated: the run speaks for the version that it names.
    uri = card.uri if card else options.model
    if options.batch_size == AUTO:
        plan = probed(plan, [uri])
    return evaluate(uri, plan, card=card, where=where)


if __name__ == "__main__":
    sys.exit(run_verb("evaluate", parser(), work))
