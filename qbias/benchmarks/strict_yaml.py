"""YAML read strictly: plain values with the line of each; what YAML takes for something else than it looks like is an error.

YAML by itself keeps the last of two equal keys, reads `no` as false, 2001-01-01 as a date, 010 as 8 and 1:30 as 90, and lets a few lines
of aliases grow without bound. Each is refused here, with its line; there is one way to write a text, a number, true, false and null.
"""

import os
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import yaml

from qbias.benchmarks.problems import Problems

Key = tuple[str | int, ...]
"""Where a value stands: the keys and positions that lead to it; () is the whole document."""
LARGEST = 4 << 20
"""Bytes. A class list of 20,000 names is a tenth of that."""
DEEPEST = 20
LARGEST_NUMBER = 2**63
NUMBER = re.compile(r"[-+]?(0|[1-9][0-9]{0,30})(\.[0-9]{1,30}([eE][-+][0-9]{1,3})?)?")
QUOTES = "put it in quotes if it is meant as text"
NOT_TEXT = {"timestamp": "a date", "merge": "a merge key", "value": "a default key"}
CONSTANTS: Mapping[str, bool | None] = {"true": True, "false": False, "null": None, "~": None, "": None}


@dataclass(frozen=True)
class Yaml:
    """A document's value (dicts, lists, texts, numbers, booleans, None) and the line of every key and list entry (from 1)."""

    value: Any
    lines: Mapping[Key, int] = field(default_factory=dict)

    def line(self, key: Key) -> int:
        """The line of `key`, or of what it would stand in where there is no such key."""
        while key not in self.lines and key:
            key = key[:-1]
        return self.lines.get(key, 1)


def read_yaml(path: Path) -> Yaml:
    """The one document in a UTF-8 file.

    Parameters
    ----------
    path : a file of at most 4 MiB; an empty one is None.

    Raises
    ------
    ValueError
        If the file is missing, not UTF-8, not YAML or more than one document, repeats a key, has an anchor, an alias, a tag or a control
        character, is nested more than 20 deep, or holds what is no text, plain decimal number, true, false or null.
    """
    text = _text(path)
    node = _composed(path, text)
    if node is None:
        return Yaml(None)
    reader = _Reader(Problems(path))
    lines: dict[Key, int] = {(): node.start_mark.line + 1}
    value = reader.value(node, (), lines)
    reader.problems.refuse()
    return Yaml(value, lines)


def _text(path: Path) -> str:
    """The file's text. A byte order mark at its start is YAML's own business."""
    if not os.path.isfile(path):
        raise ValueError(f"{path}: no such file; give the path of a YAML file")
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror}); check its permissions") from None
    if len(content) > LARGEST:
        raise ValueError(f"{path}: larger than {LARGEST >> 20} MiB; long lists belong into the files that it names")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ValueError(f"{path}: line {line}: byte {error.start} is not UTF-8; save the file as UTF-8 text") from None


class _Loader(yaml.SafeLoader):
    """Composes nodes without anchors, aliases and tags, and not too deep; constructs nothing."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            what = f"the anchor or alias {event.anchor!r}: write the value out at each place, or put it in quotes if & or * is text"
            self._refuse(event.start_mark, what)
        if event.tag is not None:
            self._refuse(event.start_mark, f"the tag {event.tag!r}: leave it out, or put the value in quotes if ! is text")
        if self.depth >= DEEPEST:
            self._refuse(event.start_mark, f"nested more than {DEEPEST} deep")
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def _refuse(self, mark: Any, what: str) -> NoReturn:
        raise yaml.MarkedYAMLError(problem=what, problem_mark=mark)


def _composed(path: Path, text: str) -> yaml.Node | None:
    """The document as YAML's nodes; None where there is none."""
    loader = None
    try:
        loader = _Loader(text)
        node: yaml.Node | None = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = ", ".join(part for part in (error.context, error.problem) if part)
        raise ValueError(f"{path}: line {mark.line + 1 if mark else 1}: not readable as YAML: {what}{_advice(what)}") from None
    except yaml.reader.ReaderError as error:
        line = len(text[: error.position + 1].splitlines())
        raise ValueError(f"{path}: line {line}: the control character U+{ord(text[error.position]):04X}; take it out") from None
    except ValueError as error:  # YAML's reader lets escapes beyond Unicode and numbers of thousands of digits fail like that.
        line = loader.line + 1 if loader else 1
        raise ValueError(f"{path}: line {line}: not readable as YAML: {error}") from None
    return node


def _advice(what: str) -> str:
    if "'\\t'" in what:
        return "; indent with spaces, not with tabs"
    if "{" in what or "[" in what:
        return "; check brackets, and put texts with brackets in quotes"
    if "expected a single document" in what:
        return "; write one document, without '---' between its lines"
    return "" if "quotes" in what else "; check indentation, brackets and quotes up to that line"


@dataclass(frozen=True)
class _Reader:
    """Nodes to plain values; what cannot be taken goes to `problems`."""

    problems: Problems

    def value(self, node: yaml.Node, key: Key, lines: dict[Key, int]) -> Any:
        """The node's value; the lines of what stands in it are added to `lines`."""
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, key, lines)
        if isinstance(node, yaml.SequenceNode):
            lines |= {(*key, number): entry.start_mark.line + 1 for number, entry in enumerate(node.value)}
            return [self.value(entry, (*key, number), lines) for number, entry in enumerate(node.value)]
        return self._scalar(node)

    def _mapping(self, node: yaml.MappingNode, key: Key, lines: dict[Key, int]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name_node, value_node in node.value:
            if not isinstance(name_node, yaml.ScalarNode) or _kind(name_node) != "str":
                shown = repr(name_node.value) if isinstance(name_node, yaml.ScalarNode) else "a list or mapping"
                self._refuse(name_node, f"the key {shown} is no text to YAML", QUOTES)
                continue
            name = self._checked(name_node)
            if name in found:
                self._refuse(name_node, f"the key {name!r} stands there twice", "keep one of the two")
            lines[*key, name] = name_node.start_mark.line + 1
            found[name] = self.value(value_node, (*key, name), lines)
        return found

    def _scalar(self, node: yaml.Node) -> str | int | float | bool | None:
        text, kind = str(node.value), _kind(node)
        if kind == "str":
            return self._checked(node)
        if kind in ("bool", "null") and text.lower() in CONSTANTS:
            return CONSTANTS[text.lower()]
        if kind in ("int", "float"):
            return self._number(node, text)
        what = ("true" if text.lower() in ("yes", "on") else "false") if kind == "bool" else NOT_TEXT[kind]
        self._refuse(node, f"{text!r} is {what} to YAML", f"{QUOTES}; else write true or false" if kind == "bool" else QUOTES)
        return None

    def _number(self, node: yaml.Node, text: str) -> int | float | None:
        if not NUMBER.fullmatch(text):
            remedy = f"write a plain decimal number of at most 30 digits, without leading zeros, ':' and '_', or {QUOTES}"
            self._refuse(node, f"{text[:40]!r} is a number to YAML, and one that is easily misread", remedy)
            return None
        number = float(text) if "." in text else int(text)
        if abs(number) >= LARGEST_NUMBER:
            self._refuse(node, f"{text!r} is too large a number", f"write a number below 2^63, or {QUOTES}")
            return None
        return number

    def _checked(self, node: yaml.Node) -> str:
        """The node's text; escapes can put into it what the file itself may not hold."""
        text = str(node.value)
        hidden = [char for char in text if unicodedata.category(char) in ("Cc", "Cs") and char not in "\n\t"]
        if hidden:
            self._refuse(node, f"the control character or half character U+{ord(hidden[0]):04X}", "take the escape out")
        return text

    def _refuse(self, node: yaml.Node, what: str, remedy: str) -> None:
        self.problems.add(f"line {node.start_mark.line + 1}", what, remedy)


def _kind(node: yaml.Node) -> str:
    """What YAML takes a scalar for: str, bool, int, float, null, timestamp, merge or value."""
    return str(node.tag).rpartition(":")[2]
