"""review: the gate's findings on a candidate's evidence; with a decision, a named person's record of it.

With `--explain` it says in plain words what a policy asks and whether it can pass, and writes nothing.
"""

import argparse
import sys

from entrypoints.options import NONE, add_policy, add_signature, path_of, policy_of, text_of, verb_parser, yes_or_no
from entrypoints.verb import run_verb, say
from registry.attempts import attempts_of, attempts_text
from registry.cards import VersionCard, version_card
from registry.explain import explain_text
from registry.policies import policies
from registry.production import ruling_policy
from registry.review import review, show_gate


def parser() -> argparse.ArgumentParser:
    """The verb's parameters."""
    parser = verb_parser("review", __doc__ or "")
    parser.add_argument("--model", default="none", help="the candidate: models:/name/version; or none, with --explain")
    parser.add_argument("--decision", default="none", help="approve or reject; none: the gate's findings are shown, nothing is decided")
    parser.add_argument("--reviewer", default="none", help="who decides: a person's name, recorded with the decision")
    parser.add_argument("--reason", default="none", help="why, in the reviewer's words")
    add_policy(parser, "none", "what the evidence is held to; none: the production model's policy, before the first promotion 'default'")
    override = "true: approve although the gate blocks; recorded as such, and counts only together with a second person's override"
    parser.add_argument("--override", type=yes_or_no, default=False, help=override)
    add_signature(parser)
    explain = "what the policy asks, how likely it passes when nothing changed, and the sizes it takes; nothing is decided or recorded"
    parser.add_argument("--explain", type=yes_or_no, nargs="?", const=True, default=False, help=explain)
    return parser


def candidate(options: argparse.Namespace) -> VersionCard:
    """The version that the parameters name."""
    if options.model in NONE:
        raise ValueError("model is missing: name the candidate with -P model=models:/name/version")
    return version_card(options.model)


def work(options: argparse.Namespace) -> str:
    """Show the gate's findings, or record the decision on the active run."""
    card, policy = candidate(options), policy_of(options)
    if options.decision in NONE:
        return _shown(options, card)
    decided = review(
        card,
        decision=options.decision,
        reviewer=text_of(options.reviewer),
        reason=text_of(options.reason),
        policy=policy,
        override=options.override,
        signing_key=path_of(options.signing_key),
        anchor=path_of(options.anchor),
    )
    record = decided.record
    told = [f"gate: {verdict}: {reason}" for verdict in ("block", "review") for reason in decided.result.reasons(verdict)]
    for line in (*told, _attempts(options, card), *decided.notes, f"identity: {record.facts['identity']}"):
        say(line)
    red = "OVERRIDE of a gate that blocks: " if options.override else ""
    return f"{red}{options.decision} of {card.uri} ({card.quantizer}) by {record.facts['reviewer']!r} is on record as run {record.run_id}"


def _shown(options: argparse.Namespace, card: VersionCard) -> str:
    given = [name for name in ("reviewer", "reason", "signing_key", "anchor") if getattr(options, name) not in NONE]
    if given or options.override:
        raise ValueError(f"{', '.join(given or ['override'])} without a decision: add -P decision=approve or -P decision=reject")
    result = show_gate(card, policy_of(options))
    for line in (result.text(), _attempts(options, card)):
        say(line)
    return f"the gate's verdict on {card.uri} ({card.quantizer}) is {result.verdict!r}; nothing is decided"


def _attempts(options: argparse.Namespace, card: VersionCard) -> str:
    rules = ruling_policy(card.name, policy_of(options))
    return attempts_text(attempts_of(card, rules), rules)


def explained(options: argparse.Namespace) -> str:
    """What the policy asks, with the sizes of the model's own evaluation where one is named."""
    if options.model in NONE:
        return explain_text(policy_of(options) or policies()["default"])
    card = candidate(options)
    return explain_text(policy_of(options) or ruling_policy(card.name), card=card)


def main() -> int:
    """Explain a policy without a run; else review. The process's exit code."""
    try:
        options = parser().parse_args()
    except ValueError:
        options = argparse.Namespace(explain=False)  # run_verb says what is wrong with the parameters, and records it
    if not options.explain:
        return run_verb("review", parser(), work)
    try:
        print(explained(options))
    except ValueError as error:
        print(f"review: error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
