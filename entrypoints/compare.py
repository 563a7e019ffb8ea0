"""compare: every quantized version beside its own baseline; paired tables, tests and the report on one run.

With `--audit-table` a published table is checked against itself instead.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import mlflow

from entrypoints.options import NONE, add_policy, add_quantizers, policy_of, verb_parser
from entrypoints.verb import run_verb
from qbias.arms import noise_arms
from qbias.comparison import Comparison, compare
from qbias.digests import json_digest
from qbias.environment import quantizer_rows
from qbias.evidence import evidence_of
from qbias.models import GROUPS
from qbias.quantizers import QUANTIZERS
from qbias.report import summary_markdown, write_report
from qbias.report.cells import ROLES, of_role, verdict_counts
from qbias.report.published import STUDY, Beside, audit_text, beside_published, read_published
from qbias.significance import AnalysisPlan, PairedTest
from qbias.significance.records import Evidence
from qbias.tables import split_names
from registry.comparisons import INDEX, REPORT, comparison_index, report_files
from registry.evidence import evaluations
from registry.noise import noise_pairs
from registry.policy import Policy, load_policy
from registry.runs import run_links
from registry.versions import VersionCard, version_cards

FORMAT = 4
"""Raised when the report of the same evaluations comes out differently, so that an older one is not reused."""


def parser() -> argparse.ArgumentParser:
    """The verb's parameters."""
    parser = verb_parser("compare", __doc__ or "")
    parser.add_argument("--models", default="all", help="comma-separated registered model names, or all")
    add_quantizers(parser)
    add_policy(parser, "default", "whose endpoints and margins the comparison tests")
    says = "a CSV of published p-values and intervals to check against themselves, and nothing else is done (no store is needed); or none"
    parser.add_argument("--audit-table", default="none", help=says)
    return parser


def chosen_cards(models: str, quantizers: str) -> list[VersionCard]:
    """The registered versions that the parameters name; baselines always belong to them."""
    names = {row.name for row in quantizer_rows(quantizers)} | {"fp32"}
    cards = version_cards(models=None if models == "all" else split_names(models), quantizers=sorted(names))
    if not cards:
        raise ValueError(f"no registered version matches models={models!r}, quantizers={quantizers!r}: run the verb 'register' first")
    return cards


def compare_cards(cards: Sequence[VersionCard], policy: Policy) -> str:
    """Compare the newest evaluations of `cards` as the policy plans it, within the active run; log tables, report and key numbers."""
    found, problems = evaluations(cards)
    if not found:
        raise ValueError(f"none of the {len(cards)} versions has a finished evaluation: run the verb 'evaluate' first")
    declared = dict.fromkeys(card.quantizer for card in cards if card.version != card.baseline_version)
    comparison = compare(found, order=list(QUANTIZERS), declared=tuple(declared))
    if not comparison.pairings:
        unusable = "".join(f"; {row.model} version {row.version}: {row.reason}" for row in problems)
        raise ValueError("no quantized version has an evaluation that can be paired with its baseline's: " + refused(comparison) + unusable)
    arms, spoilt = noise_pairs(cards, found)
    problems += spoilt
    plan = policy.analysis_plan()
    evidence = evidence_of(comparison, plan, noise=noise_arms(arms))
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / REPORT
        title = "Quantized CLIP models beside their baselines"
        write_report(
            comparison,
            report,
            evidence=evidence,
            title=title,
            commands=COMMANDS,
            problems=problems,
            published=study_cells(comparison),
            run_links=run_links(mlflow.get_tracking_uri()),
        )
        mlflow.log_artifacts(str(report), REPORT)
        mlflow.log_dict(comparison_index(comparison.pairings, comparison.refusals, report_files(Path(folder))), INDEX)
    mlflow.log_metrics({
        "comparison/pairs": len(comparison.pairings),
        "comparison/refused": len(comparison.refusals),
        "comparison/models": len({pairing.candidate.model for pairing in comparison.pairings}),
        **verdict_metrics(evidence),
    })  # fmt: skip
    mlflow.set_tags({
        "qbias.comparison_key": comparison_key([*(row.run_id for row in found), *(row.again.run_id for row in arms)], plan),
        "mlflow.note.content": summary_markdown(comparison, evidence, problems=problems),
        "qbias.kind": "comparison",
    })  # fmt: skip
    counts = f"{len(comparison.pairings)} pairs compared, {len(comparison.refusals)} refused"
    return f"{counts}; open report/report.html among the run's artifacts"


def study_cells(comparison: Comparison) -> tuple[Beside, ...]:
    """The published study's cells beside ours, where models of that study were compared: others' changes have nothing to do with them."""
    if not {row.name for row in GROUPS["paper"]} & set(comparison.models):
        return ()
    tests = {(cell.quantizer, cell.metric): cell.result for cell in comparison.cells if isinstance(cell.result, PairedTest)}
    return beside_published(read_published(STUDY), tests)


COMMANDS = (
    "mlflow run . -e register -P model=<name>",
    "mlflow run . -e evaluate -P model=models:/<name>/<version>",
    "mlflow run . -e compare",
)


def comparison_key(run_ids: Sequence[str], plan: AnalysisPlan) -> str:
    """Equal for equal evaluations, noise arms and plan: a finished comparison of them need not be made again."""
    return json_digest({"runs": sorted(run_ids), "plan": asdict(plan), "format": FORMAT})


def verdict_metrics(evidence: Evidence) -> dict[str, int]:
    """How many cells of each family have each verdict, as metrics of the comparison's run; those without any are not among them."""
    counts = ((role, verdict_counts(of_role(evidence, role))) for role in ROLES)
    return {f"comparison/{role}/{name}": count for role, own in counts for name, count in own.items() if count}


def refused(comparison: Comparison) -> str:
    """The refusals in one line."""
    return "; ".join(
        f"{row.model} {row.quantizer}: {', '.join(fact for fact, _, _ in row.differences)}" for row in comparison.refusals
    ) or "there are only baselines"  # fmt: skip


def work(options: argparse.Namespace) -> str:
    """Compare what the parameters name."""
    policy = policy_of(options) or load_policy()
    return compare_cards(chosen_cards(options.models, options.quantizers), policy)


def main() -> int:
    """Audit a published table where one is named, without run or store; else compare. The process's exit code."""
    try:
        file = parser().parse_args().audit_table
    except ValueError:
        file = "none"  # run_verb says what is wrong with the parameters, and records it
    if file in NONE:
        return run_verb("compare", parser(), work)
    try:
        print(audit_text(read_published(Path(file))))
    except ValueError as error:
        print(f"compare: error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
