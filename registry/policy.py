"""The review policy as data: a YAML file, read strictly, with one digest over all that it says."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    ValidationError,
    field_validator,
    model_validator,
)

from qbias.benchmarks import BENCHMARKS
from qbias.benchmarks.strict_yaml import read_yaml
from qbias.digests import json_digest
from qbias.endpoints import endpoint_harm
from qbias.protocol import FIELDS
from qbias.significance import AnalysisPlan, Endpoint, Margin
from qbias.tables import pick
from registry.people import Signer, SignOff
from registry.rules import Rule, can_name
from registry.schema import Entry, Text, repeated

DEFAULT_POLICY = Path(__file__).with_name("policy.yaml")
RecordKind = Literal["review", "promotion", "rollback"]
Value = StrictBool | StrictInt | Annotated[StrictFloat, Field(allow_inf_nan=False)] | StrictStr | None
Count = Annotated[StrictInt, Field(ge=1, le=10**9)]
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,59}")


def _policy_name(text: str) -> str:
    """Refuse a name that could be taken for a digest or a path."""
    if not NAME.fullmatch(text) or re.fullmatch(r"[0-9a-f]{12,}", text):
        raise ValueError(
            f"{text[:60]!r} cannot name a policy: use at most 60 letters, digits, - and _, and no word that looks like a digest"
        )
    return text


class RequiredBenchmark(Entry):
    """A benchmark that both sides must have been evaluated on, with the protocol fields that must have these values."""

    name: Text
    protocol: dict[str, Value] = Field(default_factory=dict)
    why: Text

    @field_validator("protocol")
    @classmethod
    def _known_fields(cls, protocol: dict[str, Value]) -> dict[str, Value]:
        for field in protocol:
            pick(dict.fromkeys(FIELDS), field, what="protocol field")
        return protocol


class MarginRule(Entry):
    """How large a change of a metric does not matter: an endpoint names one metric, a margin a pattern (`*` stands for anything)."""

    metric: Text
    margin: Annotated[StrictFloat, Field(gt=0, allow_inf_nan=False)]
    why: Text


class ComparisonRule(Entry):
    """Whether a finished comparison that holds exactly this candidate and its baseline must exist."""

    required: StrictBool
    why: Text


class Planning(Entry):
    """What to assume about sizes and about flips where no evaluation is at hand, to tell beforehand whether the rules can ever pass.

    Attributes
    ----------
    churn : share of images (queries, searched images) whose outcome flips, as many gained as lost. images : by benchmark.
    persons_per_group, classes : of each pair: persons of one class in one group, and eligible classes. prompts : of a search.
    """

    churn: Annotated[StrictFloat, Field(gt=0, lt=1)] = 0.05
    images: dict[StrictStr, Count] = Field(default_factory=dict)
    persons_per_group: Count = 25
    classes: Count = 52
    prompts: Count = 240
    why: Text


class Policy(Entry):
    """All that a candidate's evidence is held to; without rules nothing passes by itself, and a person always has to look."""

    name: Annotated[Text, AfterValidator(_policy_name)]
    benchmarks: Annotated[tuple[RequiredBenchmark, ...], Field(min_length=1)]
    endpoints: Annotated[tuple[MarginRule, ...], Field(min_length=1, max_length=6)]
    margins: tuple[MarginRule, ...] = ()
    rules: tuple[Rule, ...] = ()
    comparison: ComparisonRule
    sign_off: SignOff
    planning: Planning | None = None

    @field_validator("endpoints", "margins")
    @classmethod
    def _each_once(cls, rules: tuple[MarginRule, ...]) -> tuple[MarginRule, ...]:
        if twice := repeated([row.metric for row in rules]):
            raise ValueError(f"{twice} stands there more than once: give each metric one margin")
        return rules

    @field_validator("endpoints")
    @classmethod
    def _known_metrics(cls, rules: tuple[MarginRule, ...]) -> tuple[MarginRule, ...]:
        for row in rules:
            endpoint_harm(row.metric)
        return rules

    @field_validator("benchmarks")
    @classmethod
    def _named_once(cls, benchmarks: tuple[RequiredBenchmark, ...]) -> tuple[RequiredBenchmark, ...]:
        if twice := repeated([row.name for row in benchmarks]):
            raise ValueError(f"{twice} stands there more than once: name each benchmark once")
        return benchmarks

    @field_validator("rules")
    @classmethod
    def _rule_names(cls, rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
        if twice := repeated([row.name for row in rules]):
            raise ValueError(f"{twice} stands there more than once: give each rule a name of its own")
        return rules

    @model_validator(mode="after")
    def _about_its_benchmarks(self) -> "Policy":
        kinds = {row.name: BENCHMARKS[row.name].kind if row.name in BENCHMARKS else None for row in self.benchmarks}
        for rule in self.rules:
            if not can_name(rule.metric, kinds, rule.forms()):
                raise ValueError(f"rule {rule.name!r}: {rule.metric!r} matches no metric of the policy's benchmarks: {', '.join(kinds)}")
        return self

    def people(self, kind: RecordKind) -> tuple[Signer, ...]:
        """Who may write records of a kind, inactive people too; none where anyone may."""
        return self.sign_off.reviewers if kind == "review" else self.sign_off.promoters

    def trusted_experiments(self) -> frozenset[str] | None:
        """The experiments in which records count, those of people no longer active too; None where a list is empty: then anyone's does."""
        lists = self.sign_off.reviewers, self.sign_off.promoters
        return frozenset(person.experiment_id for people in lists for person in people) if all(lists) else None

    def analysis_plan(self) -> AnalysisPlan:
        """What a comparison under this policy tests: endpoints, margins and their reasons."""
        return AnalysisPlan(
            endpoints=tuple(Endpoint(row.metric, row.margin, row.why) for row in self.endpoints),
            margins=tuple(Margin(row.metric, row.margin, row.why) for row in self.margins),
        )

    def digest(self) -> str:
        """sha256 of everything the policy says, reasons included; comments and layout of the file do not count."""
        return json_digest(self.model_dump(mode="json"))


def load_policy(path: Path = DEFAULT_POLICY) -> Policy:
    """The policy in a YAML file.

    Raises
    ------
    ValueError
        If the file is missing, not YAML as strict_yaml.py reads it, has an unknown key (with the nearest valid one), or a
        value that the schema refuses. All faults of the schema are listed at once.
    """
    if not path.is_file():
        raise ValueError(f"no policy file at {path}: give the path of a YAML file such as {DEFAULT_POLICY.name}")
    return policy_from(read_yaml(path).value, where=path.name)


def policy_from(raw: Any, *, where: str = "policy") -> Policy:
    """A policy from plain values; `where` names the source in error messages."""
    if not isinstance(raw, Mapping):
        raise ValueError(f"{where} must be a mapping with the keys {', '.join(Policy.model_fields)}, not {type(raw).__name__}")
    try:
        return Policy.model_validate(raw)
    except ValidationError as error:
        faults = [_fault(row["loc"], row["type"], row["msg"]) for row in error.errors()]
        raise ValueError(f"{where} is not a valid policy: {'; '.join(faults)}") from error


def _fault(location: tuple[int | str, ...], kind: str, message: str) -> str:
    """One fault in words, with its place; an unknown key is answered with the nearest valid one."""
    place = ".".join(map(str, location)) or "policy"
    if kind != "extra_forbidden":
        return f"{place}: {message.removeprefix('Value error, ')}"
    try:
        pick(dict.fromkeys(_valid_keys(location[:-1])), str(location[-1]), what="key")
    except ValueError as error:
        return f"{place}: {error}"
    return f"{place}: {message}"


def _valid_keys(location: tuple[int | str, ...]) -> list[str]:
    """The keys that the schema knows at a place."""
    places = [PARTS[place] for place in map(str, location) if place in PARTS]
    return list((places[-1] if places else Policy).model_fields)


PARTS: dict[str, type[Entry]] = {
    "benchmarks": RequiredBenchmark,
    "endpoints": MarginRule,
    "margins": MarginRule,
    "rules": Rule,
    "comparison": ComparisonRule,
    "sign_off": SignOff,
    "reviewers": Signer,
    "promoters": Signer,
    "planning": Planning,
}
