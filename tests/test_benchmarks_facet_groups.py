"""Flags and votes as groups, boxes as numbers: the exact rules, case by case."""

import json
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qbias.benchmarks.facet_groups import AGE, COUNTS, GENDER, PUBLISHED_FLAGS, bounding_box, flag_group, skin_groups, vote_counts
from qbias.benchmarks.problems import Problems
from tests.trees import person


def counts(*rows: dict[str, object]) -> pd.DataFrame:
    sheet = pd.DataFrame([{name: str(row[name]) for name in COUNTS} for row in rows], dtype=object)
    problems = Problems(Path("annotations.csv"))
    found = vote_counts(sheet, problems)
    problems.refuse()
    return found


def skin(*tones: int, na: int = 0) -> tuple[str, str, str]:
    groups = skin_groups(counts(person(1, tones=tones, skin_tone_na=na)))
    return groups["skin_majority"][0], groups["skin_argmax"][0], groups["skin_any"][0]


@pytest.mark.parametrize(
    ("tones", "majority", "argmax", "anyone"),
    [
        ((3, 3, 0, 0, 0, 0, 0, 0, 0, 0), "lighter", "lighter", "lighter"),  # two tones share the top, both light
        ((0, 0, 0, 0, 0, 0, 1, 3, 2, 0), "darker", "darker", "darker"),
        ((0, 0, 0, 2, 3, 1, 0, 0, 0, 0), "lighter", "", "lighter|darker"),  # tone 5 leads, and is ignored by majority
        ((0, 0, 0, 3, 3, 0, 0, 0, 0, 0), "lighter", "", "lighter"),  # the top is shared with tone 5
        ((0, 0, 0, 2, 1, 2, 0, 0, 0, 0), "", "", "lighter|darker"),  # a tie
        ((0, 2, 2, 0, 0, 3, 0, 0, 0, 0), "lighter", "darker", "lighter|darker"),  # 4 votes light, but 6 leads
        ((0, 0, 0, 0, 6, 0, 0, 0, 0, 0), "", "", ""),  # all on tone 5
        ((0, 0, 0, 0, 0, 0, 0, 0, 0, 0), "", "", ""),  # no vote
    ],
)
def test_skin_tone_rules(tones: tuple[int, ...], majority: str, argmax: str, anyone: str) -> None:
    assert skin(*tones) == (majority, argmax, anyone)


def test_a_tone_that_is_not_annotated_is_no_group() -> None:
    assert skin(3, 3, na=1) == ("", "", "")


def test_flags_are_yes_from_one_up() -> None:
    rows = counts(
        person(1, gender="masc"), person(2, gender="fem"), person(3, gender="non_binary"), person(4, gender=""),
        person(5, gender="fem", gender_presentation_fem="3.0"), person(6, gender_presentation_masc=0),
        person(7, gender="masc", gender_presentation_fem=1), person(8, gender="masc", gender_presentation_na=1),
    )  # fmt: skip
    assert flag_group(rows, GENDER) == ["masc", "fem", "non_binary", "", "fem", "", "", ""]
    ages = counts(*(person(1, age=age) for age in ("young", "middle", "older", "")))
    assert flag_group(ages, AGE) == ["young", "middle", "older", ""]


@pytest.mark.parametrize("cell", ["three", "", "-1", "0.5", "nan", "inf", "1e30"])
def test_votes_that_are_no_numbers_are_refused(cell: str) -> None:
    with pytest.raises(ValueError, match=r"line 0: skin_tone_3 .* is no whole number of votes"):
        counts(person(1, skin_tone_3=cell))


def test_published_flags_add_up() -> None:
    for start in ("gender", "age"):
        assert sum(count for name, count in PUBLISHED_FLAGS.items() if name.startswith(start)) == 49_551


@pytest.mark.parametrize(
    ("text", "box"),
    [
        ('{"x": 1, "y": 2.5, "width": 3, "height": 4}', (1.0, 2.5, 3.0, 4.0)),
        ("{'x': 1, 'y': 2.5, 'width': 3, 'height': 4, 'dict_attributes': {'a': None}}", (1.0, 2.5, 3.0, 4.0)),
        ("[1, 2, 3, 4]", None),
        ('{"x": 1, "y": 2, "width": 3}', None),
        ('{"x": "1", "y": 2, "width": 3, "height": 4}', None),
        ('{"x": true, "y": 2, "width": 3, "height": 4}', None),
        ('{"x": NaN, "y": 2, "width": 3, "height": 4}', None),
        ("{'x': 1e999, 'y': 2, 'width': 3, 'height': 4}", None),
        ("dict(x=1, y=2, width=3, height=4)", None),
        ("__import__('os').system('true')", None),
        ("{'x': '\\d'}", None),
        ("[" * 5_000, None),
        ("(" * 500, None),
        ("9" * 9_000, None),
        ("", None),
    ],
)
def test_boxes(text: str, box: tuple[float, ...] | None) -> None:
    assert bounding_box(text) == box


@settings(max_examples=200, deadline=None)
@given(text=st.one_of(st.text(max_size=40), st.text(alphabet="{}[]()'\":,xywidthe0123456789.-+ \\", max_size=40)))
def test_any_text_is_a_box_or_none(text: str) -> None:
    assert bounding_box(text) is None or isinstance(bounding_box(text), tuple)


@settings(max_examples=50)
@given(sides=st.lists(st.integers(0, 4000) | st.floats(0, 4000), min_size=4, max_size=4))
def test_json_and_python_spellings_agree(sides: list[float]) -> None:
    box = dict(zip(("x", "y", "width", "height"), sides, strict=True))
    assert bounding_box(json.dumps(box)) == bounding_box(repr(box)) == tuple(map(float, sides))
