"""The plan: names and YAML files, each read once; what is skipped is the same for everyone."""

from dataclasses import replace
from pathlib import Path

import pytest

from qbias.benchmarks import BENCHMARKS, benchmark_list
from qbias.plan import Plan
from qbias.protocol import Protocol

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
ROBOTS, HEADS = EXAMPLES / "robots" / "robots.yaml", EXAMPLES / "heads" / "heads.yaml"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("all", tuple(BENCHMARKS)),
        ("fairface, coco,coco", ("coco", "fairface")),
        (f"{ROBOTS}", (str(ROBOTS),)),
        (f"{HEADS},all,{ROBOTS},{HEADS}", (*BENCHMARKS, str(HEADS), str(ROBOTS))),
    ],
)
def test_a_list_of_benchmarks(text: str, expected: tuple[str, ...]) -> None:
    assert benchmark_list(text) == expected


def test_a_relative_path_becomes_absolute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(EXAMPLES)
    assert benchmark_list("robots/robots.yaml") == (str(ROBOTS),)


@pytest.mark.parametrize(
    ("text", "says"),
    [("", "no benchmark named"), ("face", "Did you mean 'facet'"), ("no/such.yaml", "no/such.yaml"), ("robots", "path of a .yaml file")],
)
def test_an_unknown_benchmark_is_told(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        benchmark_list(text)


def test_two_benchmarks_of_one_name_are_refused(tmp_path: Path) -> None:
    text = (
        ROBOTS.read_text()
        .replace("manifest.csv", str(ROBOTS.parent / "manifest.csv"))
        .replace("images: images", f"images: {ROBOTS.parent / 'images'}")
    )
    (tmp_path / "twin.yaml").write_text(text)
    plan = Plan((str(ROBOTS), str(tmp_path / "twin.yaml")), tmp_path, Protocol())
    with pytest.raises(ValueError, match="several benchmarks are named robots"):
        plan.datasets()


def test_a_benchmark_of_ones_own_needs_no_data_folder(tmp_path: Path) -> None:
    (dataset,) = Plan((str(HEADS),), tmp_path / "nowhere", Protocol()).datasets()
    assert dataset.benchmark == "heads"


def test_what_the_yaml_says_is_part_of_the_digest(tmp_path: Path) -> None:
    digests = set()
    for number, floor in enumerate((8, 9)):
        file = tmp_path / f"robots{number}.yaml"
        file.write_text(
            ROBOTS.read_text()
            .replace("manifest.csv", str(ROBOTS.parent / "manifest.csv"))
            .replace("images: images", f"images: {ROBOTS.parent / 'images'}")
            .replace("min_per_group: 8", f"min_per_group: {floor}")
        )
        digests.add(Plan((str(file),), tmp_path, Protocol()).dataset(str(file)).digest)
    digests.add(Plan((str(ROBOTS),), tmp_path, Protocol()).dataset(str(ROBOTS)).digest)
    assert len(digests) == 2


def test_only_gives_the_plan_of_one_benchmark(tmp_path: Path) -> None:
    plan = Plan(("coco", "facet"), tmp_path, Protocol())
    assert plan.only("facet") == replace(plan, benchmarks=("facet",))
