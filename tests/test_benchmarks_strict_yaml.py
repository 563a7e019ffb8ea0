"""YAML as plain values with lines; all that YAML reads as something else than it looks like is refused with its line."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qbias.benchmarks.strict_yaml import DEEPEST, LARGEST, Yaml, read_yaml

GOOD = """\
# a comment
name: tools
counts: [1, -2, +3, 0, 1.5, 2.0e+3]

flags:
  yes-and-no: {a: true, b: False, c: null, d: ~, e: }
  quoted: ["yes", '2001-01-01', "1:30", "\\u00e9"]
text: >
  two
  lines
"""


def written(folder: Path, content: str | bytes) -> Path:
    file = folder / "tools.yaml"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


def refusal(folder: Path, content: str | bytes) -> str:
    with pytest.raises(ValueError, match=r"tools\.yaml") as refused:
        read_yaml(written(folder, content))
    return str(refused.value)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_values_and_lines(tmp_path: Path, start: str, end: str) -> None:
    read = read_yaml(written(tmp_path, start + GOOD.replace("\n", end)))
    assert read.value == {
        "name": "tools",
        "counts": [1, -2, 3, 0, 1.5, 2000.0],
        "flags": {
            "yes-and-no": {"a": True, "b": False, "c": None, "d": None, "e": None},
            "quoted": ["yes", "2001-01-01", "1:30", "é"],
        },
        "text": "two lines\n",
    }
    assert [type(number) for number in read.value["counts"]] == [int, int, int, int, float, float]
    lines = {(): 2, ("name",): 2, ("counts", 1): 3, ("flags",): 5, ("flags", "yes-and-no", "b"): 6, ("flags", "quoted", 0): 7, ("text",): 8}
    assert {key: read.lines[key] for key in lines} == lines


def test_what_is_not_there_has_the_line_of_what_it_would_stand_in(tmp_path: Path) -> None:
    read = read_yaml(written(tmp_path, GOOD))
    assert [read.line(key) for key in [("flags", "quoted", 9), ("flags", "none", "none"), ("none",), ()]] == [7, 5, 2, 2]
    assert Yaml(None).line(("a",)) == 1


@pytest.mark.parametrize("content", ["", "# nothing\n", "---\n"])
def test_an_empty_file_is_none(tmp_path: Path, content: str) -> None:
    assert read_yaml(written(tmp_path, content)).value is None


@pytest.mark.parametrize(
    ("content", "line", "told"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, "the key 'a' stands there twice"),
        ("a: {b: 1,\n b: 2}\n", 2, "the key 'b' stands there twice"),
        ("a: &x [1]\nb: *x\n", 1, "the anchor or alias 'x'"),
        ("a: 1\nb: *x\n", 2, "the anchor or alias 'x'"),
        ("a: 1\nb: !!python/object:os.system x\n", 2, "the tag 'tag:yaml.org,2002:python/object:os.system'"),
        ("a: !!str 5\n", 1, "leave it out"),
        ("a: ! 5\n", 1, "the tag '!'"),
        ("a: 1\n---\nb: 2\n", 2, "write one document"),
        ("a: 1\nb: " + "[" * 30 + "]" * 30, 2, f"nested more than {DEEPEST} deep"),
        ("a: 1\n\tb: 2\n", 2, "indent with spaces"),
        ("a: 1\nb: 'c\n", 3, "not readable as YAML"),
        ("a: 1\nb: [x {}]\n", 2, "put texts with brackets in quotes"),
        ("a: 1\nb: c: d\n", 2, "not readable as YAML"),
        ("a: 1\nb: \0\n", 2, "control character U+0000"),
        ("\x07", 1, "control character U+0007"),
        ('a: 1\nb: "\\0"\n', 2, "half character U+0000"),
        ('a: 1\nb: ["x", "\\uD800"]\n', 2, "half character U+D800"),
        ('a: 1\nb: "\\U00110000"\n', 2, "not readable as YAML"),
        ('"\\b": 1\n', 1, "half character U+0008"),
        ("a: 1\nb: [no]\n", 2, "'no' is false to YAML"),
        ("a: 1\nb: Yes\n", 2, "put it in quotes"),
        ("a: 1\nb: 2001-01-01\n", 2, "'2001-01-01' is a date to YAML"),
        ("a: 2001-99-99\n", 1, "is a date to YAML"),
        ("a: 1\nb: 010\n", 2, "'010' is a number to YAML"),
        ("a: 1:30\n", 1, "easily misread"),
        ("a: 1_000\n", 1, "easily misread"),
        ("a: 0x_\n", 1, "easily misread"),
        ("a: .inf\n", 1, "easily misread"),
        ("a: " + "9" * 5000, 1, "easily misread"),
        ("a: 9223372036854775808\n", 1, "too large a number"),
        ("a: 1:" + ":".join(["59"] * 300) + ".5", 1, "easily misread"),
        ("a: 1\n1: b\n", 2, "the key '1' is no text to YAML"),
        ("yes: b\n", 1, "the key 'yes' is no text to YAML"),
        ("? [a]\n: b\n", 1, "the key a list or mapping is no text"),
        ("a: 1\n<<: {b: 1}\n", 2, "the key '<<' is no text to YAML"),
        ("a: =\n", 1, "is a default key to YAML"),
        (b"a: 1\nb: \xff\n", 2, "byte 8 is not UTF-8"),
        ("a: 1".encode("utf-16"), 1, "not UTF-8"),
    ],
)
def test_defects_are_named_with_their_line(tmp_path: Path, content: str | bytes, line: int, told: str) -> None:
    message = refusal(tmp_path, content)
    assert f"line {line}:" in message
    assert told in message


def test_misread_values_are_all_told_at_once(tmp_path: Path) -> None:
    message = refusal(tmp_path, "a: [yes, 010]\nb: 2001-01-01\na: 1\n")
    assert message.count("line ") == 4
    assert "4 problem(s)" in message


def test_aliases_cannot_grow(tmp_path: Path) -> None:
    bomb = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 200))
    assert "line 1: not readable as YAML: the anchor" in refusal(tmp_path, bomb)


def test_missing_and_oversized_files_are_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none.yaml", tmp_path, tmp_path / ("x" * 300)):
        with pytest.raises(ValueError, match="no such file"):
            read_yaml(path)
    assert "larger than 4 MiB" in refusal(tmp_path, b"#" * (LARGEST + 1))


TOKENS = """a b é x{} : - ? [ ] { } , & * ! !!int !!bool <<: = | > ' " \\ \\x \\U00110000 \\uD800 % @ ` # ~ 0x_ 0b_ 1:30 0777 1.5e+3 .inf
    2001-01-01 yes --- ... %YAML %TAG""".split()
SPACES = (" ", "\n", "\n  ", "\n- ", ": ", "\t", "\r", "\0", "\x85", "\u2028", "\ufeff", "9" * 40, "%YAML 9.1\n", "a: ")
PIECES = st.sampled_from((*TOKENS, *SPACES))


@settings(max_examples=150, deadline=None)
@given(content=st.binary(max_size=60) | st.lists(PIECES, max_size=25).map(lambda parts: "".join(parts).encode()))
def test_any_bytes_give_values_or_a_valueerror_with_a_line(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    file = written(tmp_path_factory.getbasetemp(), content)
    try:
        told = f"{file}: line {read_yaml(file).line(())}"
    except ValueError as error:
        told = str(error)
    assert told.startswith(f"{file}: ")
    assert "line " in told
