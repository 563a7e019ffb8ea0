"""The review policy as data: policy.yaml, read strictly, with one digest over all that it says."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    ValidationError,
    field_validator,
)

from qbias.benchmarks.strict_yaml import read_yaml
from qbias.digests import json_digest
from qbias.endpoints import endpoint_harm
from qbias.protocol import FIELDS
from qbias.significance import AnalysisPlan, Endpoint, Margin
from qbias.tables import pick

DEFAULT_POLICY = Path(__file__).with_name("policy.yaml")


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("is empty: write it out")
    return text


Text = Annotated[StrictStr, AfterValidator(_not_blank)]
Value = StrictBool | StrictInt | Annotated[StrictFloat, Field(allow_inf_nan=False)] | StrictStr | None


class _Entry(BaseModel):
    """What all parts of a policy share: nothing changes after reading, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class RequiredBenchmark(_Entry):
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


class MarginRule(_Entry):
    """How large a change of a metric does not matter: an endpoint names one metric, a margin a pattern (`*` stands for anything)."""

    metric: Text
    margin: Annotated[StrictFloat, Field(gt=0, allow_inf_nan=False)]
    why: Text


class ComparisonRule(_Entry):
    """Whether a finished comparison that holds exactly this candidate and its baseline must exist."""

    required: StrictBool
    why: Text


class SignOff(_Entry):
    """How many different people must approve, and for how many days an approval counts."""

    approvals: Annotated[StrictInt, Field(ge=1)]
    valid_days: Annotated[StrictInt, Field(ge=1)]
    why: Text


class Policy(_Entry):
    """All that a candidate's evidence is held to."""

    name: Text
    benchmarks: Annotated[tuple[RequiredBenchmark, ...], Field(min_length=1)]
    endpoints: Annotated[tuple[MarginRule, ...], Field(min_length=1, max_length=6)]
    margins: tuple[MarginRule, ...] = ()
    comparison: ComparisonRule
    sign_off: SignOff

    @field_validator("endpoints", "margins")
    @classmethod
    def _each_once(cls, rules: tuple[MarginRule, ...]) -> tuple[MarginRule, ...]:
        if twice := _repeated([row.metric for row in rules]):
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
        if twice := _repeated([row.name for row in benchmarks]):
            raise ValueError(f"{twice} stands there more than once: name each benchmark once")
        return benchmarks

    def analysis_plan(self) -> AnalysisPlan:
        """What a comparison under this policy tests: endpoints, margins and their reasons."""
        return AnalysisPlan(
            endpoints=tuple(Endpoint(row.metric, row.margin, row.why) for row in self.endpoints),
            margins=tuple(Margin(row.metric, row.margin, row.why) for row in self.margins),
        )

    def digest(self) -> str:
        """sha256 of everything the policy says, reasons included; comments and layout of the file do not count."""
        return json_digest(self.model_dump(mode="json"))


def _repeated(names: Sequence[str]) -> str:
    """The names that stand there more than once."""
    return ", ".join(sorted({name for name in names if names.count(name) > 1}))


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
    parts: dict[str, type[_Entry]] = {
        "benchmarks": RequiredBenchmark,
        "endpoints": MarginRule,
        "margins": MarginRule,
        "comparison": ComparisonRule,
        "sign_off": SignOff,
    }
    return list((parts[str(location[0])] if location else Policy).model_fields)
