"""What the records say about an alias: every promotion and rollback of it, and where it should stand."""

from collections.abc import Sequence
from dataclasses import dataclass

from registry.chain import Record
from registry.record_facts import NONE, said

KINDS = ("promotion", "rollback")


@dataclass(frozen=True)
class PromotionRecord:
    """What a promotion or rollback did.

    Attributes
    ----------
    run_id : the run that records it. model, version : which candidate. production, alias : where it was promoted to.
    from_version : where the alias pointed before ("" if it did not exist). to_version : where it points now.
    review_runs : the approvals it rests on. evidence_digest : what was approved. override : whether they overrode the gate.
    recorded : False when the very same promotion is already on record, so that nothing was done.
    notes : what could not be shown on MLflow's pages for lack of rights.
    """

    run_id: str
    model: str
    version: str
    production: str
    alias: str
    from_version: str
    to_version: str
    review_runs: tuple[str, ...]
    evidence_digest: str
    override: bool
    recorded: bool
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, record: Record, *, recorded: bool, notes: tuple[str, ...] = ()) -> "PromotionRecord":
        """A record of a promotion or rollback as its verb tells it."""
        facts = record.facts
        return cls(
            run_id=record.run_id,
            model=record.model,
            version=facts["version"],
            production=facts["production"],
            alias=facts["alias"],
            from_version=said(facts, "from_version") if recorded else facts["to_version"],
            to_version=facts["to_version"],
            review_runs=tuple(facts["review_runs"].split(",")),
            evidence_digest=facts["evidence_digest"],
            override=facts["override"] == "true",
            recorded=recorded,
            notes=notes,
        )

    def __str__(self) -> str:
        """What happened, in one sentence."""
        name = f"alias {self.alias!r} of {self.production}"
        origin = "" if self.production == self.model else f" ({self.model} version {self.version})"
        red = "OVERRIDE of a gate that blocks: " if self.override else ""
        if not self.recorded:
            return f"{red}nothing to do: {name} already points to version {self.to_version}{origin} with this approval"
        if self.from_version == self.to_version:
            return f"{red}{name} already pointed to version {self.to_version}{origin}; the approval it rests on is now on record"
        before = f"from version {self.from_version} " if self.from_version else ""
        return f"{red}{name} moved {before}to version {self.to_version}{origin}"


@dataclass(frozen=True)
class Move:
    """Where an alias goes: of which production model, from which version ("" for none), to which."""

    production: str
    alias: str
    from_version: str
    to_version: str

    def facts(self, model: str) -> dict[str, str]:
        """As a record says it; `model` is the candidates'."""
        same = "same: whoever may register versions of this model may also move its aliases"
        return {
            "production": self.production,
            "production_mode": same if self.production == model else "prod",
            "alias": self.alias,
            "from_version": self.from_version or NONE,
            "to_version": self.to_version,
        }


def moves_of(records: Sequence[Record], production: str, alias: str) -> list[Record]:
    """The records that moved an alias of a production model, oldest first, finished or not; altered ones count for nothing."""
    own = [record for record in records if record.kind in KINDS and not record.faults]
    return [record for record in own if (record.facts.get("production"), record.facts.get("alias")) == (production, alias)]


def last_finished(moves: Sequence[Record]) -> Record | None:
    """The newest move that was completed; None where there is none."""
    return next((record for record in reversed(moves) if record.finished), None)


def target(record: Record) -> str:
    """The production version that a record moved the alias to."""
    return record.facts.get("to_version", "")


def version_before(moves: Sequence[Record], now: str) -> Record | None:
    """The move to which a rollback returns; None where there is no version before.

    That is the newest completed move to another version before the promotion of the one that the alias points to. A rollback that
    broke off is taken up again; an alias that other hands moved returns to where the records have it.

    Parameters
    ----------
    moves : of one alias, oldest first. now : the version that the alias points to, "" for none.
    """
    if moves and moves[-1].kind == "rollback" and not moves[-1].finished:
        return moves[-1]
    newest = last_finished(moves)
    if newest is None or target(newest) != now:
        return newest
    made = [place for place, record in enumerate(moves) if record.kind == "promotion" and record.finished and target(record) == now]
    earlier = moves[: made[-1]] if made else []
    return last_finished([record for record in earlier if target(record) != now])
