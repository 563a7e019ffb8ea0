"""FACET's flags and votes as groups: what each rule means, exactly.

Gender presentation and age are flags (0/1, or counts: at least 1 is yes). A person belongs to a group when that flag alone is set;
with none, several, or the attribute's `na` set, the person has no group of that attribute.

Skin tone is ten sums of votes on the Monk scale, and each rule of the protocol (`skin_vote`) has its own column:

- `skin_majority`: lighter when tones 1-4 have more votes than tones 6-10, darker when fewer, no group on a tie. Tone 5 is ignored.
- `skin_argmax`: the side on which the tone with most votes lies; no group when that is tone 5, or when the tones that share the
  highest count do not all lie on one side.
- `skin_any`: lighter with any vote on 1-4, darker with any on 6-10. Both can be true: the cell is then `lighter|darker`, and the person is
  counted in both groups (see `qbias.metrics.groups.members`).

`skin_tone_na` set, or no vote at all, is no group under every rule.
"""

import ast
import json
import math
import warnings
from typing import Any

import numpy as np
import pandas as pd

from qbias.benchmarks.problems import Problems

GENDER = {
    "masc": "gender_presentation_masc",
    "fem": "gender_presentation_fem",
    "non_binary": "gender_presentation_non_binary",
    "": "gender_presentation_na",
}
AGE = {
    "young": "age_presentation_young",
    "middle": "age_presentation_middle",
    "older": "age_presentation_older",
    "": "age_presentation_na",
}
TONES = tuple(f"skin_tone_{number}" for number in range(1, 11))
SKIN_NA = "skin_tone_na"
COUNTS = (*GENDER.values(), *AGE.values(), *TONES, SKIN_NA)
LIGHTER, DARKER = slice(0, 4), slice(5, 10)
PUBLISHED_FLAGS = {
    "gender_presentation_masc": 33_240,
    "gender_presentation_fem": 10_245,
    "gender_presentation_non_binary": 95,
    "gender_presentation_na": 5_971,
    "age_presentation_young": 8_860,
    "age_presentation_middle": 27_380,
    "age_presentation_older": 2_659,
    "age_presentation_na": 10_652,
}
LONGEST_BOX = 10_000
LARGEST_COUNT = 1_000_000


def vote_counts(sheet: pd.DataFrame, problems: Problems) -> pd.DataFrame:
    """Flags and votes as whole numbers (0 where a cell cannot be read, with a problem added for it)."""
    columns = {}
    for name in COUNTS:
        known = {text: _count(text) for text in set(sheet[name])}
        for line, text in sheet.loc[sheet[name].isin([text for text, count in known.items() if count is None]), name].items():
            problems.add(f"line {line}", f"{name} {text!r} is no whole number of votes", "flags and votes are whole numbers from 0 up")
        columns[name] = [known[text] or 0 for text in sheet[name]]
    return pd.DataFrame(columns, index=sheet.index, dtype="int64")


def _count(text: str) -> int | None:
    """`3`, or `3.0` as some programs write it; None where it is no count."""
    try:
        number = float(text)
    except ValueError:
        return None
    return int(number) if number.is_integer() and 0 <= number <= LARGEST_COUNT else None


def bounding_box(text: str) -> tuple[float, float, float, float] | None:
    """x, y, width, height of a box written as JSON or as a Python dict; None where it is neither. Nothing is evaluated.

    Examples
    --------
    >>> bounding_box('{"x": 1, "y": 2, "width": 3, "height": 4}') == bounding_box("{'x': 1, 'y': 2, 'width': 3, 'height': 4}")
    True
    >>> bounding_box("__import__('os')") is None
    True
    """
    box = _literal(text) if len(text) <= LONGEST_BOX else None
    if not isinstance(box, dict):
        return None
    sides = [box.get(name) for name in ("x", "y", "width", "height")]
    numbers = [float(side) for side in sides if isinstance(side, int | float) and not isinstance(side, bool) and abs(side) < 1e9]
    return (numbers[0], numbers[1], numbers[2], numbers[3]) if len(numbers) == 4 and all(map(math.isfinite, numbers)) else None


def _literal(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Odd escapes in the text are a SyntaxWarning of Python's own parser.
            return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None


def flag_group(counts: pd.DataFrame, flags: dict[str, str]) -> list[str]:
    """The group whose flag alone is set, else ""."""
    names = np.array(list(flags), dtype=object)
    set_NG = counts[list(flags.values())].to_numpy() >= 1
    alone_N = set_NG.sum(axis=1) == 1
    return [str(name) for name in np.where(alone_N, names[set_NG.argmax(axis=1)], "")]


def skin_groups(counts: pd.DataFrame) -> dict[str, list[str]]:
    """The three skin tone columns (rules: the module's head)."""
    votes = counts[list(TONES)].to_numpy()
    light_N, dark_N = votes[:, LIGHTER].sum(axis=1), votes[:, DARKER].sum(axis=1)
    known_N = (counts[SKIN_NA].to_numpy() == 0) & (votes.sum(axis=1) > 0)
    top_NT = votes == votes.max(axis=1, keepdims=True, initial=0)
    top_N = top_NT.sum(axis=1)
    rules = {
        "majority": (light_N > dark_N, light_N < dark_N),
        "argmax": (top_NT[:, LIGHTER].sum(axis=1) == top_N, top_NT[:, DARKER].sum(axis=1) == top_N),
        "any": (light_N > 0, dark_N > 0),
    }
    return {f"skin_{rule}": _named(lighter_N & known_N, darker_N & known_N) for rule, (lighter_N, darker_N) in rules.items()}


def _named(lighter_N: np.ndarray[Any, Any], darker_N: np.ndarray[Any, Any]) -> list[str]:
    return [str(name) for name in np.select([lighter_N & darker_N, lighter_N, darker_N], ["lighter|darker", "lighter", "darker"], "")]
