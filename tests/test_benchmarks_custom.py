"""Benchmarks of one's own: images, labels, groups and captions from a manifest or from shards, and every defect with its line."""

import io
import json
import re
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qbias.benchmarks.content import finished
from qbias.benchmarks.custom import load_custom
from qbias.benchmarks.prompts import BERG240
from qbias.measure import harm_of, measure
from qbias.outcomes import outcomes_of, read_outcomes, write_outcomes
from qbias.protocol import Protocol
from qbias.records import Dataset
from tests.trees import image

TOOLS = """\
name: tools
kind: classification
manifest: manifest.csv
columns: {image: file, label: class}
images: images
classes: {h: hammer, w: claw wrench}
templates: ["a photo of a {}", "a {}."]
ks: [1]
groups: {size: [small, large], finish: [matte, glossy]}
pairs: [{name: size_sl, column: size, first: small, second: large}]
min_per_group: 1
sign: signed
"""
TOOLS_CSV = """\
size,file,class,finish,note
small,a.png,h,matte,x
large,sub/b.png,h,,x
small,c.png,w,glossy,x
large,d.png,w,,x
"""
SCENES = "name: scenes\nkind: retrieval\nmanifest: manifest.csv\nimages: images\nks: [1, 2]\n"
SCENES_CSV = 'caption,image\na hammer,a.png\n"a wrench, red",sub/b.png\na tool,a.png\na saw,c.png\n'
FACES = """\
name: faces
kind: skew
manifest: manifest.csv
images: images
groups: {age: [young, old]}
prompts: [a photo of a leader, a photo of a nurse]
k: 2
desired: uniform
"""
FACES_CSV = "image,age\na.png,young\nsub/b.png,old\nc.png,young\nd.png,\n"
SHARDS = "name: shards\nkind: classification\nshards: shards\nclasses: [hammer, wrench]\ntemplates: ['a {}']\n"
GIVEN = {"tools": (TOOLS, TOOLS_CSV), "scenes": (SCENES, SCENES_CSV), "faces": (FACES, FACES_CSV)}


def tree(folder: Path, text: str, manifest: str | bytes = "") -> Path:
    """The YAML file with its manifest beside it and four images below `images`."""
    for name in ("a.png", "sub/b.png", "c.png", "d.png"):
        if not (folder / "images" / name).exists():
            image(folder / "images" / name)
    (folder / "manifest.csv").write_bytes(manifest.encode() if isinstance(manifest, str) else manifest)
    (folder / "own.yaml").write_text(text, encoding="utf-8")
    return folder / "own.yaml"


def refusal(file: Path) -> str:
    with pytest.raises(ValueError, match=re.escape(str(file.parent))) as refused:
        load_custom(file)
    return str(refused.value)


def test_a_classification(tmp_path: Path) -> None:
    dataset = load_custom(tree(tmp_path, TOOLS, TOOLS_CSV))
    assert (dataset.benchmark, dataset.kind, dataset.root) == ("tools", "classification", tmp_path / "images")
    assert dataset.images.to_dict("list") == {
        "id": ["a.png", "sub/b.png", "c.png", "d.png"],
        "path": ["a.png", "sub/b.png", "c.png", "d.png"],
        "label": [0, 0, 1, 1],
        "label2": [-1] * 4,
        "size": ["small", "large", "small", "large"],
        "finish": ["matte", "", "glossy", ""],
    }
    assert dataset.texts.to_dict("list") == {
        "text": ["a photo of a hammer", "a hammer.", "a photo of a claw wrench", "a claw wrench."],
        "class": [0, 0, 1, 1],
        "template": [0, 1, 0, 1],
    }
    pair = {"name": "size_sl", "column": "size", "first": "small", "second": "large"}
    measured = {"templates": ["a photo of a {}", "a {}."], "ks": [1], "pairs": [pair], "min_per_group": 1, "sign": "signed"}
    definition = dataset.facts["definition"]
    known = {"classes": ["hammer", "claw wrench"], "class2": "each", "groups": ["size", "finish"]}
    assert dataset.facts == known | {"definition": definition} | measured
    groups = {"size": ["small", "large"], "finish": ["matte", "glossy"]}
    assert definition == {"kind": "classification", "classes": ["hammer", "claw wrench"], "groups": groups} | measured


def test_a_retrieval(tmp_path: Path) -> None:
    dataset = load_custom(tree(tmp_path, SCENES, SCENES_CSV))
    assert dataset.images.to_dict("list") == {"id": ["a.png", "sub/b.png", "c.png"], "path": ["a.png", "sub/b.png", "c.png"]}
    assert dataset.texts.to_dict("list") == {"text": ["a hammer", "a wrench, red", "a tool", "a saw"], "image": [0, 1, 0, 2]}
    assert dataset.facts == {"ks": [1, 2], "definition": {"kind": "retrieval", "ks": [1, 2]}}


def test_a_skew(tmp_path: Path) -> None:
    dataset = load_custom(tree(tmp_path, FACES, FACES_CSV))
    assert dataset.images["age"].tolist() == ["young", "old", "young", ""]
    assert dataset.texts.to_dict("list") == {"text": ["a photo of a leader", "a photo of a nurse"]}
    groups, reference = {"age": ["young", "old"]}, {"k": 2, "desired": "uniform"}
    assert dataset.facts == {
        "attributes": groups,
        **reference,
        "prompt_set": "inline",
        "prompts": 2,
        "prompts_reconstructed": False,
        "definition": {"kind": "skew", "groups": groups, **reference},
    }


@pytest.mark.parametrize(("prompts", "name", "reconstructed", "count"), [("berg240", "berg240", True, 240), ("mine.txt", "file", False, 2)])
def test_prompts_from_a_named_list_and_from_a_file(tmp_path: Path, prompts: str, name: str, reconstructed: bool, count: int) -> None:
    (tmp_path / "mine.txt").write_text("a leader\n\na nurse\n", encoding="utf-8")
    text = FACES.replace("[a photo of a leader, a photo of a nurse]", prompts)
    dataset = load_custom(tree(tmp_path, text, FACES_CSV))
    assert (dataset.facts["prompt_set"], dataset.facts["prompts_reconstructed"]) == (name, reconstructed)
    assert (dataset.facts["prompts"], len(dataset.texts)) == (count, count)
    assert dataset.texts["text"][0] == (BERG240.prompts[0] if reconstructed else "a leader")


def test_an_empty_prompt_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("\n", encoding="utf-8")
    assert "mine.txt: holds no prompt" in refusal(
        tree(tmp_path, FACES.replace("[a photo of a leader, a photo of a nurse]", "mine.txt"), FACES_CSV)
    )


def test_home_and_licence_are_the_source_and_change_nothing_else(tmp_path: Path) -> None:
    plain = load_custom(tree(tmp_path, TOOLS, TOOLS_CSV))
    dataset = load_custom(tree(tmp_path, TOOLS + "home: https://example.org\nlicence: CC BY 4.0\n", TOOLS_CSV))
    assert dataset.facts["source"] == "https://example.org; CC BY 4.0"
    assert {name: value for name, value in dataset.facts.items() if name != "source"} == plain.facts


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("small, large", "large, small"),
        ("ks: [1]", "ks: [1, 2]"),
        ("signed", "absolute"),
        ("group: 1", "group: 2"),
        ("size_sl", "s"),
        ("a {}.", "{}"),
    ],
)
def test_the_definition_holds_what_changes_a_number(tmp_path: Path, old: str, new: str) -> None:
    plain = load_custom(tree(tmp_path, TOOLS, TOOLS_CSV)).facts["definition"]
    assert load_custom(tree(tmp_path, TOOLS.replace(old, new), TOOLS_CSV)).facts["definition"] != plain


def test_images_lie_beside_the_yaml_file_unless_it_says_otherwise(tmp_path: Path) -> None:
    file = tree(tmp_path, TOOLS.replace("images: images\n", ""), re.sub(r",(\S+\.png)", r",images/\1", TOOLS_CSV))
    dataset = load_custom(file)
    assert dataset.root == tmp_path
    assert dataset.images["path"].tolist()[:2] == ["images/a.png", "images/sub/b.png"]


@pytest.mark.parametrize("name", GIVEN)
def test_each_kind_can_be_measured_stored_and_read_back(tmp_path: Path, name: str) -> None:
    dataset = finished(load_custom(tree(tmp_path, *GIVEN[name])), limit=None)
    rng = np.random.default_rng(0)
    rows = [rng.normal(size=(count, 8)) for count in (len(dataset.images), len(dataset.texts))]
    outcomes = outcomes_of(dataset, *(row / np.linalg.norm(row, axis=1, keepdims=True) for row in rows), Protocol())
    write_outcomes(outcomes, tmp_path / "outcomes")
    measured, insufficient = measure(read_outcomes(tmp_path / "outcomes"))
    assert measured
    assert all(row.name.startswith(f"{name}/") and harm_of(row.name) for row in [*measured, *insufficient])


@pytest.mark.parametrize(
    ("name", "old", "new", "line", "told"),
    [
        ("tools", ",h,matte", ",hamer,matte", 2, "unknown class 'hamer'"),
        ("tools", "large,sub", "larg,sub", 3, "unknown size 'larg' (nearest: large)"),
        ("tools", ",h,matte", ",,matte", 2, "class is empty"),
        ("tools", "a.png", "", 2, "file is empty"),
        ("tools", "c.png", "a.png", 4, "'a.png' stands already at line 2"),
        ("tools", "c.png", ".//a.png", 4, "'a.png' stands already at line 2"),
        ("tools", "c.png", "none.png", 4, "there is no image"),
        ("tools", "c.png", "sub", 4, "there is no image"),
        ("tools", "c.png", "../own.yaml", 4, "leaves"),
        ("tools", "c.png", "/etc/hosts", 4, "leaves"),
        ("tools", "c.png", "link.png", 4, "through a link"),
        ("tools", "size,file,class", "size,file,label", 1, "column 'class' is missing"),
        ("tools", "note", "size", 1, "column 'size' stands 2 times"),
        ("tools", ",x\nsmall", ",x,y\nsmall", 3, "6 cells where the header has 5"),
        ("scenes", "a tool", "", 4, "caption is empty"),
        ("scenes", "c.png", "none.png", 5, "there is no image"),
        ("scenes", "caption,", "text,", 1, "column 'caption' is missing"),
        ("faces", "old", "odl", 3, "unknown age 'odl' (nearest: old)"),
        ("faces", "c.png", "a.png", 4, "'a.png' stands already at line 2"),
        ("faces", "image,age", "image,Age", 1, "column 'age' is missing"),
    ],
)
def test_defects_of_the_manifest_are_named_with_their_line(tmp_path: Path, name: str, old: str, new: str, line: int, told: str) -> None:
    text, manifest = GIVEN[name]
    assert old in manifest
    file = tree(tmp_path, text, manifest.replace(old, new, 1))
    (tmp_path / "images" / "link.png").symlink_to(tmp_path / "own.yaml")
    found = re.findall(r"line (\d+): (.*)", refusal(file))
    assert [number for number, _ in found] == [str(line)]
    assert told in found[0][1]


def test_defects_are_told_at_once_up_to_twenty(tmp_path: Path) -> None:
    manifest = TOOLS_CSV + "tiny,e.png,saw,,\n,f.png,,dull,\n"
    message = refusal(tree(tmp_path, TOOLS, manifest))
    assert f"{tmp_path / 'manifest.csv'}: 6 problem(s)" in message
    for told in (
        "unknown class 'saw'",
        "unknown size 'tiny'",
        "class is empty",
        "unknown finish 'dull'",
        "e.png",
        "f.png",
        "class is one of h, w",
    ):
        assert told in message
    many = TOOLS_CSV + "".join(f"small,{n}.png,h,,\n" for n in range(30))
    assert "... and 10 more" in refusal(tree(tmp_path, TOOLS, many))


def test_a_defect_is_told_once(tmp_path: Path) -> None:
    assert "2 problem(s)" in refusal(tree(tmp_path, TOOLS, TOOLS_CSV.replace("a.png", "").replace("c.png", "")))
    assert "1 problem(s)" in refusal(tree(tmp_path, SCENES, SCENES_CSV.replace("a.png", "none.png")))


def test_a_manifest_without_rows_is_refused(tmp_path: Path) -> None:
    assert "no rows" in refusal(tree(tmp_path, TOOLS, TOOLS_CSV.splitlines()[0] + "\n"))
    assert "is empty" in refusal(tree(tmp_path, TOOLS, ""))


def test_thousands_of_unknown_labels_are_counted(tmp_path: Path) -> None:
    classes = ", ".join(f"class{n}" for n in range(400))
    text = re.sub(r"classes: .*", f"classes: [{classes}]", TOOLS)
    rows = "".join(f"small,{n}.png,clas {n % 400} of them,,\n" for n in range(5_000))
    message = refusal(tree(tmp_path, text, TOOLS_CSV.splitlines()[0] + "\n" + rows))
    assert "10000 problem(s)" in message


def pack(folder: Path, samples: Mapping[str, Mapping[str, str]], **texts: str) -> None:
    """One shard of the split `test` below `folder`: per key the files of a sample by suffix, and an image; text files beside it."""
    (folder / "test").mkdir(parents=True, exist_ok=True)
    (folder / "test" / "nshards.txt").write_text("1\n", encoding="utf-8")
    for name, text in texts.items():
        (folder / f"{name}.txt").write_text(text, encoding="utf-8")
    with tarfile.open(folder / "test" / "0.tar", "w") as tar:
        for key, sample in samples.items():
            for suffix, content in {"png": f"image {key}", **sample}.items():
                info = tarfile.TarInfo(f"{key}.{suffix}")
                info.size = len(content.encode())
                tar.addfile(info, io.BytesIO(content.encode()))


@pytest.fixture
def shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for shards; what is unpacked goes to the test's own cache."""
    monkeypatch.setenv("QBIAS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "shards"


def sample(label: int, text: str = "a caption", **fields: Any) -> dict[str, str]:
    return {"cls": str(label), "txt": text, "json": json.dumps(fields)}


def test_shards_with_classes_from_the_yaml_file(tmp_path: Path, shards: Path) -> None:
    pack(shards, {"a1": sample(1, size="small"), "a2": sample(0)})
    dataset = load_custom(tree(tmp_path, SHARDS + "groups: {size: [small, large]}\n"))
    assert dataset.images.drop(columns="path").to_dict("list") == {
        "id": ["a1.png", "a2.png"], "label": [1, 0], "label2": [-1, -1], "size": ["small", ""],
    }  # fmt: skip
    assert (dataset.root / dataset.images["path"][0]).read_bytes() == b"image a1"
    assert dataset.texts["text"].tolist() == ["a hammer", "a wrench"]


def test_shards_with_classes_and_templates_of_their_own(tmp_path: Path, shards: Path) -> None:
    names = {"classnames": "crane\ncrane\nsaw\n", "zeroshot_classification_templates": "a {c}.\nthe {c}.\n"}
    pack(shards, {"a1": sample(2), "a2": sample(0)}, **names)
    dataset = load_custom(tree(tmp_path, "name: own\nkind: classification\nshards: shards\n"))
    assert dataset.facts["classes"] == ["crane", "crane", "saw"], "a known set's own names may stand twice, as ImageNet's do"
    assert dataset.facts["definition"]["templates"] == dataset.facts["templates"] == ["a {}.", "the {}."]
    assert dataset.images["label"].tolist() == [2, 0]


def test_shards_for_retrieval_and_skew(tmp_path: Path, shards: Path) -> None:
    pack(shards, {"a1": sample(0, "one\ntwo", age="old"), "a2": sample(0, "three", age="young")})
    retrieval = load_custom(tree(tmp_path, "name: own\nkind: retrieval\nshards: shards\n"))
    assert retrieval.texts.to_dict("list") == {"text": ["one", "two", "three"], "image": [0, 0, 1]}
    skew = load_custom(tree(tmp_path, "name: own\nkind: skew\nshards: shards\nprompts: [a]\ngroups: {age: [young, old]}\n"))
    assert skew.images["age"].tolist() == ["old", "young"]


def test_defects_of_shards_are_named_with_their_sample(tmp_path: Path, shards: Path) -> None:
    pack(shards, {"a1": sample(2, size="smal"), "a2": sample(0)})
    message = refusal(tree(tmp_path, SHARDS + "groups: {size: [small, large]}\n"))
    assert "0.tar sample 'a1': unknown label '2'" in message
    assert "0.tar sample 'a1': unknown size 'smal' (nearest: small)" in message
    assert "label is one of 0, 1" in message


def test_shards_without_classes_need_them_as_a_list(tmp_path: Path, shards: Path) -> None:
    pack(shards, {"a1": sample(0)})
    message = refusal(tree(tmp_path, "name: own\nkind: classification\nshards: shards\n"))
    assert "own.yaml" in message
    assert "classes: missing" in message
    assert "templates: missing" in message
    mapping = SHARDS.replace("[hammer, wrench]", "{a: hammer, b: wrench}")
    assert "classes: a mapping" in refusal(tree(tmp_path, mapping))


CELLS = st.sampled_from(
    ["a.png", "sub/b.png", "c.png", "", ".", "..", "/", "\\", "h", "w", "small", "old", "a|b", '"', "\0", "é", "x" * 300, "\n"]
)


@st.composite
def manifests(draw: st.DrawFn) -> bytes:
    """A good manifest with cells replaced and rows dropped or doubled; or any bytes."""
    if draw(st.integers(0, 4)) == 0:
        return draw(st.binary(max_size=80))
    rows = [line.split(",") for line in draw(st.sampled_from([TOOLS_CSV, SCENES_CSV, FACES_CSV])).splitlines()]
    for _ in range(draw(st.integers(0, 4))):
        row = draw(st.integers(0, len(rows) - 1))
        if draw(st.booleans()):
            rows[row][draw(st.integers(0, len(rows[row]) - 1))] = draw(CELLS)
        else:
            rows.insert(draw(st.integers(0, len(rows))), list(rows[row]))
    return "\n".join(",".join(row) for row in rows).encode()


@settings(max_examples=120, deadline=None)
@given(name=st.sampled_from(sorted(GIVEN)), manifest=manifests())
def test_any_manifest_gives_a_dataset_or_a_valueerror(tmp_path_factory: pytest.TempPathFactory, name: str, manifest: bytes) -> None:
    file = tree(tmp_path_factory.getbasetemp() / "fuzz", GIVEN[name][0], manifest)
    try:
        found = load_custom(file)
        assert isinstance(found, Dataset)
        assert len(set(found.images["id"])) == len(found.images) > 0
        told = str(file.parent / "manifest.csv")
    except ValueError as error:
        told = str(error)
    assert told.startswith(str(file.parent / "manifest.csv"))
