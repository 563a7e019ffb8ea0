"""evaluate: one model on the benchmarks; outcomes, metrics, protocol and machine are logged on one run."""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import mlflow

from entrypoints.options import add_benchmarks, add_data, add_required, data_folder, verb_parser
from entrypoints.verb import run_verb
from qbias.benchmarks import BENCHMARKS
from qbias.environment import one_thread_per_batch
from qbias.evaluator import benchmark_dataset, evaluate_model, evaluation_key
from qbias.protocol import Protocol
from qbias.tables import pick_many
from registry.versions import VersionCard, find_card


def parser() -> argparse.ArgumentParser:
    """The verb's parameters."""
    parser = verb_parser("evaluate", __doc__ or "")
    add_required(parser, "model", "models:/name/version, models:/name@alias, or any MLflow model URI")
    add_benchmarks(parser)
    add_data(parser)
    parser.add_argument("--batch-size", type=int, default=Protocol.batch_size, help="images per canonical batch (part of the protocol)")
    return parser


def evaluate(uri: str, names: Sequence[str], data: Path, protocol: Protocol, *, card: VersionCard | None) -> str:
    """Evaluate the model at `uri` within the active run and say how it went in one line."""
    title = f"{card.name} {card.quantizer}" if card else uri
    for name in names:
        benchmark_dataset(name, data, protocol)
    mlflow.set_tags(card_tags(card, names, data, protocol) if card else {"qbias.model": uri})
    model = mlflow.pyfunc.load_model(uri)
    started = time.perf_counter()
    metrics = evaluate_model(model, names, data, protocol, title=title)
    images = sum(len(benchmark_dataset(name, data, protocol).images) for name in names)
    speed = images / (time.perf_counter() - started)
    return f"{title}: {images} images, {sum(map(len, metrics.values()))} metrics, {speed:,.0f} images/s"


def card_tags(card: VersionCard, names: Sequence[str], data: Path, protocol: Protocol) -> dict[str, str]:
    """What the comparison and the gate look a run up by."""
    return {
        "qbias.model": card.name,
        "qbias.version": card.version,
        "qbias.quantizer": card.quantizer,
        "qbias.baseline_version": card.baseline_version,
        "qbias.weights_sha256": card.weights_sha256,
        "qbias.source": card.source,
        "qbias.size": card.size,
        "qbias.evaluation_key": card_key(card, names, data, protocol),
    }


def card_key(card: VersionCard, names: Sequence[str], data: Path, protocol: Protocol) -> str:
    """The content key of this version's evaluation. Version and content both count: a run speaks for the version it names, so an equal
    model under another name, or made again after a deletion, is evaluated for itself (its embeddings are found in the cache).
    """
    return evaluation_key(f"{card.uri} {card.content}", names, data, protocol)


def work(options: argparse.Namespace) -> str:
    """Check every parameter, then evaluate."""
    one_thread_per_batch()
    protocol = Protocol(batch_size=options.batch_size, limit=options.limit)
    names = [row.name for row in pick_many(BENCHMARKS, options.benchmarks, what="benchmark")]
    card = find_card(options.model)
    return evaluate(options.model, names, data_folder(options.data), protocol, card=card)


if __name__ == "__main__":
    sys.exit(run_verb("evaluate", parser(), work))
