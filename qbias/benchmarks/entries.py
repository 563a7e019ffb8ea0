"""What single entries of a definition may be: texts, names, paths, lists of them; each type with its own fault and remedy."""

import os
import re
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field, PlainValidator, Strict, TypeAdapter, ValidationInfo

from qbias.benchmarks.faults import fault, nearest, refuse, shown
from qbias.benchmarks.problems import repeated
from qbias.benchmarks.prompts import PROMPT_SETS
from qbias.families import name_part, slug

TAKEN = ("imagenet", "coco", "facet", "fairface")
"""Names of BENCHMARKS, which cannot be imported here: it imports this."""
OTHERS = r"id|path|image|text|caption|label|label2|rank|top_.*|hit_.*|score_.*"
"""Columns that stand beside the groups in manifests and outcomes."""
MOST_RANKS = 1000
"""Outcomes keep this many predictions of each image at most."""
MOST_VALUES, MOST_COLUMNS = 1000, 50
"""Values of a group column, and group columns: each value has metrics of its own, and each two columns together."""
FROM_HERE = "paths start from the YAML file's folder"
PART = "stands in metric names: at most 64 characters,"
"""Three such parts and the metric's own words stay below MLflow's 250."""


def _text(text: str) -> str:
    if not text.strip():
        raise fault("is empty", "write it out, or leave the key out")
    if text != text.strip() or "\n" in text or "\t" in text:
        raise fault(f"{shown(text)} has a space at an end, or a line break or tab in it", "write it on one line, without spaces around it")
    return text


def _name_of(what: str, pattern: str, rule: str) -> AfterValidator:
    """Texts of that form only."""

    def check(text: str) -> str:
        if not re.fullmatch(pattern, text, re.ASCII | re.DOTALL):
            raise fault(f"{shown(text)} cannot be {what}", f"{what} {rule}")
        return text

    return AfterValidator(check)


def _file(text: str, info: ValidationInfo) -> str:
    if not os.path.isfile(file := _folder(info) / text):
        raise fault(f"there is no file {str(file)!r}", FROM_HERE)
    return text


def _directory(text: str, info: ValidationInfo) -> str:
    if not os.path.isdir(folder := _folder(info) / text):
        raise fault(f"there is no folder {str(folder)!r}", FROM_HERE)
    return text


def _folder(info: ValidationInfo) -> Path:
    assert info.context is not None
    return Path(info.context["folder"])


def _template(text: str) -> str:
    if (times := text.count("{}")) != 1:
        raise fault(f"{shown(text)} has {{}} {times} times", "write {} once in each template, where the class name goes")
    return text


def _distinct(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """At least one entry, and each once."""
    if not values:
        raise fault("is empty", "write at least one entry, or leave the key out")
    again = repeated([str(value) for value in values])
    refuse([((row,), f"{shown(values[row])} stands there twice", "keep one of the two") for row in again])
    return values


Text = Annotated[str, AfterValidator(_text)]
Name = Annotated[
    Text,
    _name_of(
        "a benchmark's name", rf"(?!({'|'.join(TAKEN)})$)[a-z0-9_-]{{1,64}}", f"{PART} a-z, 0-9, _ and -; {', '.join(TAKEN)} are taken"
    ),
]
PairName = Annotated[Text, _name_of("a pair's name", r"[\w-]{1,64}", f"{PART} letters, digits, _ and -")]
Column = Annotated[
    Text,
    _name_of(
        "a group column",
        rf"(?!({OTHERS})$).{{1,64}}",
        f"has at most 64 characters, and is none of {OTHERS.replace('.*', '...').replace('|', ', ')}",
    ),
]
Value = Annotated[Text, _name_of("a group value", r"[^|]{1,64}", "has at most 64 characters, and no |")]
Split = Annotated[Text, _name_of("a split", r"\w[\w.-]*", "is the name of a folder in shards, such as test")]
File = Annotated[Text, AfterValidator(_file)]
Folder = Annotated[Text, AfterValidator(_directory)]
Listed = (Strict(False), AfterValidator(_distinct))
"""A list of different entries becomes a tuple; pydantic calls that lax."""
Texts = Annotated[tuple[Text, ...], *Listed]
Templates = Annotated[tuple[Annotated[Text, AfterValidator(_template)], ...], *Listed]
Ranks = Annotated[tuple[Annotated[int, Field(ge=1, le=MOST_RANKS)], ...], *Listed]
Count = Annotated[int, Field(ge=1)]
STRICT = ConfigDict(strict=True, frozen=True, extra="forbid")
TEXTS: TypeAdapter[tuple[str, ...]] = TypeAdapter(Texts, config=STRICT)
MAPPING: TypeAdapter[dict[str, str]] = TypeAdapter(dict[Text, Text], config=STRICT)


def _classes(value: Any) -> dict[str, str]:
    """Value in the manifest -> name in the prompt; a list means that both are the same."""
    if not isinstance(value, (list, dict)):
        raise fault(f"must be a list or a mapping, not {shown(value)}", "write [one, another], or {value in the manifest: name}")
    table = MAPPING.validate_python(value) if isinstance(value, dict) else {name: name for name in TEXTS.validate_python(value)}
    keys, names = list(table), list(table.values())
    refuse(
        [((keys[row],), f"the name {shown(names[row])} stands there twice", "give each class a name of its own") for row in repeated(names)]
    )
    if len(table) < 2:
        raise fault("has fewer than two classes", "with one class every image is a hit: write the others too")
    return table


def _groups(groups: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Columns, and each two of them together, have metrics under different names."""
    faults, made = [], dict[str, str]()
    for columns in [*((column,) for column in groups), *combinations(groups, 2)]:
        name, together = "-and-".join(map(name_part, columns)), " & ".join(columns)
        if made.setdefault(name, together) != together:
            what = f"{together} and {made[name]} both become {name!r} in metric names"
            faults.append(((columns[-1],), what, "rename one of the columns so that letters or digits differ"))
    refuse(faults)
    return groups


def _slugs(groups: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """There is a column, and the values of each have metrics under different names."""
    if not groups:
        raise fault("is empty", "write at least one column and its values: the attributes whose skew is measured")
    faults = []
    for column, values in groups.items():
        for row, first in repeated([slug(value) for value in values]).items():
            what = f"{values[row]!r} and {values[first]!r} both become {slug(values[row])!r} in metric names"
            faults.append(((column, row), what, "rename one of the values so that letters or digits (a-z, 0-9) differ"))
    refuse(faults)
    return groups


def _prompts(value: Any, info: ValidationInfo) -> tuple[str, ...] | str:
    """A list; or the name of one, or of a file with one prompt a line."""
    if not isinstance(value, str):
        return TEXTS.validate_python(value)
    if value not in PROMPT_SETS and not os.path.isfile(_folder(info) / value):
        what = f"{shown(value)} is neither {' nor '.join(PROMPT_SETS)} nor a file{nearest(value, PROMPT_SETS)}"
        raise fault(what, f"write a list, one of these names, or the path of a text file with one prompt a line; {FROM_HERE}")
    return value


Values = Annotated[tuple[Value, ...], *Listed, Field(max_length=MOST_VALUES)]
Classes = Annotated[dict[str, str], PlainValidator(_classes)]
Prompts = Annotated[tuple[str, ...] | str, PlainValidator(_prompts)]
Groups = Annotated[dict[Column, Values], Field(max_length=MOST_COLUMNS), AfterValidator(_groups)]
Attributes = Annotated[Groups, AfterValidator(_slugs)]
