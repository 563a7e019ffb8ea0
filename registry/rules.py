"""The rules of a policy that weigh a change: which metrics each speaks about, and what may stand in it. Pure: no MLflow.

A metric is named as it is logged. `*` stands for any characters within one of its parts, and nothing else is special. Four forms:

    imagenet/accuracy_at_1                      one value, an interval over images
    facet/*/gap_at_1            each: class     the gaps of all eligible classes of each pair, in one band
    facet/*/accuracy_at_1       each: group     the accuracies of all groups of each attribute (and two together), in one band
    fairface/*/mean_skew_at_*   each: group     the mean skews of all groups of each attribute, in one band
"""

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, StrictFloat, model_validator

from qbias.measure import METRICS, PARTS
from qbias.records import Harm, Kind
from registry.schema import Entry, Line, Text, one_of

RuleKind = Literal["non-inferiority", "equivalence", "floor", "ceiling"]
Each = Literal["class", "group"]
WEIGHING: tuple[RuleKind, ...] = ("non-inferiority", "equivalence")
"""Kinds with a margin and an interval; the others hold the candidate's own value to a limit."""
KINDS: tuple[RuleKind, ...] = (*WEIGHING, "floor", "ceiling")
LEVEL = 0.95
LEVELS = (0.8, 0.99)
"""From least to most: some intervals rest on 300 resamples, which cannot tell 99 % from more."""
CHECKS = ("on_record", "same_policy", "same_weights", "pairing", "metrics", "comparison", "person")
"""Names of the gate's findings that are not about a policy's rules, beside `benchmark:<name>`."""


@dataclass(frozen=True)
class Form:
    """A form of metric names, whether a rule takes it as it is or for all classes or groups at once, and whether it has an interval."""

    pattern: str
    kind: Kind
    harm: Harm
    each: Each | None = None
    interval: bool = True
    logged: bool = True


WITH_INTERVAL = ("accuracy", "macro_gap", "image_retrieval_recall", "text_retrieval_recall", "mean_skew")
LOGGED = tuple(
    Form(row.pattern, row.kind, row.harm, interval=row.pattern.rpartition("/")[2].partition("_at_")[0] in WITH_INTERVAL) for row in METRICS
)
FORMS: tuple[Form, ...] = (
    *LOGGED,
    Form("{benchmark}/{pair}/{class}/gap_at_{k}", "classification", "none", logged=False),
    Form("{benchmark}/{pair}/gap_at_{k}", "classification", "none", each="class", logged=False),
    Form("{benchmark}/{attribute}/accuracy_at_{k}", "classification", "lower", each="group", logged=False),
    Form("{benchmark}/{attribute}/mean_skew_at_{k}", "skew", "none", each="group", logged=False),
)


class Rule(Entry):
    """What a candidate is held to on the metrics that a pattern names.

    Attributes
    ----------
    kind : `non-inferiority`: the change in the harmful direction stays inside the margin. `equivalence`: the change in either does.
        `floor`, `ceiling`: the candidate's own value on this data is at least, at most the limit; nothing is inferred.
    each : the band of all classes, or of all groups, in place of one value.
    margin : largest change that does not matter, in the metric's unit. limit : of a floor or ceiling.
    level : confidence of the two-sided interval or band whose ends are held against the margin. non-inferiority looks at one end, so a
        level of 0.95 lets a change as large as the margin pass in at most 2.5 % of cases; equivalence likewise.
    """

    name: Line
    kind: Annotated[RuleKind, one_of("rule kind", KINDS)]
    metric: Line
    each: Annotated[Each | None, one_of("value of each", ("class", "group"))] = None
    margin: Annotated[StrictFloat, Field(gt=0, allow_inf_nan=False)] | None = None
    limit: Annotated[StrictFloat, Field(allow_inf_nan=False)] | None = None
    level: Annotated[StrictFloat, Field(ge=LEVELS[0], le=LEVELS[1])] | None = None
    why: Text

    @model_validator(mode="before")
    @classmethod
    def _usual_level(cls, raw: Any) -> Any:
        if isinstance(raw, Mapping) and raw.get("kind") in WEIGHING and raw.get("level") is None:
            return {**raw, "level": LEVEL}
        return raw

    @model_validator(mode="after")
    def _sound(self) -> "Rule":
        if self.name in CHECKS or self.name.startswith("benchmark:"):
            raise ValueError(f"{self.name!r} is the name of one of the gate's own checks: give the rule another")
        self._check_numbers()
        forms = self.forms()
        if not forms:
            raise ValueError(unknown_metric(self.metric, self.each))
        if self.weighs:
            self._check_intervals(forms)
        return self

    @property
    def weighs(self) -> bool:
        """Whether the rule holds an interval against a margin."""
        return self.kind in WEIGHING

    def forms(self) -> list[Form]:
        """The forms of metric names that the rule's pattern can match."""
        return [row for row in FORMS if row.each == self.each and (row.logged or self.weighs) and _fits(self.metric, row)]

    def matches(self, name: str) -> bool:
        """Whether the pattern names this metric or band."""
        return glob_matches(self.metric, name)

    def _check_numbers(self) -> None:
        wanted, other = ("margin", "limit") if self.weighs else ("limit", "margin")
        if getattr(self, wanted) is None:
            raise ValueError(f"{self.kind} needs a {wanted}: write {wanted}: and a number")
        if getattr(self, other) is not None:
            raise ValueError(f"{self.kind} has a {wanted}, not a {other}: take {other} out")
        if not self.weighs and self.each is not None:
            raise ValueError(f"a {self.kind} holds one logged value to a limit: leave out each, or use equivalence or non-inferiority")
        if not self.weighs and self.level is not None:
            raise ValueError(f"a {self.kind} looks at the value itself, so it has no level: take level out")

    def _check_intervals(self, forms: list[Form]) -> None:
        if without := [row.pattern for row in forms if not row.interval]:
            raise ValueError(
                f"no interval covers {', '.join(without)}, which {self.metric!r} can match: the largest or smallest of several values (and "
                f"NDKL) is biased by resampling. Use a macro gap or each: class, each: group; a floor or ceiling may name it"
            )
        if self.kind == "non-inferiority" and (either := [row.pattern for row in forms if row.harm == "none"]):
            raise ValueError(f"no direction of change of {', '.join(either)} is the harmful one: use equivalence")
        if self.margin is not None and self.margin >= 1 and any(row.kind != "skew" for row in forms):
            raise ValueError(f"a margin of {self.margin} on a share lets every change through: give a number below 1, such as 0.01")


def glob_matches(pattern: str, name: str) -> bool:
    """Whether a name has the pattern's parts; `*` stands for any characters within one part.

    Examples
    --------
    >>> glob_matches("facet/*/gap_at_1", "facet/age_my/gap_at_1"), glob_matches("facet/*", "facet/age_my/gap_at_1")
    (True, False)
    """
    regex = "[^/]*".join(map(re.escape, re.sub(r"\*+", "*", pattern).split("*")))
    return re.fullmatch(regex, name, flags=re.DOTALL) is not None


def can_name(pattern: str, benchmarks: Mapping[str, Kind | None], forms: list[Form]) -> bool:
    """Whether a pattern can match a metric of one of these benchmarks; their kinds, None where not known."""
    head = pattern.partition("/")[0]
    kinds = [kind for name, kind in benchmarks.items() if glob_matches(head, name)]
    return any(kind is None or kind == row.kind for kind in kinds for row in forms)


def _fits(pattern: str, form: Form) -> bool:
    """Whether any name of the form matches the pattern, part by part."""
    parts, wanted = pattern.split("/"), form.pattern.split("/")
    return len(parts) == len(wanted) and all(map(_part_fits, parts, wanted))


def _part_fits(glob: str, wanted: str) -> bool:
    """Whether a glob matches any text of a part, such as `{pair}` or `gap_at_{k}`."""
    if wanted.startswith("{"):
        return re.fullmatch(PARTS.get(wanted[1:-1], r"[\w\-]+"), glob.replace("*", "x"), flags=re.ASCII) is not None
    # Digits stand in k alone. If any k fits, the one made of the pattern's own digits does, since `*` may be empty.
    k = "".join(re.findall(r"[0-9]", glob)) or "1"
    return glob_matches(glob, wanted.replace("{k}", k))


def unknown_metric(metric: str, each: Each | None) -> str:
    """What is wrong with a pattern that no metric of the kind asked for can have, with the nearest one."""
    forms = [row.pattern for row in FORMS if row.each == each]
    near = next(_repaired(metric, forms), "")
    others = {row.each for row in FORMS if row.each != each and _fits(metric, row)}
    hint = f" Did you mean {near!r}?" if near else ""
    for other in sorted(others, key=str):
        hint = f" It is right with each: {other}." if other else " It is right without each."
    return f"unknown metric {metric!r}{f' for each {each}' if each else ''}.{hint} Names look like {', '.join(forms)}"


def _repaired(metric: str, forms: list[str]) -> Iterator[str]:
    """The pattern with a known statistic in place of its own, nearest first."""
    *head, last = metric.split("/")
    stem, _, k = last.partition("_at_")
    stems = {row.rpartition("/")[2].partition("_at_")[0]: row for row in forms if row.count("/") == len(head)}
    for found in difflib.get_close_matches(stem, stems, n=3, cutoff=0.5):
        yield "/".join([*head, found + (f"_at_{k or '*'}" if "_at_" in stems[found] else "")])
