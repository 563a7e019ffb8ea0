"""compare: every quantized version beside its own baseline; paired tables, tests and the report on one run."""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import mlflow

from entrypoints.options import add_quantizers, verb_parser
from entrypoints.verb import run_verb
from qbias.comparison import Comparison, compare
from qbias.digests import json_digest
from qbias.environment import quantizer_rows
from qbias.quantizers import QUANTIZERS
from qbias.report import summary_markdown, write_report
from qbias.tables import split_names
from registry.comparisons import INDEX, comparison_index
from registry.evidence import evaluations
from registry.versions import VersionCard, version_cards

FORMAT = 2
"""Raised when the report of the same evaluations comes out differently, so that an older one is not reused."""


def parser() -> argparse.ArgumentParser:
    """The verb's parameters."""
    parser = verb_parser("compare", __doc__ or "")
    parser.add_argument("--models", default="all", help="comma-separated registered model names, or all")
    add_quantizers(parser)
    return parser


def chosen_cards(models: str, quantizers: str) -> list[VersionCard]:
    """The registered versions that the parameters name; baselines always belong to them."""
    names = {row.name for row in quantizer_rows(quantizers)} | {"fp32"}
    cards = version_cards(models=None if models == "all" else split_names(models), quantizers=sorted(names))
    if not cards:
        raise ValueError(f"no registered version matches models={models!r}, quantizers={quantizers!r}: run the verb 'register' first")
    return cards


def compare_cards(cards: Sequence[VersionCard]) -> str:
    """Compare the newest evaluations of `cards` within the active run; log tables, figure, report and key numbers."""
    found, problems = evaluations(cards)
    if not found:
        raise ValueError(f"none of the {len(cards)} versions has a finished evaluation: run the verb 'evaluate' first")
    comparison = compare(found, order=list(QUANTIZERS))
    if not comparison.pairings:
        raise ValueError("no quantized version has an evaluation that can be paired with its baseline's: " + refused(comparison))
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report"
        write_report(comparison, report, title="Quantized CLIP models beside their baselines", commands=COMMANDS, problems=problems)
        mlflow.log_artifacts(str(report), "report")
    mlflow.log_dict(comparison_index(comparison.pairings, comparison.refusals), INDEX)
    mlflow.log_metrics({
        "comparison/pairs": len(comparison.pairings),
        "comparison/refused": len(comparison.refusals),
        "comparison/models": len({pairing.candidate.model for pairing in comparison.pairings}),
    })  # fmt: skip
    mlflow.set_tags({
        "qbias.comparison_key": comparison_key([row.run_id for row in found]),
        "mlflow.note.content": summary_markdown(comparison, problems=problems),
        "qbias.kind": "comparison",
    })  # fmt: skip
    counts = f"{len(comparison.pairings)} pairs compared, {len(comparison.refusals)} refused"
    return f"{counts}; open report/report.html among the run's artifacts"


COMMANDS = (
    "mlflow run . -e register -P model=<name>",
    "mlflow run . -e evaluate -P model=models:/<name>/<version>",
    "mlflow run . -e compare",
)


def comparison_key(run_ids: Sequence[str]) -> str:
    """Equal for equal evaluations: a finished comparison of them need not be made again."""
    return json_digest({"runs": sorted(run_ids), "format": FORMAT})


def refused(comparison: Comparison) -> str:
    """The refusals in one line."""
    return "; ".join(
        f"{row.model} {row.quantizer}: {', '.join(fact for fact, _, _ in row.differences)}" for row in comparison.refusals
    ) or "there are only baselines"  # fmt: skip


def work(options: argparse.Namespace) -> str:
    """Compare what the parameters name."""
    return compare_cards(chosen_cards(options.models, options.quantizers))


if __name__ == "__main__":
    sys.exit(run_verb("compare", parser(), work))
