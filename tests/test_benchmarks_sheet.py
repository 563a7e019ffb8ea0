"""CSV as text: columns by name, defects with their place, and never anything but ValueError."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qbias.benchmarks.sheet import read_sheet, read_text


def sheet(folder: Path, content: str | bytes) -> Path:
    file = folder / "labels.csv"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


def test_columns_are_found_by_name_and_rows_keep_their_line(tmp_path: Path) -> None:
    found = read_sheet(sheet(tmp_path, 'b,unused,a\n1,x," p,q "\n\n2,y,"two\nlines"\n'), ("a", "b"))
    assert found.to_dict("list") == {"a": ["p,q", "two\nlines"], "b": ["1", "2"]}
    assert found.index.tolist() == [2, 5]


@pytest.mark.parametrize("start", ["\ufeff", ""])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_byte_order_mark_and_line_ends_do_not_matter(tmp_path: Path, start: str, end: str) -> None:
    assert read_sheet(sheet(tmp_path, f"{start}a,b{end}1,2{end}"), ("a",))["a"].tolist() == ["1"]


def test_numbers_and_missing_values_stay_text(tmp_path: Path) -> None:
    assert read_sheet(sheet(tmp_path, "a\n007\nNA\nnan\n"), ("a",))["a"].tolist() == ["007", "NA", "nan"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "the file is empty"),
        ("a,b\n", "a header and no rows"),
        ("a,c\n1,2\n", "column 'b' is missing"),
        ("a,b,b\n1,2,3\n", "column 'b' stands 2 times"),
        ("a,b\n1,2,3\n4,5\n6\n", "line 2: 3 cells where the header has 2"),
        ("a,b\n1,2,3\n4,5\n6\n", "line 4: 1 cells where the header has 2"),
        ('a,b\n1,"2\n', "not readable as CSV"),
        (b"a,b\n1,\xff\n", "byte 6 is not UTF-8"),
        ("a,b\n" + "1" * 200_000 + ",2\n", "not readable as CSV"),
    ],
)
def test_defects_are_named(tmp_path: Path, content: str | bytes, told: str) -> None:
    file = sheet(tmp_path, content)
    with pytest.raises(ValueError, match=r"labels\.csv") as refused:
        read_sheet(file, ("a", "b"))
    assert told in str(refused.value)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(ValueError, match="cannot be read"):
            read_text(path)


@settings(max_examples=150, deadline=None)
@given(content=st.one_of(st.binary(max_size=200), st.text(alphabet='ab,"\n\r \ufeff\0', max_size=60).map(str.encode)))
def test_any_bytes_give_a_table_or_a_valueerror(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    file = sheet(tmp_path_factory.getbasetemp(), content)
    try:
        told = f"{file}: {read_sheet(file, ('a', 'b')).columns.tolist()}"
    except ValueError as error:
        told = str(error)
    assert "labels.csv" in told
