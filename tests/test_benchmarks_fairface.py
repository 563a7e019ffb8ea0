"""FairFace: groups, bins, the balanced draw, and every kind of damage."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qbias.benchmarks import BENCHMARKS, load
from qbias.benchmarks import fairface as module
from qbias.protocol import Protocol
from qbias.records import Dataset
from tests.trees import face, write_csv, write_fairface


def loaded(data: Path, protocol: Protocol | None = None) -> Dataset:
    return load(BENCHMARKS["fairface"], data, protocol or Protocol())


def refusal(data: Path, protocol: Protocol | None = None) -> str:
    with pytest.raises(ValueError, match="fairface") as refused:
        loaded(data, protocol)
    return str(refused.value)


def told(data: Path) -> str:
    """The refusal, or the name of what was read; any other error passes through."""
    try:
        return loaded(data).benchmark
    except ValueError as error:
        return str(error)


def test_groups_and_bins(tmp_path: Path) -> None:
    ages = list(module.AGES)
    write_fairface(tmp_path, [face(number, age=age) for number, age in enumerate(ages)])
    dataset = loaded(tmp_path)
    assert dataset.images["age"].tolist() == ["younger"] * 3 + ["middle"] * 3 + ["older"] * 3
    assert dataset.images["age_raw"].tolist() == ages
    assert dataset.images["gender"].tolist()[:2] == ["Female", "Male"]
    assert dataset.images["path"].tolist() == [f"val/{number}.jpg" for number in range(9)]
    assert dataset.facts["attributes"]["age"] == ["younger", "middle", "older"]
    assert len(dataset.texts) == 240
    assert dataset.facts["prompts_reconstructed"]


def test_published_counts_add_up() -> None:
    for counts in (module.GENDERS, module.RACES, module.AGES):
        assert sum(counts.values()) == module.FULL_ROWS
    bins = dict.fromkeys(module.AGE_BINS.values(), 0)
    for age, count in module.AGES.items():
        bins[module.AGE_BINS[age]] += count
    assert bins == {"younger": 2_736, "middle": 6_983, "older": 1_235}


def test_the_full_file_is_held_against_the_published_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_fairface(tmp_path, [face(number) for number in range(4)])
    monkeypatch.setattr(module, "FULL_ROWS", 4)
    monkeypatch.setattr(module, "PUBLISHED", {"Male": 2, "Female": 2})
    assert loaded(tmp_path).facts["published_counts"] == "agree"
    monkeypatch.setattr(module, "PUBLISHED", {"Male": 2, "Female": 2, "White": 3, "Black": 1})
    assert "White: 4 here, 3 published" in refusal(tmp_path)


def test_gender_balanced_draws_equal_counts_with_its_seed(tmp_path: Path) -> None:
    write_fairface(tmp_path, [face(number, gender="Male" if number < 30 else "Female") for number in range(40)])
    balanced = Protocol(gender_balanced=True)
    dataset = loaded(tmp_path, balanced)
    assert dataset.images["gender"].value_counts().to_dict() == {"Male": 10, "Female": 10}
    numbers = [int(name.removeprefix("val/").removesuffix(".jpg")) for name in dataset.images["id"]]
    assert numbers == sorted(numbers)
    assert loaded(tmp_path, balanced).digest == dataset.digest
    assert loaded(tmp_path, replace(balanced, gender_balanced_seed=1)).digest != dataset.digest


def test_a_spreadsheets_dates_are_explained(tmp_path: Path) -> None:
    damaged = ["9-Mar", "19-Oct", "Oct-19", "Mar-9", "10/19/2024", "2019-10-19 00:00:00", "3-Sep-09"]
    write_fairface(tmp_path, [face(number, age=age) for number, age in enumerate([*damaged, "3-9", "ancient"])])
    message = refusal(tmp_path)
    assert "fairface_label_val.csv: 8 problem(s)" in message
    for line, age in enumerate(damaged, start=2):
        assert f"line {line}: age {age!r} is a date" in message
    assert "line 10: unknown age 'ancient'" in message
    assert "a spreadsheet program turned ages into dates" in message


def test_every_kind_of_offender_is_in_one_message(tmp_path: Path) -> None:
    rows = [face(1), face(2, gender="male"), face(3, race="Green"), face(1), face(4, file="../secret.jpg"), face(5, file="/etc/hostname")]
    write_fairface(tmp_path, rows[:3])
    write_csv(tmp_path / "fairface" / "fairface_label_val.csv", [*rows, face(9)])
    message = refusal(tmp_path)
    for part in (
        "line 3: unknown gender 'male'", "line 4: unknown race 'Green'", "line 5: 'val/1.jpg' stands already on line 2",
        "line 6: image path '../secret.jpg' leaves", "line 7: image path '/etc/hostname' leaves", "line 8: there is no image",
    ):  # fmt: skip
        assert part in message


def test_a_missing_column_names_those_there(tmp_path: Path) -> None:
    write_csv(tmp_path / "fairface" / "fairface_label_val.csv", [{"file": "val/1.jpg", "age": "3-9", "sex": "Male"}])
    message = refusal(tmp_path)
    assert "column 'gender' is missing" in message
    assert "column 'race' is missing" in message
    assert "it has: file, age, sex" in message


def test_balancing_needs_both_genders(tmp_path: Path) -> None:
    write_fairface(tmp_path, [face(1), face(3)])
    assert "needs rows of both genders" in refusal(tmp_path, Protocol(gender_balanced=True))


CELL = st.one_of(st.sampled_from(["val/1.jpg", "3-9", "Male", "White", "", "9-Mar", "..", "\0"]), st.text(max_size=8))


@settings(max_examples=100, deadline=None)
@given(rows=st.lists(st.lists(CELL, min_size=4, max_size=4), max_size=4))
def test_no_content_ends_in_anything_but_valueerror(tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]]) -> None:
    data = tmp_path_factory.getbasetemp() / "fuzz-fairface"
    write_fairface(data, [face(1)])
    named = [dict(zip(("file", "age", "gender", "race"), row, strict=True)) for row in rows]
    file = data / "fairface" / "fairface_label_val.csv"
    try:
        write_csv(file, named, ["file", "age", "gender", "race"])
    except UnicodeEncodeError:
        return
    assert "fairface" in told(data)
