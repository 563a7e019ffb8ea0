"""What all parts of a policy share: nothing changes after reading, an unknown key is an error, and no text is blank."""

from collections.abc import Iterable, Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, StrictStr

from qbias.tables import pick

LONGEST_LINE = 200


class Entry(BaseModel):
    """A part of a policy: frozen, and without keys that the schema does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("is empty: write it out")
    return text


def _one_line(text: str) -> str:
    if text != text.strip() or not text.isprintable() or len(text) > LONGEST_LINE:
        raise ValueError(f"{text[:60]!r} must be one line of at most {LONGEST_LINE} printable characters, without spaces around it")
    return text


Text = Annotated[StrictStr, AfterValidator(_not_blank)]
Line = Annotated[Text, AfterValidator(_one_line)]
"""A name that stands in tables, records and on pages."""


def one_of(what: str, names: Iterable[str]) -> BeforeValidator:
    """Refuses a name that is not one of these, with the nearest one."""
    known = dict.fromkeys(names)

    def check(given: Any) -> Any:
        if isinstance(given, str):
            pick(known, given, what=what)
        return given

    return BeforeValidator(check)


def repeated(names: Sequence[str]) -> str:
    """The names that stand there more than once, in words.

    Examples
    --------
    >>> repeated(["a", "b", "a"]), repeated(["a"])
    ('a', '')
    """
    return ", ".join(sorted({name for name in names if names.count(name) > 1}))
