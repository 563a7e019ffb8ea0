"""What an audit holds against the records of one candidates' model: the chain itself, and each alias of its production model."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from mlflow import MlflowClient, MlflowException

from registry.anchor import Anchor, of_model
from registry.approval import approval, overrides
from registry.cards import VersionCard, copied_from, version_card, versions_of
from registry.chain import Record, chain_faults, records_of
from registry.evidence import Evidence, evidence_of
from registry.gate import gate
from registry.identity import record_fault
from registry.moves import KINDS, last_finished, moves_of, target
from registry.policy import Policy
from registry.production import Pin, pin_for, pinned_policy, policy_in, trusted_experiments
from registry.record_facts import EVIDENCE_FILE, runs_in, said
from registry.review import shown_tags
from registry.runs import artifact
from registry.weights import files_of

AGAIN = "run the same command again, it completes it"
COPIED_TAGS = ("quantizer", "baseline_version", "weights_sha256", "content", "source", "size", "registered_by")


@dataclass(frozen=True)
class Chain:
    """The records of one candidates' model, and all that speaks against them as a whole.

    Attributes
    ----------
    name : the candidates' model. pin, policy : what stands on its production model (None where there is none, or it cannot be read).
    records : oldest first. faults : in words. anchored : whether an anchor file holds the newest record.
    signed : whether every record is signed with a key that its policy lists.
    """

    name: str
    pin: Pin | None
    policy: Policy | None
    records: tuple[Record, ...]
    faults: tuple[str, ...]
    anchored: bool
    signed: bool

    def moved(self) -> list[tuple[str, str]]:
        """Every production model and alias that a record moved, once each."""
        own = [row.facts for row in self.records if row.kind in KINDS and not row.faults and _says_what_moved(row.facts)]
        return list(dict.fromkeys((facts["production"], facts["alias"]) for facts in own))


def chain_of(name: str, anchors: Sequence[Anchor], wanted: Policy | None) -> Chain:
    """The records of a candidates' model, held against themselves, the production model and an anchor file.

    Parameters
    ----------
    name : the candidates' model. anchors : of an anchor file, for any model. wanted : the policy that must rule, or None.
    """
    pin, own = pin_for(name), of_model(anchors, name)
    faults: list[str] = []
    policy = None
    if pin:
        try:
            policy = pinned_policy(pin)
        except ValueError as error:
            faults.append(str(error))
    records = records_of(name, trusted=trusted_experiments(policy, pin) if policy else None)
    faults += chain_faults(records, anchors=own, pinned=(pin.length, pin.digest) if pin else None)
    faults += [*_end_faults(records), *_move_faults(records), *_pin_faults(name, pin, policy, records, wanted)]
    head = (records[-1].sequence, records[-1].digest) if records else (0, "")
    anchored = any((row.length, row.digest) == head for row in own)
    return Chain(name, pin, policy, tuple(records), tuple(faults), anchored, all(_signed(record) for record in records))


def _end_faults(records: Sequence[Record]) -> Iterator[str]:
    """Records whose run had completed when a later one was written and now says that it has not; and a newest one that broke off."""
    for place, record in enumerate(records):
        allowed = said(record.facts, "unfinished").split(",")
        for earlier in records[:place]:
            if not earlier.finished and earlier.run_id not in allowed and not record.faults:
                yield f"record {earlier.sequence} (run {earlier.run_id}) was complete when record {record.sequence} was written, now not"
    if records and not records[-1].finished:
        newest = records[-1]
        yield f"the newest record, {newest.kind} {newest.sequence} (run {newest.run_id}), broke off: {AGAIN}"


def _says_what_moved(facts: Mapping[str, str]) -> bool:
    """Not so where no verb wrote it: whoever may write runs can seal anything, and none of it may stop the audit."""
    return {"production", "alias", "to_version"} <= facts.keys()


def _move_faults(records: Sequence[Record]) -> Iterator[str]:
    for record in records:
        if record.kind in KINDS and not _says_what_moved(record.facts):
            yield f"record {record.sequence} (run {record.run_id}) is a {record.kind} that does not say what it moved"


def _pin_faults(name: str, pin: Pin | None, policy: Policy | None, records: Sequence[Record], wanted: Policy | None) -> Iterator[str]:
    """What stands on the production model, beside the records of what was put there."""
    last = last_finished([record for record in records if record.kind in KINDS])
    if last and pin is None:
        yield f"{last.facts.get('production')!r} no longer says which policy rules and how far the records of {name!r} went"
    if pin is None:
        return
    if last and pin.production != last.facts.get("production"):
        yield f"policy and head stand on {pin.production!r}, and record {last.sequence} moved an alias of {last.facts.get('production')!r}"
    if last and pin.length < last.sequence:
        yield f"the head on {pin.production!r} (length {pin.length}) is older than record {last.sequence}, which moved an alias there"
    if last and last.facts.get("policy_next") != pin.policy_digest:
        left = last.facts.get("policy_next", "")[:12]
        yield f"{pin.production!r} names policy {pin.policy_digest[:12]!r}, and record {last.sequence} left {left!r} there"
    if policy and policy.name != pin.policy:
        yield f"{pin.production!r} calls its policy {pin.policy!r}, and the policy with that digest is {policy.name!r}"
    if unknown := pin.experiments - {record.experiment_id for record in records}:
        yield f"{pin.production!r} lists experiments from before its policy in which no record is: {', '.join(sorted(unknown))}"
    if wanted and wanted.digest() != pin.policy_digest:
        yield f"{pin.production!r} names policy {pin.policy!r} ({pin.policy_digest[:12]}), not {wanted.name!r} ({wanted.digest()[:12]})"


def _signed(record: Record) -> bool:
    policy = policy_in(record, record.facts.get("policy_digest", ""))
    keys = [entry.key for entry in policy.people(record.kind)] if policy else []  # type: ignore[arg-type]
    return record.signed_by_key and any(keys) and policy is not None and not record_fault(record, policy)


def alias_faults(chain: Chain, production: str, alias: str, version: str, *, now_ms: int) -> tuple[list[str], list[str]]:
    """What speaks against an alias as it stands, and what is to be shown beside it.

    Parameters
    ----------
    chain : the records. production, alias, version : where it stands. now_ms : the moment of asking, in milliseconds since 1970.

    Returns
    -------
    Faults and notes, in words.
    """
    moves = moves_of(chain.records, production, alias)
    last = last_finished(moves)
    if last is None:
        return ["no completed promotion of it is on record: other hands set it"], []
    faults = []
    if moves[-1] is not last:
        faults.append(f"the {moves[-1].kind} of record {moves[-1].sequence} (run {moves[-1].run_id}) broke off: {AGAIN}")
    if target(last) != version:
        there = f"points to version {version}" if version else "is gone"
        return [*faults, f"it {there}, and record {last.sequence} (run {last.run_id}) put it at {target(last)}: other hands moved it"], []
    policy = policy_in(last, last.facts.get("policy_digest", ""))
    if policy is None:
        return [*faults, f"record {last.sequence} holds no policy with the digest that it names"], []
    card = version_card(f"models:/{chain.name}/{last.facts['version']}")
    evidence = evidence_of(card, policy, runs=runs_in(last.facts))
    faults += [
        *_version_faults(chain, last, card, production, version),
        *_policy_faults(chain, last),
        *_evidence_faults(last, evidence),
        *_people_faults(chain, last, policy),
    ]
    verdict = gate(evidence, policy).verdict
    if verdict != last.facts["gate"]:
        faults.append(f"the gate says {verdict!r}, record {last.sequence} says {last.facts['gate']!r}")
    faults += [row.reason for row in approval(card, evidence, policy, chain.records, verdict=verdict, now_ms=now_ms).missing]
    notes = [f"{last.kind} {last.sequence} by {last.facts['promoter']} ({last.facts['identity']})"]
    notes += ["🟥 OVERRIDE of a gate that blocks"] if last.facts["override"] == "true" else []
    return faults, notes + [f"warning on record: {text}" for text in [said(last.facts, "warning")] if text]


def _version_faults(chain: Chain, last: Record, card: VersionCard, production: str, version: str) -> Iterator[str]:
    """The version in production: a copy of what was approved, with its files and tags."""
    entity = MlflowClient().get_model_version(production, version)
    if production != chain.name and copied_from(entity) != (chain.name, card.version):
        yield f"version {version} is a copy of {entity.source}, not of {card.uri}"
    if entity.status != "READY":
        yield f"version {version} is {entity.status}"
    try:
        files = files_of(production, version)
        if files.weights_sha256 != last.facts["weights_sha256"]:
            yield f"the weights of version {version} are not those that were approved: their sha256 is another"
        elif files.files_sha256 != last.facts["files_sha256"]:
            yield f"the files of version {version} are not those that were approved: code, tokenizer or settings have changed"
    except ValueError as error:
        yield str(error)
    origin = MlflowClient().get_model_version(card.name, card.version)
    for name in COPIED_TAGS:
        tag = f"qbias.{name}"
        if entity.tags.get(tag) != origin.tags.get(tag):
            yield f"tag {tag} of version {version} is {entity.tags.get(tag)!r}, that of {card.uri} is {origin.tags.get(tag)!r}"
    same = production == chain.name
    own = [record for record in chain.records if record.facts.get("version") == card.version and (same or record.kind in KINDS)]
    yield from tag_faults(f"version {version}", entity.tags, own[-1:], required=True)


def tag_faults(where: str, tags: Mapping[str, str], records: Sequence[Record], *, required: bool = False) -> Iterator[str]:
    """Display tags that no record of the version says.

    Parameters
    ----------
    where : for the message. tags : the version's. records : about the version, the newest last.
    required : whether the tags have to be there; whoever wrote a review may have had no right to set them.
    """
    told = [shown_tags(record) for record in records]
    for name in ("gate", "review", "report_run"):
        value = tags.get(f"qbias.{name}")
        known = {row[name] for row in told}
        if value not in known and (value is not None or (required and known)):
            yield f"tag qbias.{name} of {where} is {value!r}, the records say {', '.join(sorted(map(repr, known))) or 'nothing'}"


def _policy_faults(chain: Chain, last: Record) -> Iterator[str]:
    if chain.pin and last.facts["policy_digest"] != chain.pin.policy_digest:
        yield (
            f"it was promoted under policy {last.facts['policy']!r} ({last.facts['policy_digest'][:12]}), and {chain.pin.policy!r} "
            f"({chain.pin.policy_digest[:12]}) rules now: review and promote it again"
        )


def _evidence_faults(last: Record, evidence: Evidence) -> Iterator[str]:
    """Where the evidence is not what the record was about; its parts say what changed."""
    yield from (row.reason for row in evidence.missing if last.facts["override"] != "true")
    if evidence.digest == last.facts["evidence_digest"]:
        return
    try:
        with artifact(MlflowClient().get_run(last.run_id), EVIDENCE_FILE) as file:
            told = dict(json.loads(file.read_bytes()))
    except (MlflowException, OSError, ValueError, TypeError, RecursionError):
        told = {}
    odd = [part for part in sorted({*told, *evidence.facts}) if told.get(part) != evidence.facts.get(part)]
    yield f"the evidence is not what was approved; what differs: {', '.join(odd) or 'cannot be said'}"


def _people_faults(chain: Chain, last: Record, policy: Policy) -> Iterator[str]:
    """Who moved it, and the approvals that the move says it rests on."""
    if fault := record_fault(last, policy):
        yield f"record {last.sequence} (run {last.run_id}): {fault}"
    by_run = {record.run_id: record for record in chain.records if record.sequence < last.sequence}
    used = [by_run.get(run_id) for run_id in last.facts["review_runs"].split(",")]
    held = [record for record in used if record and record.kind == "review" and not record.faults]
    wanted = {"decision": "approve", "version": last.facts["version"]}
    if len(held) < len(used) or any(record.facts.get(name) != value for record in held for name, value in wanted.items()):
        yield f"an approval that record {last.sequence} rests on is gone, altered, or about something else"
    if (last.facts["override"] == "true") != any(map(overrides, held)):
        yield f"record {last.sequence} says override={last.facts['override']}, its approvals say otherwise"


def shown_faults(name: str, records: Sequence[Record]) -> Iterator[str]:
    """Versions of a candidates' model whose tags claim a verdict or decision that no record gives."""
    for version in versions_of(name):
        number = str(version.version)
        own = [record for record in records if record.facts.get("version") == number]
        if not copied_from(version):
            yield from tag_faults(f"version {number}", version.tags, own)
