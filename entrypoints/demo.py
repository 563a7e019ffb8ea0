"""The last step of `make demo`: one quantized version of the drawn world's models is reviewed and promoted, as two recorded runs.

It signs as "make demo" and says that nobody judged the evidence: a real review names a person. Run again, it finds its work done.
"""

import argparse
import sys
from functools import partial

from entrypoints import promote, review
from entrypoints.options import verb_parser
from entrypoints.verb import nested, run_verb
from registry.promote import alias_target
from registry.versions import VersionCard, version_cards

MODEL, QUANTIZER, ALIAS = "toy-s16-balanced", "torch-int8", "champion"
REVIEWER = "make demo"
REASON = "Demonstration of the recorded flow on a drawn world; no person judged this evidence."


def candidate() -> VersionCard:
    """The version to promote."""
    cards = version_cards(models=[MODEL], quantizers=[QUANTIZER])
    if not cards:
        raise ValueError(f"{MODEL} has no {QUANTIZER} version: run 'mlflow run . --env-manager local' first")
    return cards[-1]


def work(options: argparse.Namespace) -> str:
    """Approve, unless the alias points there already, and promote; `promote` itself sees whether that is on record."""
    card = candidate()
    decided = argparse.Namespace(model=card.uri, decision="approve", reviewer=REVIEWER, reason=REASON)
    moved = argparse.Namespace(model=card.uri, alias=ALIAS)
    steps = [("review", review.work, decided), ("promote", promote.work, moved)]
    if alias_target(card.name, ALIAS) == card.version:
        del steps[0]
    for verb, step, values in steps:
        nested(verb, verb, "", partial(step, values))
    return f"{ALIAS} of {card.name} is version {card.version} ({card.quantizer})"


if __name__ == "__main__":
    sys.exit(run_verb("demo", verb_parser("demo", __doc__ or ""), work))
