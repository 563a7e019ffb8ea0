"""Review sections of the registry's pages in Markdown: a version's verdict and decisions, a registered model's history. Pure.

MLflow's pages have no colours of their own (its sanitizer drops styles), so what is red everywhere else is marked 🟥 here. A page is a copy
for readers: whoever may edit the version may edit it, and no check ever reads it. Every word that a person wrote is escaped and cut.

Of a record's facts they show a review's `version`, `decision`, `reviewer`, `reason`, `gate` and `override`, and a move's `alias`,
`from_version`, `to_version`, `version` (the candidate's), `production`, `policy_digest`, `policy_next`,
`promoter`, `reason` and `override`.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from registry.descriptions import MOST, escaped
from registry.findings import SEVERITY, Finding, GateResult, number_text

if TYPE_CHECKING:
    from registry.chain import Record

BEGIN, END = "<!-- qbias: begin -->", "<!-- qbias: end -->"
SECTION = re.compile(rf"{BEGIN}(?:(?!{BEGIN}).)*?{END}\n*", re.DOTALL)
ROOM = 2600
"""So many characters a section may take, so that the page of the version or model keeps the rest."""
WORDS = 110
"""So many characters of Markdown one person's name or reason may take."""
MARKS = {"pass": "🟩 pass", "review": "🟨 review", "block": "🟥 **BLOCK**"}
OVERRIDE = "🟥 **OVERRIDE**"
COPY = "A copy for readers, which anyone who may edit this page can change: `mlflow run . -e audit` checks the records themselves."
NONE = "none"
"""What stands in a record's fact that has nothing to say."""
PLAIN_ID = re.compile(r"[0-9A-Za-z_-]+")


def version_section(result: GateResult, reviews: "Sequence[Record]", report_link: str = "", *, most: int = ROOM) -> str:
    """The review section of a version's page: the gate's verdict, what each rule found, the decisions, the way to the report.

    Rules that weigh a change have a line each, worst first; of the completeness checks only those that do not pass.

    Parameters
    ----------
    result : the gate's findings. reviews : this version's review records, in any order.
    report_link : address of the comparison's report (`run_link` makes one); "": none. most : so many characters at most.

    Returns
    -------
    Markdown between markers that `with_section` finds again.
    """
    newest = sorted(reviews, key=lambda record: record.sequence, reverse=True)
    lead = ["### Review", "", f"Gate: {MARKS.get(result.verdict, MARKS['block'])}"]
    if newest and overridden(newest[0].facts):
        lead[-1] += f". {OVERRIDE}: approved against a gate that blocked it"
    if report_link:
        lead += ["", f"[Report of the comparison]({report_link})"]
    lead += ["", COPY, ""]
    decisions = _table(("when (UTC)", "decision", "who", "gate then", "why"), map(_decision, newest[:3]))
    passed = sum(finding.verdict == "pass" and not finding.metric for finding in result.findings)
    told = [finding for finding in result.findings if finding.metric or finding.verdict != "pass"]
    told.sort(key=lambda finding: -SEVERITY.index(finding.verdict) if finding.verdict in SEVERITY else -len(SEVERITY))
    checks = [f"Checks of completeness that pass: {passed}."] if passed else []
    rows = _table(("verdict", "rule", "candidate − baseline", "margin or limit", "n", "why"), map(_finding, told))
    # Findings last: a section that is too long loses those that pass.
    return _section([*lead, *(decisions or ["Not reviewed yet."]), "", *checks, "", *rows], most)


def history_section(records: "Sequence[Record]", *, most: int = ROOM) -> str:
    """The history section of a registered model's page: every review, promotion and rollback, newest first.

    Parameters
    ----------
    records : records of one chain, in any order. most : so many characters at most; the oldest lines are left out first.

    Returns
    -------
    Markdown between markers that `with_section` finds again.
    """
    newest = sorted(records, key=lambda record: record.sequence, reverse=True)
    rows = _table(("#", "when (UTC)", "what", "who", "why"), map(_event, newest))
    return _section(["### History", "", f"Records, newest first: {len(newest)}. {COPY}", "", *(rows or ["Nothing yet."])], most)


def with_section(page: str, section: str) -> str:
    """A page with this section first, instead of an earlier one; the rest stays as it is.

    A page is at most MOST characters: a section that does not fit beside the rest loses its last lines, and only where not even its
    first lines fit, the rest loses its end.
    """
    rest = without_section(page)
    if not rest:
        return shortened(section, MOST)
    short = shortened(section, max(MOST - len(rest) - 2, 600))
    return f"{short}\n\n{rest}"[:MOST]


def section_of(page: str) -> str:
    """The section that stands on a page; "" for none."""
    found = SECTION.search(page)
    return found[0].rstrip("\n") if found else ""


def without_section(page: str) -> str:
    """The page without the section: what whoever wrote it wrote."""
    return SECTION.sub("", page)


def shortened(section: str, most: int) -> str:
    r"""The section in at most `most` characters: its last lines go first, and it says so.

    Examples
    --------
    >>> print(shortened("<!-- qbias: begin -->\na\n" + "b" * 50 + "\n<!-- qbias: end -->", 80))
    <!-- qbias: begin -->
    a
    <BLANKLINE>
    Lines left out here: 1.
    <!-- qbias: end -->
    """
    if len(section) <= most:
        return section
    lines = section.removesuffix(f"\n{END}").split("\n")
    for kept in range(len(lines) - 1, 0, -1):
        out = sum(1 for line in lines[kept:] if line.strip())
        short = "\n".join([*lines[:kept], "", f"Lines left out here: {out}.", END])
        if len(short) <= most:
            return short
    return section[:most]


def run_link(experiment_id: str, run_id: str, artifact: str = "") -> str:
    """Address of a run, or of one of its artifacts, within MLflow's own pages; "" where an id is none.

    Examples
    --------
    >>> run_link("3", "0af1", "report/report.html")
    '#/experiments/3/runs/0af1/artifacts/report/report.html'
    """
    if not (PLAIN_ID.fullmatch(experiment_id) and PLAIN_ID.fullmatch(run_id)):
        return ""
    return f"#/experiments/{experiment_id}/runs/{run_id}" + (f"/artifacts/{artifact}" if artifact else "")


def overridden(facts: Mapping[str, str]) -> bool:
    """Whether a record's facts say that the gate's `block` was overridden."""
    return facts.get("override", "").lower() == "true"


def _section(lines: Sequence[str], most: int) -> str:
    return shortened("\n".join([BEGIN, *lines, END]), most)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a table, none where it has no rows; every cell is Markdown already."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|", *lines] if lines else []


def _decision(record: "Record") -> tuple[str, ...]:
    facts = record.facts
    return _when(record), _decided(record), _who(record), MARKS.get(facts.get("gate", ""), "unknown"), _said(facts.get("reason", ""))


def _decided(record: "Record") -> str:
    """The decision of a review; an override and an altered record are unmistakable."""
    word = {"approve": "approved", "reject": "**rejected**"}.get(record.facts.get("decision", ""), "unknown decision")
    red = f"{OVERRIDE}: {word} against the gate" if overridden(record.facts) else word
    return f"🟥 **ALTERED RECORD**, {red}" if record.faults else red


def _event(record: "Record") -> tuple[str, ...]:
    """A record as a line of the history; its number leads to its run."""
    link = run_link(record.experiment_id, record.run_id)
    number = f"[{record.sequence}]({link})" if link else str(record.sequence)
    if record.kind == "review":
        what = f"{_decided(record)}: version {_said(record.facts.get('version', '?'))}"
    else:
        what = _moved(record)
    return number, _when(record), what, _who(record), _said(record.facts.get("reason", ""))


def _moved(record: "Record") -> str:
    """From where to where a promotion or rollback moved an alias."""
    facts = record.facts
    before = _said(facts.get("from_version", "")) or "none"
    after = _said(facts.get("to_version", "") or facts.get("version", "")) or "?"
    kind = {"promotion": "promotion", "rollback": "🟧 rollback"}.get(record.kind, "unknown record")
    origin = f" (candidate version {_said(facts.get('version', '?'))})" if facts.get("production", record.model) != record.model else ""
    what = f"{kind} of {_said(facts.get('alias', '?'))}: version {before} → {after}{origin}"
    what += ", policy changed" if facts.get("policy_next", facts.get("policy_digest")) != facts.get("policy_digest") else ""
    what = f"{OVERRIDE}, {what}" if overridden(facts) else what
    return f"🟥 **ALTERED RECORD**, {what}" if record.faults else what


def _who(record: "Record") -> str:
    name = record.facts.get("reviewer" if record.kind == "review" else "promoter", "")
    return (_said(name) or "not named") + (" (with signature)" if record.signed_by_key else "")


def _when(record: "Record") -> str:
    return datetime.fromtimestamp(record.started_ms / 1000, tz=UTC).strftime("%Y-%m-%d %H:%M")


def _finding(finding: Finding) -> tuple[str, ...]:
    """A finding as a line: what was asked of which metric, the change with its interval, what was allowed."""
    rule = ", ".join(_said(part) for part in (finding.rule, finding.metric, finding.where) if part)
    why = "" if finding.verdict == "pass" else _said(finding.reason)
    n = "" if finding.n is None else f"{finding.n:,}"
    return MARKS.get(finding.verdict, MARKS["block"]), rule, _change(finding), number_text(finding.margin), n, why


def _change(finding: Finding) -> str:
    """The difference with its interval; a rule on the candidate's own value shows that value."""
    if finding.difference is None:
        return f"candidate {number_text(finding.candidate)}" if finding.candidate is not None else ""
    interval = "" if finding.low is None and finding.high is None else f" [{number_text(finding.low)}, {number_text(finding.high)}]"
    return f"{number_text(finding.difference, sign=True)}{interval}"


def _said(text: str) -> str:
    return "" if text == NONE else escaped(text, WORDS)
