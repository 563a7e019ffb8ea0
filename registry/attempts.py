"""How often it has been tried: candidates of a model beside one baseline, and how many of them were judged under one policy.

Each further try is another chance to pass by luck, so the number stands beside every verdict. It is a count of what runs still show: a
deleted run is not counted.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from registry.cards import VersionCard
from registry.policy import Policy
from registry.runs import runs_of_kind


@dataclass(frozen=True)
class Attempts:
    """Candidates of one model beside one baseline version, counted by distinct weights.

    Attributes
    ----------
    evaluated : with a finished evaluation. alike : those of them in the candidate's own precision.
    judged : those on which the gate's verdict under this policy was recorded. The candidate itself counts in each, if it is there.
    """

    model: str
    baseline_version: str
    quantizer: str
    evaluated: int
    alike: int
    judged: int


def attempts_of(card: VersionCard, policy: Policy) -> Attempts:
    """The attempts that a candidate is one of, as the runs of all active experiments show them.

    A version that is gone from the registry still counts if it was evaluated; baselines do not.

    Parameters
    ----------
    card : the candidate's version. policy : its digest tells which verdicts count.
    """
    evaluated: dict[str, str] = {}
    weights_of: dict[str, str] = {}
    elsewhere = {""}
    for run in runs_of_kind("evaluation"):
        tags = run.data.tags
        weights, version, baseline = (tags.get(f"qbias.{name}", "") for name in ("weights_sha256", "version", "baseline_version"))
        if tags.get("qbias.model") != card.name or version == baseline:
            continue
        weights_of[version] = weights
        if baseline == card.baseline_version:
            evaluated[weights] = tags.get("qbias.quantizer", "")
        else:
            elsewhere.add(weights)
    judged = set(_judged(card.name, policy.digest(), weights_of)) - (elsewhere - evaluated.keys())
    alike = sum(quantizer == card.quantizer for quantizer in evaluated.values())
    return Attempts(card.name, card.baseline_version, card.quantizer, len(evaluated), alike, len(judged))


def _judged(model: str, policy_digest: str, weights_of: Mapping[str, str]) -> Iterator[str]:
    """Weights of a model whose verdict under a policy someone decided on (kind `review`) or was shown (kind `gate`).

    A decision names the weights in its parameters. A run that only shows the verdict names the version, in tags.
    """
    for run in runs_of_kind("review", finished=False):
        params = run.data.params
        if (params.get("review.model"), params.get("review.policy_digest")) == (model, policy_digest):
            yield params.get("review.weights_sha256", "")
    for run in runs_of_kind("gate", finished=False):
        tags = run.data.tags
        if (tags.get("qbias.model"), tags.get("qbias.policy_digest")) == (model, policy_digest):
            yield weights_of.get(tags.get("qbias.version", ""), "")


def luck(policy: Policy) -> float | None:
    """Largest probability with which a candidate that truly changed by a whole margin passes; None where no rule weighs a change.

    A rule's interval has one end on the side of the change, which misses the truth in (1 - level) / 2 of cases.

    Examples
    --------
    >>> from registry.policy import load_policy, policy_from
    >>> rules = [{"name": "a", "kind": "equivalence", "metric": "imagenet/accuracy_at_1", "margin": 0.01, "level": 0.9, "why": "x"}]
    >>> round(luck(load_policy().model_copy(update={"rules": policy_from({**load_policy().model_dump(), "rules": rules}).rules})), 3)
    0.05
    """
    chances = [(1 - rule.level) / 2 for rule in policy.rules if rule.level is not None]
    return max(chances, default=None)


def attempts_text(attempts: Attempts, policy: Policy) -> str:
    """The count in words, and what repeated tries mean."""
    beside = f"beside baseline version {attempts.baseline_version}"
    count = (
        f"Attempts: {_candidates(attempts.evaluated)} of {attempts.model} evaluated {beside} (distinct weights), {attempts.alike} in "
        f"{attempts.quantizer}; {attempts.judged} judged under policy {policy.name} ({policy.digest()[:12]})."
    )
    chance, tries = luck(policy), max(attempts.evaluated, attempts.judged)
    if chance is None or tries < 2:
        return count
    one, some = (f"{100 * share:.3g} %" for share in (chance, min(1.0, tries * chance)))
    return (
        f"{count}\nA candidate that truly changed by a whole margin passes by luck in at most {one} of cases; of {tries} such candidates, "
        f"at least one does with a probability of up to {some}. So tries count against the one that passes: decide on a candidate before "
        "its evaluation, or measure it again on other images."
    )


def _candidates(number: int) -> str:
    return f"{number} candidate" + ("" if number == 1 else "s")
