"""inspect: one version measured again beside its baseline, on this machine: size, drift, noise by layer, batch dependence, speed."""

import argparse
import sys

from entrypoints.options import add_required, verb_parser
from entrypoints.verb import run_verb, say
from registry.cards import version_card
from registry.descriptions import audit_table
from registry.inspection import inspection


def parser() -> argparse.ArgumentParser:
    """The verb's parameters."""
    parser = verb_parser("inspect", __doc__ or "")
    add_required(parser, "model", "the version: models:/name/version")
    return parser


def work(options: argparse.Namespace) -> str:
    """Measure what the parameter names; the table is printed, everything is on the run."""
    card = version_card(options.model)
    found = inspection(card)
    say(audit_table(found.metrics))
    for name, reason in found.insufficient.items():
        say(f"{name}: no number: {reason}")
    return f"{card.uri} ({card.quantizer}) is inspected; open audit/sqnr.png and audit/audit.json among the run's artifacts"


if __name__ == "__main__":
    sys.exit(run_verb("inspect", parser(), work))
