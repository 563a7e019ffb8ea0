"""Every cell of a comparison with all that is said about it: families, corrections, equivalence, power, verdict, models left out.

A cell is one precision and one metric. The endpoints that the plan declares are the primary family, all other cells the secondary one;
both keep the size that was declared, whatever could be measured.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from qbias.comparison import Cell, Comparison
from qbias.endpoints import endpoint_harm, is_composite, margin_of, members
from qbias.measure import harm_of
from qbias.records import Harm, Insufficient
from qbias.significance import AnalysisPlan, PairedTest, corrected
from qbias.significance.companions import companions
from qbias.significance.composite import largest_change
from qbias.significance.equivalence import equivalence, simultaneous_intervals
from qbias.significance.left_out import leave_one_out
from qbias.significance.power import power_of
from qbias.significance.records import CellEvidence, Equivalence, LeftOut, NoiseArm, Role
from qbias.significance.verdict import verdict

Key = tuple[str, str]
"""Precision and metric."""


@dataclass(frozen=True)
class _Declared:
    """One cell before anything is said about it. `member`: the group that a composite's test is about."""

    quantizer: str
    metric: str
    role: Role
    harm: Harm
    test: PairedTest | Insufficient
    equivalence: Equivalence | None
    member: str = ""

    @property
    def name(self) -> str:
        return f"{self.quantizer} {self.metric}"


def cells_of(comparison: Comparison, plan: AnalysisPlan, *, noise: Sequence[NoiseArm] = ()) -> tuple[CellEvidence, ...]:
    """All cells, the primary ones first, in the order of the plan's endpoints and of the comparison.

    Parameters
    ----------
    comparison : its cells hold the tests over models.
    plan : endpoints, margins and error rate, declared beforehand.
    noise : A/A arms; a cell's floor is the largest change of its metric in any of them.

    Returns
    -------
    One CellEvidence per declared cell; an endpoint that no model measured is there as `insufficient`.
    """
    by_role: dict[Role, list[_Declared]] = {"primary": [*_primary(comparison, plan)], "secondary": [*_secondary(comparison, plan)]}
    found = []
    for role, rows in by_role.items():
        tests = {row.name: row.test for row in rows if isinstance(row.test, PairedTest)}
        corrections = corrected({name: test.p for name, test in tests.items()}, family=role, size=len(rows))
        intervals = simultaneous_intervals(tests, size=len(rows), alpha=plan.alpha) if tests else {}
        for row in rows:
            margin = margin_of(row.metric, plan)
            cell = CellEvidence(
                quantizer=row.quantizer,
                metric=row.metric,
                role=role,
                harm=row.harm,
                test=row.test,
                verdict=verdict(
                    row.test, harm=row.harm, corrected=corrections.get(row.name), equivalence=row.equivalence, alpha=plan.alpha
                ),
                margin=margin.margin if margin else None,
                margin_why=margin.why if margin else "",
                corrected=corrections.get(row.name),
                equivalence=row.equivalence,
                noise=_floor(row.metric, noise, comparison),
                member=row.member,
            )
            found.append(_with_test(cell, comparison, plan, len(rows), intervals.get(row.name)))
    return tuple(found)


def harm_under(metric: str, sign: str | None) -> Harm:
    """Which direction of a metric hurts; of the tables' extremes, none where they are signed: the least gap may be a large one.

    Examples
    --------
    >>> harm_under("facet/gender_mf/max_disparity_at_1", "absolute"), harm_under("facet/gender_mf/max_disparity_at_1", "signed")
    ('higher', 'none')
    """
    return "none" if sign == "signed" and re.search(r"/(min|max)_disparity_at_\d+$", metric) else harm_of(metric)


def _sign(benchmark: str, comparison: Comparison) -> str | None:
    """Which extremes the benchmark's short names stand for; None where it has none."""
    outcomes = (row.candidate.outcomes.get(benchmark) for row in comparison.pairings)
    return next((row.facts.get("sign") for row in outcomes if row is not None), None)


def _primary(comparison: Comparison, plan: AnalysisPlan) -> Iterator[_Declared]:
    cells = {(cell.quantizer, cell.metric): cell for cell in comparison.cells}
    for endpoint in plan.endpoints:
        for quantizer in comparison.quantizers:
            if is_composite(endpoint.metric):
                yield _composite(quantizer, endpoint.metric, endpoint.margin, cells, comparison, plan)
            else:
                cell = cells.get((quantizer, endpoint.metric))
                name = f"{quantizer} {endpoint.metric}"
                result = cell.result if cell else Insufficient(name, "measured for no model", {"models": 0})
                yield _declared(quantizer, endpoint.metric, "primary", result, comparison, plan)


def _secondary(comparison: Comparison, plan: AnalysisPlan) -> Iterator[_Declared]:
    primary = {endpoint.metric for endpoint in plan.endpoints}
    for cell in comparison.cells:
        if cell.metric not in primary:
            yield _declared(cell.quantizer, cell.metric, "secondary", cell.result, comparison, plan)


def _declared(
    quantizer: str, metric: str, role: Role, result: PairedTest | Insufficient, comparison: Comparison, plan: AnalysisPlan
) -> _Declared:
    harm = harm_under(metric, _sign(metric.partition("/")[0], comparison))
    margin = margin_of(metric, plan)
    inside = equivalence_within(margin.margin if margin else None, result, harm=harm, alpha=plan.alpha)
    return _Declared(quantizer, metric, role, harm, result, inside)


def equivalence_within(margin: float | None, test: PairedTest | Insufficient, *, harm: Harm, alpha: float) -> Equivalence | None:
    """The tests against the margin; None where there is no margin or no test."""
    return equivalence(test, margin=margin, harm=harm, alpha=alpha) if margin and isinstance(test, PairedTest) else None


def _composite(
    quantizer: str, metric: str, margin: float, cells: Mapping[Key, Cell], comparison: Comparison, plan: AnalysisPlan
) -> _Declared:
    """The group that changed most stands for its benchmark: its test, with the p and the interval that all groups share."""
    name, harm = f"{quantizer} {metric}", endpoint_harm(metric)
    groups = [cells[quantizer, group] for group in members(metric, comparison.metrics) if (quantizer, group) in cells]
    if not groups:
        return _Declared(quantizer, metric, "primary", harm, Insufficient(name, "measured for no model", {"groups": 0}), None)
    found = largest_change({cell.metric: cell.result for cell in groups}, name=name, alpha=plan.alpha, margin=margin)
    if isinstance(found, Insufficient):
        return _Declared(quantizer, metric, "primary", harm, found, None)
    test = replace(found.tests[found.member], name=name, ci_low=found.ci_low, ci_high=found.ci_high, p=found.p)
    return _Declared(quantizer, metric, "primary", harm, test, found.equivalence, found.member)


def _with_test(
    cell: CellEvidence, comparison: Comparison, plan: AnalysisPlan, size: int, interval: tuple[float, float] | None
) -> CellEvidence:
    """What needs a test over models: companions, power, simultaneous interval, models left out."""
    if isinstance(cell.test, Insufficient):
        return cell
    scale = max(map(abs, [*cell.test.baseline.values(), *cell.test.candidate.values()]))
    beside = companions(cell.test.differences, name=cell.test.name, seed=plan.seed, scale=scale)
    return replace(
        cell,
        companions=None if isinstance(beside, Insufficient) else beside,
        power=power_of(cell.test, alpha=plan.alpha, family_size=size, power=plan.power, margin=cell.margin),
        simultaneous=interval,
        left_out=_left_out(cell.test, comparison),
    )


def _left_out(test: PairedTest, comparison: Comparison) -> tuple[LeftOut, ...]:
    sides = [row.candidate for row in comparison.pairings]
    by_source = leave_one_out(test, {row.model: row.source for row in sides}, label="source")
    return (*by_source, *leave_one_out(test, {row.model: row.size for row in sides}, label="size"))


def _floor(metric: str, noise: Sequence[NoiseArm], comparison: Comparison) -> float | None:
    """The largest change of the metric between two runs of one model; of a composite, of any of its groups."""
    names = members(metric, comparison.metrics) if is_composite(metric) else [metric]
    return max((arm.change_by_metric[name] for arm in noise for name in names if name in arm.change_by_metric), default=None)
