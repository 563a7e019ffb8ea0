"""What a schema finds wrong with a user's values, in words: what it is, and what to do about it. Knows nothing of any schema."""

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

Place = tuple[str | int, ...]
"""The keys and positions that lead to a value."""
Fault = tuple[Place, str, str]
"""Where it is, what is wrong, what to do."""
LONGEST_SHOWN = 60
EXPECTED = {
    "tuple_type": ("a list", "write [one, another], or one entry a line behind '- '"),
    "dict_type": ("a mapping", "write {name: value}, or one 'name: value' a line, indented"),
    "model_type": ("a mapping", "write {name: value}, or one 'name: value' a line, indented"),
    "string_type": ("text", "write a text; one with ': ', ' #', '{' or '[' in it needs quotes"),
    "int_type": ("a whole number", "write a whole number, without quotes"),
}
"""pydantic's type of error -> what was expected, and how that is written."""
LIMITS = {
    "greater_than_equal": ("ge", "be at least"),
    "less_than_equal": ("le", "be at most"),
    "too_long": ("max_length", "have at most this many entries:"),
}
"""pydantic's type of error -> its name of the limit, and what that asks for."""


def fault(what: str, remedy: str) -> PydanticCustomError:
    """An error to raise in a validator: what is wrong with its value, and what to do."""
    return PydanticCustomError("fault", "{what}", {"what": what, "remedy": remedy})


def refuse(faults: Sequence[Fault]) -> None:
    """Raise several faults of a validator's value, each with its place within it; return where there are none."""
    if faults:
        rows = [InitErrorDetails(type=fault(what, remedy), loc=place, input=None) for place, what, remedy in faults]
        raise ValidationError.from_exception_data("value", rows)


def described(row: Mapping[str, Any], keys: Iterable[str] = ()) -> tuple[str, str]:
    """What is wrong and what to do, for one row of `ValidationError.errors()`.

    Parameters
    ----------
    row : pydantic's record of the error.
    keys : the keys that are valid where it was found; an unknown one is answered with the nearest.
    """
    kind, value, context = row["type"], row["input"], row.get("ctx", {})
    if kind == "fault":
        return context["what"], context["remedy"]
    if kind == "missing":
        return "is missing", "write each key that is missing"
    if kind == "extra_forbidden":
        listed = list(keys)
        return f"unknown key{nearest(str(row['loc'][-1]), listed)}", f"valid keys there are {', '.join(listed)}"
    if kind == "string_type" and isinstance(value, (bool, int, float)):
        return f"YAML reads this as {shown(value)}, which is no text", "put it in quotes"
    if kind in LIMITS:
        limit, word = LIMITS[kind]
        return f"must {word} {context[limit]}, not {context.get('actual_length', shown(value))}", "keep to that limit"
    expected, remedy = EXPECTED.get(kind, (context.get("expected", "of another form"), "write one of the values named"))
    return f"must be {expected}, not {shown(value)}", remedy


def shown(value: Any) -> str:
    """A value as a user would recognise it, in at most 60 characters.

    Examples
    --------
    >>> shown("wrench"), shown(True), shown({"a": 1}), shown(None)
    ("'wrench'", 'true', 'a mapping', 'nothing')
    """
    if value is None or isinstance(value, (list, tuple, Mapping)):
        return "nothing" if value is None else "a mapping" if isinstance(value, Mapping) else "a list"
    text = repr(value) if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 4]}...{text[-1]}"


def nearest(name: str, choices: Iterable[str]) -> str:
    """` (nearest: ...)` where one of the choices is close to `name`; else nothing.

    Examples
    --------
    >>> nearest("smal", ["small", "large"]), nearest("x", ["small"])
    (' (nearest: small)', '')
    """
    near = difflib.get_close_matches(name, list(choices), n=1, cutoff=0.5)
    return f" (nearest: {near[0]})" if near else ""
