"""A schema's findings in words."""

from typing import Annotated, Any, Literal

import pytest
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, Strict, ValidationError

from qbias.benchmarks.faults import LONGEST_SHOWN, described, fault, nearest, refuse, shown


def _two(values: tuple[str, ...]) -> tuple[str, ...]:
    refuse([((row,), f"{value} is {{odd}}", "mend it") for row, value in enumerate(values) if value == "odd"])
    if len(values) > 3:
        raise fault("is long", "cut it")
    return values


class Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    texts: Annotated[tuple[str, ...], Strict(False), Field(max_length=5), AfterValidator(_two)] = ()
    table: dict[str, str] = Field(default_factory=dict)
    number: Annotated[int, Field(ge=1, le=9)] = 1
    choice: Literal["this", "that"] = "this"
    inner: "Part | None" = None


class Whole(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    part: Part


def found(**values: Any) -> list[tuple[tuple[int | str, ...], str, str]]:
    with pytest.raises(ValidationError) as refused:
        Whole.model_validate({"part": values})
    return [(row["loc"][1:], *described(row, Part.model_fields)) for row in refused.value.errors()]


@pytest.mark.parametrize(
    ("values", "place", "what", "remedy"),
    [
        ({"texts": "a"}, ("texts",), "must be a list, not 'a'", "behind '- '"),
        ({"texts": [True]}, ("texts", 0), "YAML reads this as true, which is no text", "in quotes"),
        ({"texts": [1.5]}, ("texts", 0), "YAML reads this as 1.5, which is no text", "in quotes"),
        ({"texts": [None]}, ("texts", 0), "must be text, not nothing", "write a text"),
        ({"texts": [{}]}, ("texts", 0), "must be text, not a mapping", "needs quotes"),
        ({"texts": ["a"] * 6}, ("texts",), "must have at most this many entries: 5, not 6", "limit"),
        ({"table": []}, ("table",), "must be a mapping, not a list", "{name: value}"),
        ({"number": True}, ("number",), "must be a whole number, not true", "without quotes"),
        ({"number": "3"}, ("number",), "must be a whole number, not '3'", "without quotes"),
        ({"number": 0}, ("number",), "must be at least 1, not 0", "limit"),
        ({"number": 10}, ("number",), "must be at most 9, not 10", "limit"),
        ({"choice": "thus"}, ("choice",), "must be 'this' or 'that', not 'thus'", "one of the values"),
        ({"chioce": 1}, ("chioce",), "unknown key (nearest: choice)", "texts, table, number, choice, inner"),
        ({"texts": ["a"] * 4}, ("texts",), "is long", "cut it"),
    ],
)
def test_each_finding_has_its_words(values: dict[str, Any], place: tuple[int | str, ...], what: str, remedy: str) -> None:
    ((at, told, to_do),) = found(**values)
    assert (at, told) == (place, what)
    assert remedy in to_do


def test_a_validator_can_refuse_several_entries() -> None:
    assert found(texts=["odd", "x", "odd"]) == [(("texts", 0), "odd is {odd}", "mend it"), (("texts", 2), "odd is {odd}", "mend it")]
    refuse([])


def test_a_missing_key() -> None:
    with pytest.raises(ValidationError) as refused:
        Whole.model_validate({})
    assert described(refused.value.errors()[0]) == ("is missing", "write each key that is missing")


@pytest.mark.parametrize("value", ["x" * 1000, 10**100, "'\"" * 500])
def test_long_values_are_cut(value: Any) -> None:
    assert len(shown(value)) == LONGEST_SHOWN
    assert "..." in shown(value)


def test_nearest_wants_some_likeness() -> None:
    assert nearest("hamer", ["wrench", "hammer"]) == " (nearest: hammer)"
    assert nearest("", ["wrench"]) == nearest("saw", []) == ""
