"""FACET: who is evaluated, with which labels and groups, and every kind of damage."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qbias.benchmarks import BENCHMARKS, load
from qbias.benchmarks import facet as module
from qbias.protocol import Protocol
from qbias.records import Dataset
from tests.trees import FACET_COLUMNS, person, write_csv, write_facet

LAWMAN, NURSE, GUARD = (module.NUMBER[name] for name in ("lawman", "nurse", "guard"))


def loaded(data: Path, protocol: Protocol | None = None) -> Dataset:
    return load(BENCHMARKS["facet"], data, protocol or Protocol())


def refusal(data: Path) -> str:
    with pytest.raises(ValueError, match="facet") as refused:
        loaded(data)
    return str(refused.value)


def told(data: Path) -> str:
    """The refusal, or the name of what was read; any other error passes through."""
    try:
        return loaded(data).benchmark
    except ValueError as error:
        return str(error)


def test_the_classes_are_the_52_in_order() -> None:
    assert len(module.CLASSES) == len(set(module.CLASSES)) == 52
    assert list(module.CLASSES) == sorted(module.CLASSES)
    assert module.CLASSES[0] == "astronaut"
    assert module.CLASSES[-1] == "waiter"


def test_only_images_with_one_person_are_evaluated(tmp_path: Path) -> None:
    write_facet(tmp_path, [person(1), person(2, filename="two.jpg"), person(3, filename="two.jpg"), person(4)])
    dataset = loaded(tmp_path)
    assert dataset.images["id"].tolist() == ["1", "4"]
    assert (dataset.facts["persons"], dataset.facts["images"]) == (4, 3)


def test_labels_groups_and_prompts(tmp_path: Path) -> None:
    rows = [
        person(1, class1="nurse", gender="fem", age="older", tones=(0, 0, 0, 0, 0, 0, 3)),
        person(2, class2="guard", gender="non_binary", age="", tones=(2, 0, 0, 0, 0, 2)),
        person(3, class2="lawman", gender=""),
        person(4, class2="nan", bounding_box="{'x': 1, 'y': 2, 'width': 3, 'height': 4}"),
    ]
    write_facet(tmp_path, rows)
    images = loaded(tmp_path).images
    assert images["label"].tolist() == [NURSE, LAWMAN, LAWMAN, LAWMAN]
    assert images["label2"].tolist() == [-1, GUARD, -1, -1], "a second class equal to the first is none"
    assert images["gender"].tolist() == ["fem", "non_binary", "", "masc"]
    assert images["age"].tolist() == ["older", "", "middle", "middle"]
    assert images["skin_majority"].tolist() == ["darker", "", "", ""]
    assert images["skin_any"].tolist() == ["darker", "lighter|darker", "", ""]
    assert sorted(path.split("/")[0] for path in images["path"]) == ["imgs_1", "imgs_1", "imgs_2", "imgs_3"]
    texts = loaded(tmp_path, Protocol(facet_prompt="one {}")).texts["text"].tolist()
    assert texts[module.NUMBER["basketball_player"]] == "one basketball player"


def test_second_classes_can_be_dropped(tmp_path: Path) -> None:
    write_facet(tmp_path, [person(1), person(2, class2="guard")])
    assert loaded(tmp_path, Protocol(facet_class2="drop")).images["id"].tolist() == ["1"]
    assert loaded(tmp_path, Protocol(facet_class2="either")).images["id"].tolist() == ["1", "2"]


def test_the_pairs_follow_the_skin_vote(tmp_path: Path) -> None:
    write_facet(tmp_path, [person(1)])
    for vote in ("majority", "argmax", "any"):
        pairs = loaded(tmp_path, replace(Protocol(), skin_vote=vote)).facts["pairs"]  # type: ignore[arg-type]
        assert [pair["name"] for pair in pairs] == ["gender_mf", "skin_ld", "age_my", "age_mo"]
        assert pairs[1] == {"name": "skin_ld", "column": f"skin_{vote}", "first": "lighter", "second": "darker"}
        assert pairs[2] == {"name": "age_my", "column": "age", "first": "middle", "second": "young"}


def test_columns_are_found_by_name(tmp_path: Path) -> None:
    file = write_facet(tmp_path, [person(1, gender="fem")])
    before = loaded(tmp_path)
    write_csv(file, [person(1, gender="fem")], list(reversed(FACET_COLUMNS)))
    assert loaded(tmp_path).digest == before.digest


def test_the_full_file_is_held_against_the_published_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_facet(tmp_path, [person(1), person(2, gender="fem")])
    monkeypatch.setattr(module, "FULL_PERSONS", 2)
    monkeypatch.setattr(module, "PUBLISHED", {"images": 2, "gender_presentation_fem": 1, "lawman": 2})
    assert loaded(tmp_path).facts["published_counts"] == "agree"
    for name in ("images", "gender_presentation_fem", "lawman"):
        monkeypatch.setattr(module, "PUBLISHED", {"images": 2, "gender_presentation_fem": 1, "lawman": 2} | {name: 7})
        assert f"{name}: " in refusal(tmp_path)
        assert "7 published" in refusal(tmp_path)


def test_every_kind_of_offender_is_in_one_message(tmp_path: Path) -> None:
    rows = [
        person(1), person(2, class1="lawmann"), person(3, class2="Nurse"), person(4, class1=""), person(1, filename="other.jpg"),
        person(6, skin_tone_2="two"), person(7, bounding_box="open('x')"), person(8, filename="../../x.jpg"), person("", filename="y.jpg"),
    ]  # fmt: skip
    write_facet(tmp_path, [person(1)])
    write_facet(tmp_path, rows, images=False)
    message = refusal(tmp_path)
    for part in (
        "line 3: unknown class1 'lawmann' (nearest: lawman)", "line 4: unknown class2 'Nurse' (nearest: nurse)",
        "line 5: unknown class1 ''", "line 6: person_id '1' stands already on line 2",
        "line 7: skin_tone_2 'two' is no whole number", "line 8: bounding_box \"open('x')\"",
        "line 9: filename '../../x.jpg' leaves the image folders", "line 10: person_id is empty",
    ):  # fmt: skip
        assert part in message


def test_missing_images_and_links_that_lead_out_are_refused(tmp_path: Path) -> None:
    write_facet(tmp_path, [person(1), person(2)])
    (tmp_path / "facet" / "imgs_2" / "sa_2.jpg").unlink()
    outside = tmp_path / "outside.jpg"
    outside.write_bytes(b"x")
    (tmp_path / "facet" / "imgs_1" / "sa_1.jpg").unlink()
    (tmp_path / "facet" / "imgs_1" / "sa_1.jpg").symlink_to(outside)
    message = refusal(tmp_path)
    assert "line 3: there is no image" in message
    assert "line 2: image path" in message
    assert "leads out" in message


def test_missing_columns_are_all_named(tmp_path: Path) -> None:
    columns = [name for name in FACET_COLUMNS if name not in ("class2", "skin_tone_10")]
    write_csv(tmp_path / "facet" / "annotations" / "annotations.csv", [{name: person(1)[name] for name in columns}])
    message = refusal(tmp_path)
    assert "column 'class2' is missing" in message
    assert "column 'skin_tone_10' is missing" in message


def test_a_file_of_crowds_alone_is_refused(tmp_path: Path) -> None:
    write_facet(tmp_path, [person(1, filename="a.jpg"), person(2, filename="a.jpg")])
    assert "no image with exactly one annotated person" in refusal(tmp_path)


CELL = st.one_of(st.text(max_size=12), st.sampled_from(["1", "-1", "nan", "{}", "lawman", "..", "."]))


@settings(max_examples=100, deadline=None)
@given(column=st.sampled_from(FACET_COLUMNS), cell=CELL)
def test_no_cell_ends_in_anything_but_valueerror(tmp_path_factory: pytest.TempPathFactory, column: str, cell: str) -> None:
    data = tmp_path_factory.getbasetemp() / "fuzz-facet"
    write_facet(data, [person(1)])
    try:
        write_csv(data / "facet" / "annotations" / "annotations.csv", [person(1), person(2, **{column: cell})])
    except UnicodeEncodeError:
        return
    assert "facet" in told(data)
