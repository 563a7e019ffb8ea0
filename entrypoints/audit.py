"""audit: whether every alias stands where the records put it, with a valid approval of exactly what is there; exit code 1 if not."""

import argparse
import sys

import mlflow

from entrypoints.options import add_policy, path_of, policy_of, verb_parser
from entrypoints.verb import run_verb, say
from registry.audit import audit


def parser() -> argparse.ArgumentParser:
    """The verb's parameters."""
    parser = verb_parser("audit", __doc__ or "")
    parser.add_argument("--models", default="all", help="comma-separated registered models, candidates' or production, or all")
    add_policy(parser, "none", "the policy that must rule everywhere; none: whatever each production model names")
    anchor = "absolute path of a file with heads of the records, kept where whoever can write the store cannot; or none"
    parser.add_argument("--anchor", default="none", help=anchor)
    return parser


def work(options: argparse.Namespace) -> str:
    """Audit, log table and JSON on the active run, and fail if anything is off."""
    found = audit(options.models, policy=policy_of(options), anchor=path_of(options.anchor))
    say(found.text())
    mlflow.log_dict(found.as_dict(), "audit.json")
    mlflow.log_text(f"{found.text()}\n", "audit.txt")
    mlflow.log_metrics({"audit/rows": float(len(found.rows)), "audit/off": float(found.off)})
    mlflow.set_tags({"qbias.audit": "off" if found.off else "consistent", "qbias.kind": "audit"})
    if found.off:
        raise ValueError(f"{found.off} of {len(found.rows)} rows are off: see audit.txt and audit.json among the run's artifacts")
    return f"{len(found.rows)} rows, nothing is off; open audit.json among the run's artifacts"


if __name__ == "__main__":
    sys.exit(run_verb("audit", parser(), work))
