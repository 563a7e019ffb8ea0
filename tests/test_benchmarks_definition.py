"""Definitions of one's own: good ones of each kind, every fault with its line, and never anything but ValueError."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from qbias.benchmarks.definition import KINDS, Classification, Definition, Retrieval, Skew, read_definition
from qbias.records import Pair

TOOLS = """\
name: tools
kind: classification
home: https://example.org/tools
licence: CC BY 4.0
manifest: manifest.csv
columns: {image: file, label: class}
images: images
classes: {h: hammer, w: wrench}
templates: ["a photo of a {}"]
ks: [1]
groups:
  size: [small, large]
  finish: [matte, glossy]
pairs:
  - {name: size_sl, column: size, first: small, second: large}
  - {name: finish_mg, column: finish, first: matte, second: glossy}
min_per_group: 2
sign: signed
"""
SCENES = """\
name: scenes
kind: retrieval
manifest: manifest.csv
columns: {caption: text}
ks: [1, 2]
"""
FACES = """\
name: faces
kind: skew
manifest: manifest.csv
groups: {age: [young, old]}
prompts: [a photo of a leader, a photo of a nurse]
k: 10
desired: uniform
"""
SHARDS = """\
name: tools
kind: classification
shards: shards
split: val
"""


def folder_with(folder: Path) -> Path:
    """All that the definitions name, empty."""
    for name in ("images", "shards"):
        (folder / name).mkdir(exist_ok=True)
    (folder / "manifest.csv").touch()
    return folder


def read(folder: Path, text: str) -> Definition:
    file = folder_with(folder) / "tools.yaml"
    file.write_text(text, encoding="utf-8")
    return read_definition(file)


def refusal(folder: Path, text: str) -> str:
    with pytest.raises(ValueError, match=r"tools\.yaml") as refused:
        read(folder, text)
    return str(refused.value)


def test_a_classification(tmp_path: Path) -> None:
    found = read(tmp_path, TOOLS)
    assert isinstance(found, Classification)
    assert (found.name, found.home, found.licence) == ("tools", "https://example.org/tools", "CC BY 4.0")
    assert (found.manifest, found.images, found.columns.image, found.columns.label) == ("manifest.csv", "images", "file", "class")
    assert found.classes == {"h": "hammer", "w": "wrench"}
    assert (found.templates, found.ks) == (("a photo of a {}",), (1,))
    assert found.groups == {"size": ("small", "large"), "finish": ("matte", "glossy")}
    assert Pair(**found.pairs[0].model_dump()) == Pair("size_sl", "size", "small", "large")
    assert (found.min_per_group, found.sign, found.shards) == (2, "signed", "")


def test_a_retrieval_and_a_skew(tmp_path: Path) -> None:
    scenes, faces = read(tmp_path, SCENES), read(tmp_path, FACES)
    assert isinstance(scenes, Retrieval)
    assert (scenes.columns.image, scenes.columns.caption, scenes.ks) == ("image", "text", (1, 2))
    assert isinstance(faces, Skew)
    assert (faces.groups, faces.k, faces.desired) == ({"age": ("young", "old")}, 10, "uniform")
    assert faces.prompts == ("a photo of a leader", "a photo of a nurse")


def test_defaults(tmp_path: Path) -> None:
    tools = read(tmp_path, "name: t\nkind: classification\nmanifest: manifest.csv\nclasses: [a, b]\ntemplates: ['{}']\n")
    assert isinstance(tools, Classification)
    assert (tools.ks, tools.groups, tools.pairs, tools.min_per_group, tools.sign) == ((1, 5), {}, (), 25, "absolute")
    assert (tools.images, tools.split, tools.home, tools.licence) == ("", "test", "", "")
    scenes = read(tmp_path, "name: t\nkind: retrieval\nmanifest: manifest.csv\n")
    assert isinstance(scenes, Retrieval)
    assert scenes.ks == (1, 5, 10)
    faces = read(tmp_path, "name: t\nkind: skew\nmanifest: manifest.csv\ngroups: {a: [b, c]}\nprompts: berg240\n")
    assert isinstance(faces, Skew)
    assert (faces.k, faces.desired, faces.prompts) == (1000, "dataset", "berg240")


def test_shards_bring_classes_and_templates(tmp_path: Path) -> None:
    found = read(tmp_path, SHARDS)
    assert isinstance(found, Classification)
    assert (found.shards, found.split, found.classes, found.templates) == ("shards", "val", {}, ())


def test_nothing_changes_after_reading(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        read(tmp_path, SCENES).name = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "old", "new", "line", "told"),
    [
        (TOOLS, "first: small", "first: smal", 15, "pairs[0].first: 'smal' is not a value of group size (nearest: small)"),
        (TOOLS, "first: small", "first: large", 15, "pairs[0].second: 'large' is also the first"),
        (TOOLS, "column: finish", "column: finis", 16, "pairs[1].column: 'finis' is no column of groups (nearest: finish)"),
        (TOOLS, "finish_mg", "size_sl", 16, "pairs[1].name: the name 'size_sl' stands there twice"),
        (TOOLS, "name: finish_mg", "name: a b", 16, "pairs[1].name: 'a b' cannot be a pair's name"),
        (TOOLS, "name: finish_mg", "name: finish_mg, firts: a", 16, "pairs[1].firts: unknown key (nearest: first)"),
        (TOOLS, "name: finish_mg, ", "", 16, "pairs[1].name: is missing"),
        (TOOLS, "[matte, glossy]", "[matte, glossy, matte]", 13, "groups.finish[2]: 'matte' stands there twice"),
        (TOOLS, "[matte, glossy]", "[matte, true, glossy]", 13, "groups.finish[1]: YAML reads this as true, which is no text"),
        (TOOLS, "[matte, glossy]", "[matte, 'a|b']", 13, "groups.finish[1]: 'a|b' cannot be a group value"),
        (TOOLS, "  finish:", "  top_1:", 13, "groups.top_1: 'top_1' cannot be a group column"),
        (TOOLS, "name: tools", "name: imagenet", 1, "name: 'imagenet' cannot be a benchmark's name"),
        (TOOLS, "name: tools\n", "", 1, "name: is missing"),
        (TOOLS, "w: wrench", "w: hammer", 8, "classes.w: the name 'hammer' stands there twice"),
        (TOOLS, "{h: hammer, w: wrench}", "[a, b, a]", 8, "classes[2]: 'a' stands there twice"),
        (TOOLS, "{h: hammer, w: wrench}", "3", 8, "classes: must be a list or a mapping, not 3"),
        (TOOLS, "classes: {h: hammer, w: wrench}\n", "", 1, "classes: is missing"),
        (TOOLS, "a photo of a {}", "a photo", 9, "templates[0]: 'a photo' has {} 0 times"),
        (TOOLS, "ks: [1]", "ks: [1, 5, 0]", 10, "ks[2]: must be at least 1, not 0"),
        (TOOLS, "ks: [1]", "ks: 1", 10, "ks: must be a list, not 1"),
        (TOOLS, "min_per_group: 2", "min_per_group: 0", 17, "min_per_group: must be at least 1, not 0"),
        (TOOLS, "sign: signed", "sign: sgined", 18, "sign: must be 'absolute' or 'signed', not 'sgined'"),
        (TOOLS, "sign: signed", "sing: signed", 18, "sing: unknown key (nearest: sign)"),
        (TOOLS, "sign: signed", "prompts: [a]", 18, "prompts: belongs to kind skew"),
        (TOOLS, "sign: signed", "desired: uniform", 18, "desired: belongs to kind skew"),
        (TOOLS, "manifest: manifest.csv", "manifest: manifst.csv", 5, "manifest: there is no file"),
        (TOOLS, "images: images", "images: manifest.csv", 7, "images: there is no folder"),
        (TOOLS, "label: class", "lable: class", 6, "columns.lable: unknown key (nearest: label)"),
        (TOOLS, "licence: CC BY 4.0", "shards: shards", 4, "shards: manifest and shards are both there"),
        (TOOLS, "licence: CC BY 4.0", "split: test", 4, "split: is not read with a manifest"),
        (TOOLS, "licence: CC BY 4.0", "licence:", 4, "licence: must be text, not nothing"),
        (TOOLS, "manifest: manifest.csv\n", "", 1, "the file: neither manifest nor shards is there"),
        (SHARDS, "split: val", "columns: {image: file}", 4, "columns: is not read with shards"),
        (SHARDS, "split: val", "images: images", 4, "images: is not read with shards"),
        (SHARDS, "split: val", "split: ../val", 4, "split: '../val' cannot be a split"),
        (SHARDS, "shards: shards", "shards: shard", 3, "shards: there is no folder"),
        (SCENES, "ks: [1, 2]", "groups: {a: [b]}", 5, "groups: belongs to kind classification and skew"),
        (SCENES, "caption: text", "label: text", 4, "columns.label: unknown key"),
        (FACES, "groups: {age: [young, old]}\n", "", 1, "groups: is missing"),
        (FACES, "groups: {age: [young, old]}", "groups: {}", 4, "groups: is empty"),
        (FACES, "[young, old]", "[Young, young]", 4, "groups.age[1]: 'young' and 'Young' both become 'young' in metric names"),
        (FACES, "prompts: [a photo of a leader, a photo of a nurse]", "prompts: oxai31", 5, "(nearest: oxai319)"),
        (FACES, "[a photo of a leader, a photo of a nurse]", "[a, a]", 5, "prompts[1]: 'a' stands there twice"),
        (FACES, "k: 10", "k: ten", 6, "k: must be a whole number, not 'ten'"),
        (FACES, "uniform", "unifrom", 7, "desired: must be 'dataset' or 'uniform', not 'unifrom'"),
        (FACES, "kind: skew", "kind: skwe", 2, "kind: 'skwe' is no kind (nearest: skew)"),
        (FACES, "kind: skew", "kind: [skew]", 2, "kind: a list is no kind"),
        (FACES, "kind: skew\n", "", 1, "kind: is missing"),
        (FACES, FACES, "- a\n", 1, "holds a list"),
        (FACES, FACES, "", 1, "holds nothing"),
        (FACES, "k: 10", "k: 10\nk: 5", 7, "the key 'k' stands there twice"),
    ],
)
def test_faults_are_named_with_their_line(tmp_path: Path, text: str, old: str, new: str, line: int, told: str) -> None:
    assert text.count(old) == 1
    found = re.findall(r"line (\d+): (.*)", refusal(tmp_path, text.replace(old, new)))
    assert found[0][0] == str(line)
    assert told in found[0][1]
    assert len(found) == 1, "one fault, one line"


def test_all_faults_are_told_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = TOOLS
    for old, new in (
        ("tools", "Tools"),
        ("hammer", "wrench"),
        ("small, large]", "small]"),
        ("ks: [1]", "ks: []"),
        ("sign: signed", "split: x"),
    ):
        text = text.replace(old, new)
    assert re.findall(r"line (\d+): ([\w.\[\]]*)", refusal(tmp_path, text)) == [
        ("1", "name"), ("8", "classes.w"), ("10", "ks"), ("15", "pairs[0].second"), ("18", "split"),
    ]  # fmt: skip


def test_every_fault_has_a_remedy(tmp_path: Path) -> None:
    message = refusal(tmp_path, TOOLS.replace("sign: signed", "sing: signed").replace("ks: [1]", "ks: 1"))
    assert "- valid keys there are name, kind, home," in message
    assert "- write [one, another]" in message


def test_a_group_that_is_wrong_itself_makes_no_fault_of_its_pairs(tmp_path: Path) -> None:
    message = refusal(tmp_path, TOOLS.replace("[small, large]", "[small, 3]"))
    assert re.findall(r"line (\d+)", message) == ["12"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_key_of_a_kind_refuses_what_it_cannot_be(tmp_path: Path, kind: str) -> None:
    text = {"classification": TOOLS, "retrieval": SCENES, "skew": FACES}[kind]
    for key in KINDS[kind].model_fields:
        lines = [line for line in text.splitlines() if not line.startswith((f"{key}:", " "))]
        lines = [line for line in lines if line not in ("groups:", "pairs:")]
        assert f" {key}: " in refusal(tmp_path, "\n".join([*lines, f"{key}: 1.5", ""]))


PLACES = st.integers(0, 40)
VALUES = st.sampled_from(
    """x 3 -1 1.5 true yes [] {} [a] [[a]] {"a":b} [a,a] '{}' null 2001-01-01 tools small berg240 manifest.csv . .. 'a|b' "\\0" &a *a !x é
    {"size":[small]} [{"name":a}] skew shards 99999999999999999999""".split()
)


@st.composite
def mutations(draw: st.DrawFn) -> str:
    """A good file with some lines dropped, doubled, moved or given another value."""
    lines = draw(st.sampled_from([TOOLS, SCENES, FACES, SHARDS])).splitlines()
    for _ in range(draw(st.integers(1, 4))):
        row, what = draw(PLACES) % len(lines), draw(st.sampled_from(["drop", "double", "value", "word", "indent"]))
        line = lines[row]
        if what == "drop" and len(lines) > 1:
            del lines[row]
        elif what == "double":
            lines.insert(draw(PLACES) % len(lines), line)
        elif what == "value":
            lines[row] = f"{line.partition(':')[0]}: {draw(VALUES)}"
        elif what == "word":
            words = re.split(r"(\w+)", line)
            words[draw(PLACES) % len(words)] = draw(VALUES)
            lines[row] = "".join(words)
        else:
            lines[row] = draw(st.sampled_from([" ", "  - ", "\t", "- "])) + line
    return "\n".join(lines) + "\n"


@settings(max_examples=150, deadline=None)
@given(text=mutations())
def test_mutated_files_give_a_definition_or_a_valueerror_with_a_line(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    file = folder_with(tmp_path_factory.getbasetemp()) / "tools.yaml"
    file.write_text(text, encoding="utf-8")
    try:
        told = f"{file}: line 1: {read_definition(file).name}"
    except ValueError as error:
        told = str(error)
    assert told.startswith(f"{file}: ")
    assert "line " in told
