"""A policy in plain words: what each rule asks, and how likely it is to pass when nothing changed.

`explanation` is a function of a policy and of sizes; `explain_text` finds the sizes: of a version's stored evaluation, or of the policy's
planning, for which no tracking store is needed.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from qbias.records import Evaluation
from registry.drawn_searches import CORRELATION
from registry.people import Signer
from registry.planning import WANTED
from registry.policy import Planning, Policy
from registry.prospects import LIKELY, Prospect, Prospects, draws_needed, prospects
from registry.rules import Rule
from registry.subjects import planned_subjects, stored_subjects, unmeasured

if TYPE_CHECKING:
    from registry.cards import VersionCard

MOST_ROWS = 8
"""Metrics listed for a rule, the least likely first; if all grow alike, the sizes named are those of the smallest part."""
NO_SIZES = "no sizes are known, so nothing can be said: name its images under planning, or give a model that was evaluated on it"


def explain_text(policy: Policy, *, card: "VersionCard | None" = None) -> str:
    """What a policy asks, in plain words, and whether it can pass.

    Parameters
    ----------
    policy : the policy. card : a version; the sizes are then those of its own stored evaluation, its attempts are counted, and MLflow is
        asked. None: the sizes are the planning's, and nothing is asked.

    Returns
    -------
    Lines of text for a terminal.
    """
    planning, skew = policy.planning, draws_needed(policy)
    churn = planning.churn if planning else Planning.model_fields["churn"].default
    if card is not None:
        return _of_version(policy, card, churn=churn, skew=skew)
    if planning is None:
        return explanation(policy, prospects(policy, []), churn=churn, sizes="The policy has no planning, so no sizes are known.")
    found = prospects(policy, planned_subjects(planning, policy.benchmarks, skew=skew))
    return explanation(policy, found, churn=churn, sizes=_planned(policy, planning))


def _planned(policy: Policy, planning: Planning) -> str:
    """Whose sizes the planning's are, and what it does not know."""
    skin = any(rule.each == "group" and rule.matches("facet/skin_majority/accuracy_at_1") for rule in policy.rules)
    without = " Groups by skin tone are not in it: how many images they have is not published." if skin else ""
    return f"Sizes are the policy's planning: {planning.why}{without}"


def _of_version(policy: Policy, card: "VersionCard", *, churn: float, skew: bool) -> str:
    """The explanation with the sizes of a version's evaluation, and its attempts."""
    # Only here is MLflow asked, so that a policy can be explained where there is no store.
    from registry.attempts import attempts_of, attempts_text
    from registry.evaluations import evaluations

    found, problems = evaluations([card])
    if problems:
        text = f"{explain_text(policy)}\n\nNot its own sizes: {card.uri}: {problems[0].reason}"
    else:
        sizes = f"Sizes are those of {card.uri}, evaluated by run {found[0].run_id}; searches use its own scores."
        own = _required(found[0], policy)
        prospect = prospects(policy, stored_subjects(own, churn, skew=skew), unmeasured(own))
        text = explanation(policy, prospect, churn=churn, sizes=sizes)
    return text if card.version == card.baseline_version else f"{text}\n\n{attempts_text(attempts_of(card, policy), policy)}"


def _required(evaluation: Evaluation, policy: Policy) -> Evaluation:
    """The evaluation without benchmarks that the policy does not require: the gate does not weigh them."""
    names = {row.name for row in policy.benchmarks}
    return replace(evaluation, outcomes={name: row for name, row in evaluation.outcomes.items() if name in names})


def explanation(policy: Policy, found: Prospects, *, churn: float, sizes: str) -> str:
    """A policy in plain words, with the prospects of its rules.

    Parameters
    ----------
    policy : what is explained. found : what `prospects` gave for it. churn : that was assumed. sizes : a sentence that says whose.
    """
    parts = [*_head(policy), *_assumed(policy, churn, sizes)]
    for number, rule in enumerate(policy.rules, 1):
        parts += ["", *_rule(number, rule, found)]
    return "\n".join([*parts, "", *_together(policy, found)])


def _head(policy: Policy) -> Iterator[str]:
    yield f"Policy {policy.name}, sha256 {policy.digest()}"
    yield ""
    yield "On record, for candidate and baseline alike (anything missing, altered or not comparable blocks):"
    for row in policy.benchmarks:
        asked = ", ".join(f"{field}={'none' if value is None else value}" for field, value in row.protocol.items())
        yield f"  {row.name}{f' with {asked}' if asked else ''}. Why: {row.why}"
    if policy.comparison.required:
        yield f"  a finished comparison of exactly these two evaluations. Why: {policy.comparison.why}"
    sign = policy.sign_off
    who = f"{sign.approvals} {'person' if sign.approvals == 1 else 'different people'}"
    yield f"Sign-off: {who} must approve, which counts for {sign.valid_days} days. Why: {sign.why}"
    yield f"  reviewers: {_people(sign.reviewers)}; promoters: {_people(sign.promoters)}"


def _people(people: tuple[Signer, ...]) -> str:
    if not people:
        return "anyone (identity is not checked)"
    return ", ".join(f"{row.name}{'' if row.active else ' (no longer active)'}{' with a key' if row.key else ''}" for row in people)


def _assumed(policy: Policy, churn: float, sizes: str) -> Iterator[str]:
    yield ""
    if not policy.rules:
        yield "Rules: none. Nothing weighs how large a change is, so the gate never says pass: a person has to look every time."
        return
    yield "Rules: all must pass together, so no correction for their number is due."
    if any(rule.weighs for rule in policy.rules):
        yield (
            f"Assumed below: nothing changed, yet {_percent(churn)} of the hits differ between the versions, as many gained as lost. "
            f"{sizes}"
        )
    if draws_needed(policy):
        yield (
            f"Mean skew has no formula: a pair of score tables was drawn whose lists differ by {_percent(churn)}, and put through the "
            f"gate's statistics. Without a model the drawn prompts' scores correlate by {CORRELATION:g}; the more alike prompts are, the "
            "wider the interval."
        )


def _rule(number: int, rule: Rule, found: Prospects) -> Iterator[str]:
    yield f"{number}. {rule.name}: {_asks(rule)}"
    yield f"   Why: {rule.why}"
    if not rule.weighs:
        return
    rows, blocked = found.of(rule.name), [row for row in found.blocked if row.rule == rule.name]
    for gone in blocked[:MOST_ROWS]:
        yield f"   {gone.name}: blocks every candidate, since it has no value here ({gone.reason})"
    if len(blocked) > MOST_ROWS:
        yield f"   and {len(blocked) - MOST_ROWS} more without a value"
    if not rows and not blocked:
        yield f"   {rule.metric}: {NO_SIZES}"
        return
    for row in rows[:MOST_ROWS]:
        yield f"   {_numbers(row)}"
    if len(rows) > MOST_ROWS:
        yield f"   and {len(rows) - MOST_ROWS} more, each at least as likely to pass"
    likely, _, _ = found.together(rule.name)
    if len(rows) > 1 and not blocked:
        yield f"   All {len(rows)}: {_percent(likely)} if independent of each other"
    if blocked:
        yield "   WARNING: on these images this rule cannot pass."
    elif likely < LIKELY:
        yield f"   WARNING: below {_percent(LIKELY)}. Even where nothing changed, this rule mostly ends in `review`: a person decides."


def _asks(rule: Rule) -> str:
    """What a rule asks, in words."""
    if not rule.weighs:
        held = "at least" if rule.kind == "floor" else "at most"
        return f"{rule.kind}. The candidate's own {rule.metric} is {held} {rule.limit:g}; nothing is inferred: met passes, else it blocks."
    assert rule.level is not None
    thing = f"{rule.level:g} interval of the change of {rule.metric}"
    if rule.each:
        thing = f"interval of every {rule.each} in the {rule.level:g} band of {rule.metric}"
    if rule.kind == "equivalence":
        inside, outside = f"lies between -{rule.margin:g} and +{rule.margin:g}", "beyond one of them"
    elif rule.forms()[0].harm == "lower":
        inside, outside = f"stays above -{rule.margin:g} (a rise is no fault)", "below it"
    else:
        inside, outside = f"stays below +{rule.margin:g} (a fall is no fault)", "above it"
    return (
        f"{rule.kind}. Passes if the {thing} {inside}; blocks if {'any' if rule.each else 'it'} lies wholly {outside}; else a person looks."
    )


def _numbers(row: Prospect) -> str:
    """One metric's numbers: how wide the interval is, how likely a pass, and what it would take."""
    subject = row.subject
    parts = f" ({subject.parts} {'classes' if subject.each == 'class' else 'groups'})" if subject.each else ""
    most = f" (at most -+{row.most_width:.2g}, if every prompt gave one list)" if row.most_width is not None else ""
    needs = "no size up to a million times" if row.needed is None else f"{row.needed:,} {subject.unit}"
    width = f"{'widest ' if subject.each else ''}interval -+{row.half_width:.2g}{most}"
    return (
        f"{subject.name}{parts}: {width}, passes with {_percent(row.probability)}; {_percent(WANTED)} takes {needs} (here {subject.size:,})"
    )


def _percent(share: float) -> str:
    """A probability in words that never claims certainty."""
    if share > 0.9995:
        return "over 99.9 %"
    return "under 0.1 %" if share < 0.0005 else f"{100 * share:.3g} %"


def _together(policy: Policy, found: Prospects) -> Iterator[str]:
    if not found.rows and not found.blocked:
        return
    likely, least, most = found.together()
    yield (
        f"All rules together: pass with {_percent(likely)} if independent of each other, which metrics of the same images are not; between "
        f"{_percent(least)} and {_percent(most)} whatever their dependence."
    )
    held = [rule.name for rule in policy.rules if not rule.weighs]
    if held:
        yield f"Floors and ceilings are not in it: {', '.join(held)}. They depend on the model, not on chance."
    if found.unknown:
        yield f"Nor are rules whose sizes are not known: {', '.join(found.unknown)}."
    if found.blocked:
        yield "WARNING: what has no value on these images blocks every candidate: take it out of the policy, or measure it on more images."
    elif likely < LIKELY:
        yield f"WARNING: below {_percent(LIKELY)}. Even where nothing changed, this policy mostly ends in `review`: a person decides."
    else:
        yield "That is the probability of `pass`, not of an approval: a person signs every one."
