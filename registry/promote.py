"""The only place that moves an alias: evidence and approval are checked at that moment, and a run records it."""

import re
import time
from dataclasses import dataclass

import mlflow
from mlflow import MlflowClient

from registry.approval import approval
from registry.cards import VersionCard, version_card
from registry.commands import evaluate_command
from registry.evidence import Evidence, Missing, evidence_of
from registry.gate import gate
from registry.policy import Policy
from registry.review import active_run, refuse_baseline
from registry.runs import runs_of_kind

RESERVED = re.compile(r"latest|v\d+", re.IGNORECASE)


@dataclass(frozen=True)
class PromotionRecord:
    """What a promotion did.

    Attributes
    ----------
    run_id : the run that records it. model, alias : what was promoted to what.
    from_version : where the alias pointed before ("" if it did not exist). to_version : where it points now.
    review_run : the newest approval it rests on. evidence_digest : what was approved.
    recorded : False when the very same promotion is already on record, so that nothing was done.
    """

    run_id: str
    model: str
    alias: str
    from_version: str
    to_version: str
    review_run: str
    evidence_digest: str
    recorded: bool

    def __str__(self) -> str:
        """What happened, in one sentence."""
        name = f"alias {self.alias!r} of {self.model}"
        if not self.recorded:
            return f"nothing to do: {name} already points to version {self.to_version} with this approval"
        if self.from_version == self.to_version:
            return f"{name} already pointed to version {self.to_version}; the approval it rests on is now on record"
        before = f"from version {self.from_version} " if self.from_version else ""
        return f"{name} moved {before}to version {self.to_version}"


def promote(card: VersionCard, *, alias: str = "champion", policy: Policy) -> PromotionRecord:
    """Move an alias to a version whose evidence was approved as it is now; the active run becomes the record.

    Nothing is taken from the caller's knowledge: version, evidence and reviews are read again. The record is written
    before the alias moves and counts once its run has finished, so a promotion that breaks off leaves a FAILED run and
    never an unrecorded move.

    Parameters
    ----------
    card : the version to promote.
    alias : the alias to move; it is created where it does not exist.
    policy : what evidence and approval are held to.

    Returns
    -------
    What was done; `recorded` is False when the same promotion is already on record and the alias still points there.

    Raises
    ------
    ValueError
        If the alias cannot be one, the version is a baseline, or evidence or approval is missing, changed or expired:
        the message lists everything that is missing with the command that supplies it.
    RuntimeError
        If the alias was moved elsewhere at the same moment.
    """
    check_alias(alias)
    refuse_baseline(card)
    run_id = active_run("promote").info.run_id
    current = version_card(f"models:/{card.name}/{card.version}")
    evidence = evidence_of(current, policy)
    approved, lacking = approval(current, evidence, policy, now_ms=int(time.time() * 1000))
    faults = [*_evidence_faults(evidence, policy), *lacking]
    if faults or approved is None:
        raise ValueError(_refusal(current, alias, faults))
    before = alias_target(current.name, alias)
    record = PromotionRecord(run_id, current.name, alias, before, current.version, approved.run_id, evidence.digest, recorded=True)
    if before == current.version and (earlier := _same_promotion(record)):
        mlflow.set_tags({"qbias.promotion": "unchanged", "qbias.promotion_run": earlier})
        return PromotionRecord(earlier, current.name, alias, before, current.version, approved.run_id, evidence.digest, recorded=False)
    _write(record, policy)
    _move(record)
    return record


def check_alias(alias: str) -> None:
    """Refuse what MLflow would not take as an alias, before anything is read.

    Raises
    ------
    ValueError
        If it has other characters than letters, digits, `_` and `-`, or is reserved (`latest`, `v` with a number).
    """
    if not re.fullmatch(r"[\w\-]+", alias):
        raise ValueError(f"alias {alias!r} is not valid: use letters, digits, '_' and '-', such as 'champion'")
    if RESERVED.fullmatch(alias):
        raise ValueError(f"alias {alias!r} is reserved by MLflow ('latest', and 'v' with a number): use a word such as 'champion'")


def alias_target(model: str, alias: str) -> str:
    """The version that an alias points to; "" where there is no such alias."""
    aliases = MlflowClient().get_registered_model(model).aliases
    return str(aliases.get(alias, ""))


def _evidence_faults(evidence: Evidence, policy: Policy) -> list[Missing]:
    """What the evidence lacks; what the gate alone noticed is mended by evaluating again."""
    result = gate(evidence, policy)
    if result.verdict != "block":
        return []
    known = [row for row in evidence.missing if row.what != "comparison" or policy.comparison.required]
    remedy = evaluate_command(evidence.card.name, evidence.card.version)
    return known or [Missing("evidence", reason, remedy) for reason in result.reasons("block")]


def _refusal(card: VersionCard, alias: str, faults: list[Missing]) -> str:
    """Everything that is missing, each with the command that supplies it."""
    rows = [f"- {row.reason}\n    {row.remedy}" for row in faults]
    return "\n".join([f"{card.name} version {card.version} cannot become {alias!r}:", *rows])


def _same_promotion(record: PromotionRecord) -> str | None:
    """The run of the newest finished promotion of this model and alias, if it was to this version by this approval."""
    wanted = (record.to_version, record.review_run, record.evidence_digest)
    for run in runs_of_kind("promotion"):
        params = run.data.params
        if (params.get("promotion.model"), params.get("promotion.alias")) == (record.model, record.alias):
            names = ("to_version", "review_run", "evidence_digest")
            same = tuple(params.get(f"promotion.{name}") for name in names) == wanted
            return str(run.info.run_id) if same else None
    return None


def _write(record: PromotionRecord, policy: Policy) -> None:
    mlflow.log_params(
        {
            "promotion.model": record.model,
            "promotion.alias": record.alias,
            "promotion.from_version": record.from_version or "none",
            "promotion.to_version": record.to_version,
            "promotion.review_run": record.review_run,
            "promotion.evidence_digest": record.evidence_digest,
            "promotion.policy_digest": policy.digest(),
        }
    )
    mlflow.set_tags({"qbias.model": record.model, "qbias.version": record.to_version, "qbias.kind": "promotion"})


def _move(record: PromotionRecord) -> None:
    """Set the alias and read it again: MLflow has no compare-and-set for aliases."""
    client = MlflowClient()
    client.set_registered_model_alias(record.model, record.alias, record.to_version)
    now = alias_target(record.model, record.alias)
    if now != record.to_version:
        raise RuntimeError(
            f"alias {record.alias!r} of {record.model} was set to version {record.to_version} and now points to "
            f"{now or 'nothing'}: someone else moved it at this moment. Look at this model's promotions, then try again"
        )
