"""What single entries of a definition may be."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from qbias.benchmarks import BENCHMARKS, entries
from qbias.benchmarks.entries import STRICT, TAKEN


def checked(called: str, value: Any, folder: Path = Path()) -> Any:
    return TypeAdapter(getattr(entries, called), config=STRICT).validate_python(value, context={"folder": folder})


def faults(called: str, value: Any, folder: Path = Path()) -> dict[tuple[int | str, ...], str]:
    with pytest.raises(ValidationError) as refused:
        checked(called, value, folder)
    return {row["loc"]: row["msg"] for row in refused.value.errors()}


@pytest.mark.parametrize(
    ("called", "value"),
    [
        ("Name", "my-tools_2"),
        ("Name", "x" * 64),
        ("Name", "coco2"),
        ("PairName", "Size_s-l"),
        ("Column", "skin tone (any)"),
        ("Column", "größe"),
        ("Column", "labels"),
        ("Value", "East Asian"),
        ("Value", "&"),
        ("Split", "test-2.0"),
        ("Text", "a: {b} 'c' \u200c"),
    ],
)
def test_good_texts_stay_as_they_are(called: str, value: str) -> None:
    assert checked(called, value) == value


@pytest.mark.parametrize(
    ("called", "value"),
    [
        *(("Name", value) for value in ("Tools", "my tools", "a/b", "tööls", "x" * 65, "../x", *TAKEN)),
        *(("PairName", value) for value in ("a b", "a/b", "größe", "x" * 65)),
        *(
            ("Column", value)
            for value in ("id", "path", "image", "text", "caption", "label", "label2", "rank", "top_1", "hit_at_1", "score_x")
        ),
        ("Column", "x" * 65),
        *(("Value", value) for value in ("a|b", "|", "x" * 65)),
        *(("Split", value) for value in ("..", ".", "a/b", "-x", "/")),
    ],
)
def test_names_that_would_be_in_the_way_are_refused(called: str, value: str) -> None:
    (told,) = faults(called, value).values()
    assert "cannot be" in told


@pytest.mark.parametrize("called", ["Text", "Name", "PairName", "Column", "Value", "Split"])
@pytest.mark.parametrize("value", ["", " ", " a", "a ", "a\nb", "a\n", "a\tb", "\u00a0a"])
def test_blank_and_broken_texts_are_refused_everywhere(called: str, value: str) -> None:
    assert faults(called, value)


def test_the_names_taken_are_those_of_the_table() -> None:
    assert set(TAKEN) == set(BENCHMARKS)


def test_files_and_folders_are_looked_for_beside_the_yaml_file(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    assert checked("File", "file", tmp_path) == "file"
    assert checked("Folder", "./folder", tmp_path) == "./folder"
    for called, value in (("File", "folder"), ("File", "none"), ("Folder", "file"), ("Folder", "x" * 300), ("File", "x" * 300)):
        assert f"there is no {called.lower()}" in faults(called, value, tmp_path)[()]


def test_lists_become_tuples_of_different_entries() -> None:
    assert checked("Texts", ["a", "b"]) == ("a", "b")
    assert faults("Texts", []) == {(): "is empty"}
    assert faults("Texts", ["a", "b", "a", "b"]) == {(2,): "'a' stands there twice", (3,): "'b' stands there twice"}
    assert set(faults("Texts", ["a", 1, "", "c", None])) == {(1,), (2,), (4,)}


def test_templates_have_one_place_for_the_class() -> None:
    assert checked("Templates", ["a {}.", "{}"]) == ("a {}.", "{}")
    assert faults("Templates", ["a {c}", "{} {}", "{}"]) == {(0,): "'a {c}' has {} 0 times", (1,): "'{} {}' has {} 2 times"}


def test_ranks_are_whole_numbers_from_one() -> None:
    assert checked("Ranks", [5, 1]) == (5, 1)
    assert set(faults("Ranks", [0, 1, -1, 1001, True, "2", 1.0])) == {(0,), (2,), (3,), (4,), (5,), (6,)}
    assert set(faults("Ranks", [1, 5, 1])) == {(2,)}


def test_classes_are_a_list_or_a_mapping() -> None:
    assert checked("Classes", ["hammer", "wrench"]) == {"hammer": "hammer", "wrench": "wrench"}
    assert list(checked("Classes", {"1": "wrench", "0": "hammer"}).items()) == [("1", "wrench"), ("0", "hammer")]
    assert set(faults("Classes", ["a", "b", "a"])) == {(2,)}
    assert faults("Classes", {"a": "x", "b": "y", "c": "x"}) == {("c",): "the name 'x' stands there twice"}
    assert faults("Classes", {"a": "x", "b": 1}).keys() == {("b",)}
    assert "fewer than two" in faults("Classes", ["a"])[()]
    assert faults("Classes", [])[()] == "is empty"
    for value in ("a", 3, None):
        assert "must be a list or a mapping" in faults("Classes", value)[()]


def test_columns_need_metric_names_of_their_own() -> None:
    good = {"size": ["small", "large"], "skin tone": ["a|b".replace("|", ""), "&"]}
    assert checked("Groups", good) == {name: tuple(values) for name, values in good.items()}
    told = faults("Groups", {"skin tone": ["a"], "skin-tone": ["a"], "x": ["a"], "x-and-skin-tone": ["a"]})
    assert told[("skin-tone",)] == "skin-tone and skin tone both become 'skin-tone' in metric names"
    assert ("x-and-skin-tone",) in told
    assert set(faults("Groups", {"size": ["small", "small", "a"], "finish": []})) == {("size", 1), ("finish",)}
    assert "at most 50" in faults("Groups", {f"c{n}": ["a"] for n in range(51)})[()]
    assert "at most 1000" in faults("Groups", {"c": [f"v{n}" for n in range(1001)]})[("c",)]


def test_values_of_attributes_need_metric_names_of_their_own() -> None:
    assert checked("Groups", {"age": ["0-2", "0 2"]}), "only skew has a metric for each value"
    assert faults("Attributes", {"age": ["0-2", "3-9", "0 2"]}) == {("age", 2): "'0 2' and '0-2' both become '0-2' in metric names"}
    assert faults("Attributes", {"age": ["年", "代"]}).keys() == {("age", 1)}
    assert faults("Attributes", {}) == {(): "is empty"}


def test_prompts_are_a_list_a_name_or_a_file(tmp_path: Path) -> None:
    (tmp_path / "prompts.txt").write_text("a leader\n", encoding="utf-8")
    assert checked("Prompts", ["a leader", "a nurse"]) == ("a leader", "a nurse")
    assert checked("Prompts", "oxai319", tmp_path) == "oxai319"
    assert checked("Prompts", "prompts.txt", tmp_path) == "prompts.txt"
    assert "(nearest: berg240)" in faults("Prompts", "berg24", tmp_path)[()]
    assert set(faults("Prompts", ["a", "a"], tmp_path)) == {(1,)}
    assert set(faults("Prompts", 3, tmp_path)) == set(faults("Prompts", None, tmp_path)) == {()}
