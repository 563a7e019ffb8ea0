"""`dry_run=true` tells what `main` would do, and changes nothing: not the store, not the cache, not even a time of last use."""

import re
from pathlib import Path

import mlflow
import pytest

from qbias.digests import file_digest
from qbias.forecast import Batches, Pace, untouched_cache
from qbias.store import cache_root
from tests.conftest import copied_store, current_store
from tests.test_study import call

COMMON = ("--quantizers", "torch-int8", "--benchmarks", "coco", "--limit", "20", "--noise", "no")


def state(*folders: Path) -> dict[str, tuple[int, str]]:
    """Every file and folder with its time and content; SQLite's lock files come and go."""
    paths = [path for folder in folders for path in [folder, *sorted(folder.rglob("*"))] if not path.name.endswith(("-shm", "-wal"))]
    # MLflow writes this file anew, with the same content, whenever it loads a version of a store on this disk; so its folder changes too.
    anew = {spot for path in paths if path.name == "registered_model_meta" for spot in (path, path.parent)}
    return {str(path): (0 if path in anew else path.stat().st_mtime_ns, file_digest(path) if path.is_file() else "") for path in paths}


@pytest.fixture(scope="module")
def studied(empty_store, tmp_path_factory, tiny, world):
    folder = tmp_path_factory.mktemp("study") / "store"
    with current_store(copied_store(empty_store, folder)):
        assert call("main", "--models", tiny, "--data", world, *COMMON) == 0
    return folder


@pytest.fixture
def forecast(studied, tmp_path, tiny, world, capsys):
    """A function: parameters -> what the dry run says, after it was found to change nothing of a copy of the store."""
    with current_store(copied_store(studied, tmp_path / "store")):

        def asked(*words):
            mlflow.search_experiments()
            before = state(tmp_path / "store")
            capsys.readouterr()
            assert call("main", "--dry-run", "true", "--models", tiny, "--data", world, *COMMON, *words) == 0
            assert state(tmp_path / "store") == before
            return capsys.readouterr().out

        yield asked


def test_nothing_is_left_to_do(forecast):
    said = forecast()
    assert "already there: 2 versions, 2 evaluations, 0 arms" in said
    assert "to do: register 0, evaluate 0, measure 0 arms" in said
    assert "0 batches of images and 0 of texts" in said
    assert "timing" not in said


def test_another_choice_of_the_protocol_computes_nothing(forecast):
    said = forecast("--skew-k", "7")
    assert "to do: register 0, evaluate 2, measure 0 arms" in said
    assert "0 batches of images and 0 of texts" in said
    assert "stored already" in said


def test_another_batch_size_computes_everything_from_the_pixels_that_are_there(forecast):
    said = forecast("--batch-size", "5")
    assert "images: 20 (coco 20)" in said
    assert re.search(r"in 8 batches of images and \d+ of texts", said)
    assert "stored already" in said
    assert re.search(r"time: about \d+ s", said)


def test_other_precisions_and_arms_are_counted(forecast):
    said = forecast("--quantizers", "torch-int8,bnb-nf4", "--noise", "yes")
    assert "scenarios: 3 (models: 1, precisions: 3), arms of noise: 3" in said
    assert "to do: register 1, evaluate 1, measure 3 arms" in said
    assert "weights: no new version" not in said


def test_a_shard_that_is_gone_is_missed(forecast):
    file, _ = (cache_root() / "embeddings" / "images").glob("*/*.npy")
    file.unlink()
    assert "in 1 batches of images and 0 of texts" in forecast("--skew-k", "7")


def test_a_store_and_a_cache_that_are_not_there_are_not_made(tmp_path, tiny, world, monkeypatch, capsys):
    monkeypatch.setenv("QBIAS_CACHE", str(tmp_path / "cache"))
    before = mlflow.get_tracking_uri(), mlflow.get_registry_uri()
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.setenv(name, "")  # so that what MLflow sets goes with the test
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    mlflow.set_registry_uri(mlflow.get_tracking_uri())
    try:
        assert call("main", "--dry-run", "true", "--models", tiny, "--data", world, *COMMON) == 0
    finally:
        mlflow.set_tracking_uri(before[0])
        mlflow.set_registry_uri(before[1])
    assert list(tmp_path.iterdir()) == []
    said = capsys.readouterr().out
    assert "to do: register 2, evaluate 2" in said
    assert "to be stored" in said


def test_a_mistake_is_told_without_a_run(forecast, capsys):
    assert call("main", "--dry-run", "true", "--models", "no such") == 1
    assert "main: error: " in capsys.readouterr().err


def test_changes_to_the_copy_do_not_last(tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    monkeypatch.setenv("QBIAS_CACHE", str(cache))
    entry = cache / "embeddings" / "images" / "1" / "000000.npy"
    other = cache / "models" / "vit"
    for file in (entry, other / "config.json"):
        file.parent.mkdir(parents=True)
        file.write_text("content")
    before = state(cache)
    with untouched_cache():
        assert cache_root() != cache
        copy = cache_root() / "embeddings" / "images" / "1"
        assert (copy / "000000.npy").read_text() == "content"
        (copy / "000000.npy").unlink()
        (copy / "000001.npy").write_text("more")
        (cache_root() / "models" / "vit").unlink()
    assert cache_root() == cache
    assert state(cache) == before


def test_a_pace_counts_both_towers():
    assert Pace(2.0, 0.5).seconds(Batches(3, 4) + Batches(1, 0)) == 10.0
