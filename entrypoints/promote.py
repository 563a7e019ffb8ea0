"""promote: copies an approved candidate to the production model and moves the alias there, after everything was checked again."""

import argparse
import sys

from entrypoints.options import add_policy, add_required, add_signature, path_of, policy_of, text_of, verb_parser, yes_or_no
from entrypoints.verb import run_verb, say
from registry.production import MODES
from registry.promote import promote
from registry.versions import version_card


def parser() -> argparse.ArgumentParser:
    """The verb's parameters."""
    parser = verb_parser("promote", __doc__ or "")
    add_required(parser, "model", "the approved candidate: models:/name/version")
    parser.add_argument("--alias", default="champion", help="the alias that moves to it")
    add_policy(parser, "none", "what evidence and approval are held to; none: the production model's policy, before there is one 'default'")
    where = "prod: promote to <name>-prod, which only promoters may change; same: to the candidate's own model, for one user"
    parser.add_argument("--production", choices=tuple(MODES), default="prod", help=where)
    pin = "true: the policy given rules from now on, with a reason; what is in production then has to be reviewed and promoted under it"
    parser.add_argument("--repin", type=yes_or_no, default=False, help=pin)
    parser.add_argument("--reason", default="none", help="why, in the promoter's words; needed with repin=true")
    parser.add_argument("--promoter", default="none", help="who promotes; none: whose experiment the run is in, or the user's name")
    add_signature(parser)
    return parser


def work(options: argparse.Namespace) -> str:
    """Check everything again and move the alias."""
    moved = promote(
        version_card(options.model),
        alias=options.alias,
        policy=policy_of(options),
        production=options.production,
        repin=options.repin,
        reason=text_of(options.reason),
        promoter=text_of(options.promoter),
        signing_key=path_of(options.signing_key),
        anchor=path_of(options.anchor),
    )
    for note in moved.notes:
        say(note)
    return str(moved)


if __name__ == "__main__":
    sys.exit(run_verb("promote", parser(), work))
