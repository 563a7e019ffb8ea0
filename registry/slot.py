"""One record at a time: whoever writes the next record of a model's chain, or moves its alias, holds the slot of that place.

MLflow has no locks, and no compare-and-set for aliases. What it has is one atomic refusal: an experiment whose name exists, deleted
ones included, cannot be created again. So a slot is an experiment `qbias-slot/<model>/<sequence>/<attempt>`. Whoever creates it
holds it, and deletes it afterwards (softly: the name stays taken). A slot that was left behind is not touched, as nobody but its
owner may: the next one takes the next attempt number, and of two who try, one wins. Who was overtaken learns it from `Slot.check`.
"""

import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count

from mlflow import MlflowClient
from mlflow.entities import Experiment
from mlflow.exceptions import MlflowException

from qbias.digests import bytes_digest
from registry.chain import chain_head
from registry.process import alive, own_process

LEASE_S = 600.0
"""How long a slot is left to a holder of whom nothing is known, in seconds, if `QBIAS_LEASE_S` says nothing else."""
POLL_S = 0.2
LONGEST = 120
"""Characters of a model's name in a slot's: MLflow's database keeps 256 of an experiment's name."""
UNREADABLE = ("RESOURCE_DOES_NOT_EXIST", "PERMISSION_DENIED", "INVALID_PARAMETER_VALUE")
"""What MLflow answers about a run that does not exist or may not be read; anything else is an outage, which says nothing about it."""
SLOT_TAG = "qbias.slot"
"""Of a run: the slot that it holds or takes. Only who may write the run can set it, so nobody takes a slot in another's name."""


class Busy(RuntimeError):
    """Someone else is writing to this model's chain."""


@dataclass(frozen=True)
class Slot:
    """The right to write record `sequence` of a model's chain, and to move the alias that it is about.

    Attributes
    ----------
    model : the candidate's registered model. sequence : the new record's place. previous : digest of the one before, "" for none.
    name, experiment_id : the experiment that stands for the slot. attempt : 1, or more where earlier ones were given up.
    run_id : the run that holds it. nonce : what tells its experiment from another's. trusted : as given to `slot`.
    """

    model: str
    sequence: int
    previous: str
    name: str
    experiment_id: str
    attempt: int
    run_id: str
    nonce: str
    trusted: frozenset[str] | None = None

    def check(self) -> None:
        """Renew the lease, and make sure that nobody has taken over: call it right before the alias moves.

        Raises
        ------
        Busy
            If the slot was recovered by someone else, or is gone.
        """
        client = MlflowClient()
        own = client.get_experiment_by_name(self.name)
        if own is None or own.lifecycle_stage != "active" or own.tags.get("qbias.nonce") != self.nonce:
            raise Busy(f"the slot {self.name!r} of run {self.run_id} is gone: run the same command again")
        client.set_experiment_tag(self.experiment_id, "qbias.renewed_ms", str(_now_ms()))
        later = [*_slots(self.model, self.sequence, self.attempt + 1), *_slots(self.model, self.sequence + 1)]
        for other in later:
            # Older ones stood here before records were removed.
            if other.creation_time >= own.creation_time and _claimed(other, self.trusted):
                raise Busy(f"run {self.run_id} took too long, and another has taken over {self.model!r}: {_who(other)}. Run it again")


@contextmanager
def slot(model: str, run_id: str, *, trusted: frozenset[str] | None = None, wait_s: float = 0.0) -> Iterator[Slot]:
    """The next place in a model's chain, for the length of the block.

    Parameters
    ----------
    model : name of the candidate's registered model. run_id : the run that is to be the record; it must be running.
    trusted : ids of the experiments whose records count, as for `records_of`; only their runs can hold a slot.
    wait_s : how long to wait for another holder, in seconds.

    Raises
    ------
    Busy
        If someone else holds it: the message says who, and since when.
    ValueError
        If `QBIAS_LEASE_S` is not a number of seconds.
    """
    _lease_s()
    until = time.monotonic() + wait_s
    while True:
        try:
            held = _taken(model, run_id, trusted)
            break
        except Busy:
            if time.monotonic() >= until:
                raise
        time.sleep(POLL_S)
    try:
        yield held
    finally:
        _leave(held.experiment_id)


def slot_name(model: str, sequence: int, attempt: int) -> str:
    """The experiment's name. Of a long model name the middle gives way to its digest."""
    short = model if len(model) <= LONGEST else f"{model[: LONGEST - 33]}-{bytes_digest(model.encode())[:32]}"
    return f"qbias-slot/{short}/{sequence}/{attempt}"


def _taken(model: str, run_id: str, trusted: frozenset[str] | None) -> Slot:
    """The free slot after the newest record, if nobody holds that one or the newest record's own."""
    length, previous = chain_head(model, trusted=trusted)
    # Who has written the newest record may still be about to move the alias.
    earlier = [*_slots(model, length)] if length else []
    tried = [*_slots(model, length + 1)]
    for other in (*earlier, *tried):
        if _held(other, trusted):
            raise Busy(_busy(model, other))
    attempt, nonce = len(tried) + 1, uuid.uuid4().hex
    name = slot_name(model, length + 1, attempt)
    experiment_id = _created(model, name, run_id, nonce)
    if chain_head(model, trusted=trusted) != (length, previous):
        _leave(experiment_id)
        raise Busy(f"another record of {model!r} was written at this moment: run the same command again")
    for other in (*earlier, *tried):
        # Ours or not: who may, takes away what was left behind.
        if other.lifecycle_stage == "active":
            _leave(other.experiment_id)
    return Slot(model, length + 1, previous, name, experiment_id, attempt, run_id, nonce, trusted)


def _created(model: str, name: str, run_id: str, nonce: str) -> str:
    """The id of a new experiment that stands for the slot.

    Raises
    ------
    Busy
        If another was faster.
    """
    client = MlflowClient()
    client.set_tag(run_id, SLOT_TAG, name)
    tags = {"qbias.run_id": run_id, "qbias.model": model, "qbias.nonce": nonce, **own_process()}
    try:
        return str(client.create_experiment(name, tags=tags))
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
        other = client.get_experiment_by_name(name)
        # A request that was repeated after its answer was lost finds what it made itself.
        if other is not None and other.tags.get("qbias.nonce") == nonce:
            return str(other.experiment_id)
        raise Busy(_busy(model, other)) from error


def _leave(experiment_id: str) -> None:
    """Delete a slot's experiment, softly. What cannot be deleted is recovered by its run's end."""
    with suppress(MlflowException):
        MlflowClient().delete_experiment(experiment_id)


def _slots(model: str, sequence: int, first: int = 1) -> Iterator[Experiment]:
    """The slots of a place that were ever taken, from attempt `first` on."""
    client = MlflowClient()
    for attempt in count(first):
        found = client.get_experiment_by_name(slot_name(model, sequence, attempt))
        if found is None:
            return
        yield found


def _held(other: Experiment, trusted: frozenset[str] | None) -> bool:
    """Whether somebody is at work in this slot: it is active, its run claims it and has not ended, and it is not stale."""
    if other.lifecycle_stage != "active" or _age_s(other) > _lease_s() or alive(other.tags) is False:
        return False
    return _claimed(other, trusted, running=True)


def _claimed(other: Experiment, trusted: frozenset[str] | None, *, running: bool = False) -> bool:
    """Whether the run that a slot names says so itself; anyone can create an experiment that names any run."""
    try:
        run = MlflowClient().get_run(other.tags.get("qbias.run_id", ""))
    except MlflowException as error:
        if error.error_code not in UNREADABLE:
            raise
        # A run that we cannot read may be at work; among trusted experiments, all of which can be read, it is not.
        return trusted is None
    if trusted is not None and run.info.experiment_id not in trusted:
        return False
    ended = run.info.status not in ("RUNNING", "SCHEDULED") or run.info.lifecycle_stage != "active"
    return run.data.tags.get(SLOT_TAG) == other.name and not (running and ended)


def _age_s(other: Experiment) -> float:
    """Seconds since it was taken or its lease was renewed, by this machine's clock."""
    renewed = other.tags.get("qbias.renewed_ms", "")
    return (_now_ms() - max(other.creation_time or 0, int(renewed) if renewed.isdigit() else 0)) / 1000


def _lease_s() -> float:
    said = os.environ.get("QBIAS_LEASE_S", "")
    try:
        seconds = float(said or LEASE_S)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < float("inf"):
        raise ValueError(f"QBIAS_LEASE_S={said!r} is not a number of seconds: give one above 0, such as 600")
    return seconds


def _busy(model: str, other: Experiment | None) -> str:
    return (
        f"another command is writing to the records of {model!r}: {_who(other)}. Wait until it has ended and try again; what is "
        f"left behind counts as given up once its run or its process has ended, or after {_lease_s():.0f} s"
    )


def _who(other: Experiment | None) -> str:
    """Run, machine and time of a slot's holder, as they stand on its experiment."""
    if other is None:
        return "an experiment that cannot be read"
    since = datetime.fromtimestamp((other.creation_time or 0) / 1000, tz=UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    tags = other.tags
    return f"run {tags.get('qbias.run_id', '?')} on {tags.get('qbias.host', '?')} (process {tags.get('qbias.pid', '?')}) since {since}"


def _now_ms() -> int:
    return int(time.time() * 1000)
