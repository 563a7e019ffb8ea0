"""The last step of `make demo`: one quantized version of the drawn world's models is reviewed and promoted, and the records are audited.

It signs as "make demo" and says that nobody judged the evidence: a real review names a person. Run again, it finds its work done.
"""

import argparse
import sys
from functools import partial

from entrypoints import audit, promote, review
from entrypoints.options import verb_parser
from entrypoints.verb import nested, run_verb
from registry.chain import records_of
from registry.moves import last_finished, moves_of, target
from registry.production import SUFFIX, pin_for
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


def stands(card: VersionCard) -> bool:
    """Whether this version stands in production already, by a completed promotion."""
    pin = pin_for(card.name)
    last = last_finished(moves_of(records_of(card.name), pin.production, ALIAS)) if pin else None
    return last is not None and (last.facts["version"], target(last)) == (card.version, alias_target(f"{card.name}{SUFFIX}", ALIAS))


def options_of(verb: argparse.ArgumentParser, **values: str) -> argparse.Namespace:
    """A verb's parameters as from the command line."""
    return verb.parse_args([word for name, value in values.items() for word in (f"--{name}", value)])


def work(options: argparse.Namespace) -> str:
    """Approve, unless the version stands in production already, promote and audit; `promote` itself sees whether its work is on record."""
    card = candidate()
    decided = options_of(review.parser(), model=card.uri, decision="approve", reviewer=REVIEWER, reason=REASON)
    moved = options_of(promote.parser(), model=card.uri, alias=ALIAS, promoter=REVIEWER, reason=REASON)
    checked = options_of(audit.parser(), models=card.name)
    steps = [("review", review.work, decided), ("promote", promote.work, moved), ("audit", audit.work, checked)]
    if stands(card):
        del steps[0]
    for verb, step, values in steps:
        nested(verb, verb, "", partial(step, values))
    return f"{ALIAS} of {card.name}{SUFFIX} is a copy of version {card.version} ({card.quantizer}) of {card.name}"


if __name__ == "__main__":
    sys.exit(run_verb("demo", verb_parser("demo", __doc__ or ""), work))
