"""promote: moves an alias to a candidate, only with complete evidence and a valid approval."""

import argparse
import sys

from entrypoints.options import add_required, verb_parser
from entrypoints.verb import run_verb
from registry.policy import load_policy
from registry.promote import promote
from registry.versions import version_card


def parser() -> argparse.ArgumentParser:
    """The verb's parameters."""
    parser = verb_parser("promote", __doc__ or "")
    add_required(parser, "model", "the approved candidate: models:/name/version")
    parser.add_argument("--alias", default="champion", help="the alias that moves to it")
    return parser


def work(options: argparse.Namespace) -> str:
    """Check everything again and move the alias."""
    return str(promote(version_card(options.model), alias=options.alias, policy=load_policy()))


if __name__ == "__main__":
    sys.exit(run_verb("promote", parser(), work))
