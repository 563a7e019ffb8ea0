"""rollback: moves an alias of the production model back to the version that stood there before, with a reason."""

import argparse
import sys

from entrypoints.options import add_required, add_signature, path_of, text_of, verb_parser
from entrypoints.verb import run_verb, say
from registry.rollback import rollback


def parser() -> argparse.ArgumentParser:
    """The verb's parameters."""
    parser = verb_parser("rollback", __doc__ or "")
    add_required(parser, "model", "the production model, such as <name>-prod")
    add_required(parser, "reason", "why, in the promoter's words")
    parser.add_argument("--alias", default="champion", help="the alias that moves back")
    parser.add_argument("--promoter", default="none", help="who does it; none: whose experiment the run is in, or the user's name")
    add_signature(parser)
    return parser


def work(options: argparse.Namespace) -> str:
    """Move the alias back."""
    moved = rollback(
        options.model,
        alias=options.alias,
        reason=text_of(options.reason),
        promoter=text_of(options.promoter),
        signing_key=path_of(options.signing_key),
        anchor=path_of(options.anchor),
    )
    for note in moved.notes:
        say(note)
    return str(moved)


if __name__ == "__main__":
    sys.exit(run_verb("rollback", parser(), work))
