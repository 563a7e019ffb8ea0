"""The policy's rules applied to one pair: intervals held against margins, values against limits. Outcomes and a seed in, findings out.

Every number is made anew from the outcomes; a logged metric is only checked against them. What is not there, not finite or cannot be
worked out blocks.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from qbias.evidence import pair_statistics
from qbias.families import name_part
from qbias.measure import measure
from qbias.pairing import pair
from qbias.pairwise import PairStatistics
from qbias.records import Evaluation, Insufficient, Measured, Pairing
from qbias.significance.records import Band, BandEntry
from registry.findings import Finding, Verdict, number_text
from registry.margins import Change, blocked, weighed
from registry.policy import Policy
from registry.rules import Rule

if TYPE_CHECKING:
    from registry.evidence import Evidence

TWINS = {"macro_gap": "gap", "worst_group_accuracy": "accuracy", "max_skew": "mean_skew"}
"""By the logged statistic that exists exactly where a band does, the band's: from it comes what must be there, and why it is not."""
SUBJECTS = {"gap": "gap", "accuracy": "accuracy", "mean skew": "mean_skew"}
Result = Measured | Insufficient


def rule_findings(evidence: "Evidence", policy: Policy) -> list[Finding]:
    """What every rule of the policy finds: one finding for each metric or band that it names, of a band about its worst entry.

    Parameters
    ----------
    evidence : of one candidate. policy : its rules, and the seed and draws of its analysis plan.

    Returns
    -------
    Findings in the order of the rules; at least one for each.
    """
    found: list[Finding] = []
    pairing = paired(evidence) if policy.rules else None
    numbers = _Numbers(pairing, policy) if pairing else None
    for rule in policy.rules:
        try:
            own = list(_of_rule(rule, numbers)) if numbers else []
            reason = "it names no metric that was measured" if numbers else "there is no pair of evaluations of the same images to weigh"
        except Exception as error:
            own, reason = [], f"the rule could not be worked out: {type(error).__name__}: {error}"
        found += own or [blocked(rule, rule.metric, reason)]
    return found


def paired(evidence: "Evidence") -> Pairing | None:
    """Candidate and baseline as a pair; None where one is missing or they do not belong together."""
    if evidence.candidate is None or evidence.baseline is None:
        return None
    pairings, _ = pair([evidence.baseline, evidence.candidate])
    return next((row for row in pairings if row.candidate is evidence.candidate and row.baseline is evidence.baseline), None)


@dataclass
class _Numbers:
    """One pair's measurements and statistics, each made when first asked for."""

    pairing: Pairing
    policy: Policy
    _measured: dict[tuple[str, str], dict[str, Result]] = field(default_factory=dict)
    _statistics: dict[tuple[str, float], PairStatistics] = field(default_factory=dict)

    def benchmarks(self) -> list[str]:
        """The required benchmarks that were evaluated on both sides."""
        sides = self.pairing.baseline.outcomes, self.pairing.candidate.outcomes
        return [row.name for row in self.policy.benchmarks if all(row.name in side for side in sides)]

    def measured(self, side: Evaluation, benchmark: str) -> dict[str, Result]:
        """Every metric of one side's outcomes by name, also those that could not be computed."""
        key = "candidate" if side is self.pairing.candidate else "baseline", benchmark
        if key not in self._measured:
            values, short = measure(side.outcomes[benchmark])
            self._measured[key] = {row.name: row for row in values} | {row.name: row for row in short}
        return self._measured[key]

    def statistics(self, benchmark: str, level: float) -> PairStatistics:
        """Intervals and bands of one benchmark at a level."""
        before, after = (side.outcomes[benchmark].facts for side in (self.pairing.baseline, self.pairing.candidate))
        if before != after:
            raise ValueError(f"the two sides of {benchmark} were measured under different facts: evaluate both again")
        if (benchmark, level) not in self._statistics:
            plan = replace(self.policy.analysis_plan(), confidence=level)
            self._statistics[benchmark, level] = pair_statistics(self.pairing, benchmark, plan, tests=False)
        return self._statistics[benchmark, level]


def _of_rule(rule: Rule, numbers: _Numbers) -> Iterator[Finding]:
    """A rule's findings, benchmark by benchmark; none where it names nothing that was measured."""
    patterns = {form.pattern.rpartition("/")[2].partition("_at_")[0] for form in rule.forms()}
    for benchmark in numbers.benchmarks():
        wanted = _wanted(rule, numbers.measured(numbers.pairing.candidate, benchmark), patterns)
        if not rule.weighs:
            yield from (_limited(rule, name, numbers, benchmark) for name in wanted)
        elif wanted or "gap" in patterns:
            changes = _changes(rule, numbers.statistics(benchmark, rule.level or 0.0))
            yield from (weighed(rule, name, changes.get(name, []), wanted.get(name)) for name in dict.fromkeys([*wanted, *changes]))


def _wanted(rule: Rule, results: dict[str, Result], statistics: set[str]) -> dict[str, Result]:
    """The metrics or bands that the rule names and that must be there, each with its measurement (a band: that of its twin)."""
    found = {}
    for name, result in results.items():
        head, _, last = name.rpartition("/")
        stem, at, k = last.partition("_at_")
        if rule.each is not None:
            stem = TWINS.get(stem, "")
        if stem in statistics and rule.matches(named := f"{head}/{stem}{at}{k}"):
            found[named] = result
    return found


def _changes(rule: Rule, statistics: PairStatistics) -> dict[str, list[Change]]:
    """The changes that the rule names, by metric or band; a band has several."""
    if rule.each is None:
        rows = [row for row in statistics.changes if rule.matches(row.metric)]
        return {row.metric: [Change("", row.baseline, row.candidate, row.difference, row.low, row.high, row.n)] for row in rows}
    fitting = {form.pattern.rpartition("/")[2].partition("_at_")[0] for form in rule.forms()}
    bands = {_band_name(row): row for row in statistics.bands if SUBJECTS[row.subject] in fitting}
    return {name: list(map(_of_entry, row.entries)) for name, row in bands.items() if rule.matches(name)}


def _band_name(band: Band) -> str:
    return f"{band.benchmark}/{name_part(band.slice_)}/{SUBJECTS[band.subject]}_at_{band.k}"


def _of_entry(row: BandEntry) -> Change:
    return Change(row.name, row.baseline, row.candidate, row.difference, row.low, row.high, row.n_first + row.n_second)


def _limited(rule: Rule, name: str, numbers: _Numbers, benchmark: str) -> Finding:
    """The candidate's own value held to a limit: what its outcomes give, which must also be what its run logged."""
    candidate, baseline = numbers.pairing.candidate, numbers.pairing.baseline
    result, before = (numbers.measured(side, benchmark).get(name) for side in (candidate, baseline))
    if not isinstance(result, Measured):
        reason = "the candidate has no such value" if result is None else f"{result.reason}, so there is nothing to judge"
        return blocked(rule, name, reason)
    logged, limit = candidate.metrics.get(name), rule.limit
    if logged is None or not math.isclose(logged, result.value, rel_tol=1e-9, abs_tol=1e-12):
        told = "no such value" if logged is None else f"{number_text(logged)}"
        return blocked(rule, name, f"the candidate's run logged {told}, its outcomes give {number_text(result.value)}: evaluate again")
    if limit is None or not math.isfinite(result.value):
        return blocked(rule, name, "the candidate's value is not a finite number")
    met = result.value >= limit if rule.kind == "floor" else result.value <= limit
    side = "at least" if rule.kind == "floor" else "at most"
    verdict: Verdict = "pass" if met else "block"
    return Finding(
        rule.name, verdict, f"the candidate's value on this data {'is' if met else 'is not'} {side} {number_text(limit)}", kind=rule.kind,
        metric=name, candidate=result.value, baseline=before.value if isinstance(before, Measured) else None, margin=limit,
    )  # fmt: skip
