"""review: a named person's recorded decision on a candidate's evidence."""

import argparse
import sys

from entrypoints.options import add_required, verb_parser
from entrypoints.verb import run_verb
from registry.policy import load_policy
from registry.review import review
from registry.versions import version_card


def parser() -> argparse.ArgumentParser:
    """The verb's parameters."""
    parser = verb_parser("review", __doc__ or "")
    add_required(parser, "model", "the candidate: models:/name/version")
    add_required(parser, "decision", "approve or reject")
    add_required(parser, "reviewer", "who decides: a person's name, recorded with the decision")
    add_required(parser, "reason", "why, in the reviewer's words")
    return parser


def work(options: argparse.Namespace) -> str:
    """Record the decision on the active run."""
    card = version_card(options.model)
    run_id = review(card, decision=options.decision, reviewer=options.reviewer, reason=options.reason, policy=load_policy())
    return f"{options.decision} of {card.uri} ({card.quantizer}) by {options.reviewer!r} is on record as run {run_id}"


if __name__ == "__main__":
    sys.exit(run_verb("review", parser(), work))
