"""What the gate says: one finding per rule, the verdict that follows from them, and both in plain words. Pure; no arithmetic."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

Verdict = Literal["pass", "review", "block"]
SEVERITY: tuple[str, ...] = get_args(Verdict)
"""From best to worst; the gate's verdict is the worst of its findings."""
SAYS: dict[Verdict, str] = {
    "pass": "every rule holds, and a person still has to approve it",
    "review": "at least one rule is undecided on these images, so a person must look",
    "block": "at least one rule is broken or cannot be worked out",
}
COLUMNS = ("verdict", "rule", "metric", "baseline", "candidate", "difference", "interval", "margin", "n", "reason")


@dataclass(frozen=True)
class Finding:
    """What one rule found, on one metric if it is about metrics.

    Attributes
    ----------
    rule : the policy's name of it, or that of a check of completeness. reason : one sentence.
    kind : the policy's kind of rule; "" for a check of completeness. metric : a logged name, or a band's. where : the class or group of a
        band that stands worst. Numbers are None where there are none, and never NaN.
    baseline, candidate, difference : values, and candidate - baseline. low, high : its interval of confidence `level`.
    margin : the largest change that does not matter; the limit of a floor or ceiling.
    n : images, persons, queries or images x prompts behind the numbers.
    """

    rule: str
    verdict: Verdict
    reason: str
    kind: str = ""
    metric: str = ""
    where: str = ""
    candidate: float | None = None
    baseline: float | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    margin: float | None = None
    level: float | None = None
    n: int | None = None

    def row(self) -> tuple[str, ...]:
        """The finding as texts in the order of COLUMNS; "" where there is nothing to say."""
        interval = "" if self.low is None or self.high is None else f"{number_text(self.low)} to {number_text(self.high)}"
        place = f"{self.metric} {self.where}".strip()
        return (
            self.verdict.upper() if self.verdict == "block" else self.verdict, self.rule, place, number_text(self.baseline),
            number_text(self.candidate), number_text(self.difference, sign=True), interval, number_text(self.margin),
            "" if self.n is None else f"{self.n:,}", self.reason,
        )  # fmt: skip


@dataclass(frozen=True)
class GateResult:
    """The gate's verdict and the findings that it follows from."""

    verdict: Verdict
    findings: tuple[Finding, ...]

    def as_list(self) -> list[dict[str, Any]]:
        """The findings as plain values, in the order in which they were made."""
        return [asdict(finding) for finding in self.findings]

    def reasons(self, verdict: Verdict) -> list[str]:
        """`rule: reason` of every finding with this verdict, with the metric where there is one."""
        return [f"{_named(finding)}: {finding.reason}" for finding in self.findings if finding.verdict == verdict]

    def table(self) -> list[tuple[str, ...]]:
        """A row for each finding under COLUMNS, worst first."""
        return [finding.row() for finding in sorted(self.findings, key=lambda finding: -_severity(finding.verdict))]

    def text(self) -> str:
        """Verdict and findings for a terminal: worst first, those that pass as one line each."""
        known = self.verdict in SAYS
        lines = [f"{self.verdict.upper()}: {SAYS[self.verdict] if known else 'not known, so it counts as block'}"]
        for row in self.table():
            verdict, rule, place, baseline, candidate, difference, interval, margin, n, reason = row
            values = f"{baseline} -> {candidate}" if baseline and candidate else candidate
            change = f"change {difference} ({interval}), margin {margin}, n {n}" if difference and interval else ""
            facts = "; ".join(part for part in (values, change) if part)
            lines.append(f"{'!!' if verdict == 'BLOCK' else '  '} {verdict:<6} {rule}{f' [{place}]' if place else ''}: {reason}")
            lines += [f"          {facts}"] if facts else []
        # Names of classes and groups are anyone's: nothing in them may steer a terminal.
        return "\n".join("".join(sign if sign.isprintable() else "?" for sign in line) for line in lines)


def worst(findings: Sequence[Finding]) -> Verdict:
    """The worst verdict among the findings; `block` where there is none or one that is not known.

    Examples
    --------
    >>> worst([Finding("a", "pass", ""), Finding("b", "review", "")])
    'review'
    >>> worst([])
    'block'
    """
    verdicts = {finding.verdict for finding in findings}
    if "block" in verdicts or not verdicts or not verdicts <= set(SEVERITY):
        return "block"
    return "review" if "review" in verdicts else "pass"


def number_text(value: float | None, *, sign: bool = False) -> str:
    """A number to four digits, with its sign if asked; "" for None.

    Examples
    --------
    >>> number_text(0.1234567), number_text(0.01, sign=True), number_text(-0.0312345), number_text(None)
    ('0.1235', '+0.01', '-0.03123', '')
    """
    if value is None:
        return ""
    return f"{value:{'+' if sign else ''}.4g}" if math.isfinite(value) else "not a number"


def _severity(verdict: str) -> int:
    return SEVERITY.index(verdict) if verdict in SEVERITY else len(SEVERITY)


def _named(finding: Finding) -> str:
    place = f"{finding.metric} {finding.where}".strip()
    return f"{finding.rule} [{place}]" if place else finding.rule
