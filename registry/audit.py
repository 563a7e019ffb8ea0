"""The audit of the records: whether they are whole, and every alias stands where they put it, by a valid approval of what is there.

It reads everything anew and writes nothing but its own run. What cannot be checked counts as off.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from qbias.tables import pick, split_names
from registry import anchor as anchors
from registry.audited import Chain, alias_faults, chain_of, shown_faults
from registry.cards import copied_from, is_ours, registered_models, versions_of
from registry.contents import KINDS
from registry.policy import Policy
from registry.production import pin_of
from registry.runs import runs_of_kind

UNHELD = "consistent, not tamper-proof: without an anchor file and signatures, whoever can write everything could have rebuilt every record"


@dataclass(frozen=True)
class AuditRow:
    """One alias, or the records of one model (`alias` is then empty). faults : what is off. notes : what is to be known beside it."""

    model: str
    alias: str
    version: str
    faults: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing is off."""
        return not self.faults


@dataclass(frozen=True)
class AuditResult:
    """All rows, and in one sentence what they are worth. at : when, in UTC."""

    rows: tuple[AuditRow, ...]
    statement: str
    at: str

    @property
    def off(self) -> int:
        """How many rows are not as they should be."""
        return sum(not row.ok for row in self.rows)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for audit.json."""
        rows = [asdict(row) | {"ok": row.ok} for row in self.rows]
        return {"at": self.at, "ok": not self.off, "off": self.off, "statement": self.statement, "rows": rows}

    def text(self) -> str:
        """The table for a terminal: a line per row, with what is off or to be known below it."""
        heads = ("", "model", "alias", "version")
        lines = [("ok" if row.ok else "OFF", row.model, row.alias or "(records)", row.version or "-") for row in self.rows]
        widths = [max(map(len, column)) for column in zip(heads, *lines, strict=True)]
        told = ["  ".join(word.ljust(width) for word, width in zip(heads, widths, strict=True)).rstrip()]
        for row, line in zip(self.rows, lines, strict=True):
            told.append("  ".join(word.ljust(width) for word, width in zip(line, widths, strict=True)).rstrip())
            told += [f"      !! {fault}" for fault in row.faults] + [f"      {note}" for note in row.notes]
        return "\n".join([*told, "", self.statement])


def audit(models: str = "all", *, policy: Policy | None = None, anchor: Path | None = None) -> AuditResult:
    """Check every alias and every chain of records.

    Parameters
    ----------
    models : comma-separated registered models (candidates' or production), or `all`.
    policy : the one that must rule everywhere; None: whatever the production models name.
    anchor : a file with heads of the chains, kept where whoever can write the store cannot.

    Raises
    ------
    ValueError
        If a model is unknown, or the anchor file is missing or contradicts itself.
    """
    known = anchors.read(anchor) if anchor else []
    registered = {model.name: dict(model.aliases) for model in registered_models()}
    names = sorted({*registered, *_recorded(), *(row.model for row in known), *_served(registered)})
    chains = [chain for chain in (chain_of(name, known, policy) for name in names) if chain.records or chain.pin or _of(known, chain)]
    rows = [*_chain_rows(chains), *_alias_rows(registered, chains)]
    wanted = None if models == "all" else {pick(dict(zip(names, names, strict=True)), name, what="model") for name in split_names(models)}
    serves = {chain.pin.production: chain.name for chain in chains if chain.pin}
    if wanted is not None:
        wanted |= {serves.get(name, name) for name in wanted} | {production for production, name in serves.items() if name in wanted}
        rows = [row for row in rows if row.model in wanted]
        chains = [chain for chain in chains if chain.name in wanted]
    at = datetime.now(tz=UTC).isoformat(timespec="seconds")
    return AuditResult(tuple(rows), _statement(rows, chains), at)


def _of(known: Sequence[anchors.Anchor], chain: Chain) -> bool:
    return bool(anchors.of_model(known, chain.name))


def _recorded() -> Iterator[str]:
    """Models of which there are records, whether they are still registered or not."""
    for kind in KINDS:
        for run in runs_of_kind(kind, finished=False):
            if model := run.data.params.get(f"{kind}.model"):
                yield model


def _served(names: Sequence[str] | dict[str, Any]) -> Iterator[str]:
    for name in names:
        if pin := pin_of(name):
            yield pin.candidate


def _chain_rows(chains: Sequence[Chain]) -> Iterator[AuditRow]:
    for chain in chains:
        head = f"{len(chain.records)} records, head {chain.records[-1].digest[:12]}" if chain.records else "no records"
        held = [text for text, is_so in (("anchored", chain.anchored), ("signed", chain.signed and chain.records)) if is_so]
        rules = f"policy {chain.pin.policy} ({chain.pin.policy_digest[:12]})" if chain.pin else "no policy is pinned yet"
        yield AuditRow(chain.name, "", "", chain.faults, (", ".join([head, *held, rules]),))


def _alias_rows(registered: dict[str, dict[str, Any]], chains: Sequence[Chain]) -> Iterator[AuditRow]:
    """A row for each alias that stands, or that the records say should; one for each model of ours without any."""
    serving: dict[str, Chain] = {}
    for chain in chains:
        serving |= {production: chain for production, _ in chain.moved()}
        serving |= {chain.pin.production: chain} if chain.pin else {}
    for name in sorted({*registered, *serving}):
        chain_here = serving.get(name)
        aliases = {alias: str(version) for alias, version in registered.get(name, {}).items()}
        if chain_here:
            aliases = {alias: "" for production, alias in chain_here.moved() if production == name} | aliases
        yield from (_alias_row(name, alias, version, chain_here) for alias, version in sorted(aliases.items()))
        yield from _version_row(name, next((chain for chain in chains if chain.name == name), None), listed=bool(aliases))


def _alias_row(name: str, alias: str, version: str, chain: Chain | None) -> AuditRow:
    if chain is None:
        ours = any(is_ours(row) or copied_from(row) for row in versions_of(name) if str(row.version) == version)
        fault = ("no promotion of it is on record: other hands set it",) if ours else ()
        return AuditRow(name, alias, version, fault, () if ours else ("not ours: no version that 'register' made",))
    try:
        faults, notes = alias_faults(chain, name, alias, version, now_ms=int(time.time() * 1000))
    except Exception as error:
        kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
        faults, notes = [f"it could not be checked: {kind}{error}"], []
    return AuditRow(name, alias, version, tuple(dict.fromkeys(faults)), tuple(notes))


def _version_row(name: str, chain: Chain | None, *, listed: bool) -> Iterator[AuditRow]:
    """Tags of a candidates' model that claim what no record says; else a line for a model that has no other."""
    faults = tuple(shown_faults(name, chain.records if chain else ()))
    if faults:
        yield AuditRow(name, "(tags)", "", faults)
    elif not listed and chain is None:
        ours = any(map(is_ours, versions_of(name)))
        yield AuditRow(name, "-", "", (), ("nothing promoted" if ours else "not ours: no version that 'register' made",))


def _statement(rows: Sequence[AuditRow], chains: Sequence[Chain]) -> str:
    off = sum(not row.ok for row in rows)
    if off:
        return f"NOT CONSISTENT: {off} of {len(rows)} rows are off"
    held = [chain for chain in chains if chain.records]
    anchored, signed = all(chain.anchored for chain in held), all(chain.signed for chain in held)
    if not held:
        return "consistent: there are no records yet"
    if anchored and signed:
        return "consistent: every record is signed with a key that its policy lists, and the anchor file holds every head"
    if anchored:
        return "consistent: the anchor file holds the head of every chain; not every record is signed with a listed key"
    if signed:
        return (
            "consistent: every record is signed with a listed key; without an anchor file, newest records that were removed would not show"
        )
    return UNHELD
