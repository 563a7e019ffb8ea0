"""The table of benchmarks, held against the drawn world, which is in their real formats."""

from pathlib import Path

import pytest

from qbias.benchmarks import BENCHMARKS, load
from qbias.protocol import Protocol


def test_the_rows_and_their_order() -> None:
    assert list(BENCHMARKS) == ["imagenet", "coco", "facet", "fairface"]
    assert all(row.home.startswith("https://") and row.licence and row.layout.startswith(f"{row.folder}/") for row in BENCHMARKS.values())


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_missing_folder_names_the_path_and_the_layout(tmp_path: Path, name: str) -> None:
    row = BENCHMARKS[name]
    with pytest.raises(ValueError, match="no such folder") as refused:
        load(row, tmp_path, Protocol())
    assert str(tmp_path / row.folder) in str(refused.value)
    assert row.layout in str(refused.value)


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_benchmark_reads_the_drawn_world(world: Path, name: str) -> None:
    row = BENCHMARKS[name]
    dataset = load(row, world, Protocol(limit=50))
    assert (dataset.benchmark, dataset.kind, dataset.root) == (name, row.kind, world / row.folder)
    assert len(dataset.images) == 50
    assert dataset.images["id"].is_unique
    assert dataset.images.index.tolist() == list(range(50))
    assert all((dataset.root / path).is_file() for path in dataset.images["path"])
    assert dataset.texts["text"].map(len).min() > 0
    assert len(dataset.digest) == len(dataset.prompts_sha256) == 64
    whole = load(row, world, Protocol())
    assert set(dataset.images["id"]) < set(whole.images["id"])
    assert dataset.digest != whole.digest
    assert load(row, world, Protocol(limit=50)).digest == dataset.digest
