"""Outcomes that could not be logged: kept whole or not at all, found again for exactly what they are of, gone once they are logged."""

import logging
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from qbias.outcomes import outcomes_of, write_outcomes
from qbias.protocol import Protocol
from qbias.streamed import measure_stored
from qbias.unlogged import logging_outcomes, place_of, recovered
from tests.made import classification, retrieval, skew

MADE = {"classification": classification, "retrieval": retrieval, "skew": skew}
HOW = Protocol()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("QBIAS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def kept(cache: Path, tmp_path: Path) -> Path:
    """Outcomes whose logging failed."""
    dataset, image_ND, text_MD = classification()
    place = place_of("a", dataset, HOW, format=1)
    write_outcomes(outcomes_of(dataset, image_ND, text_MD, HOW), tmp_path / "first")
    with pytest.raises(OSError, match="unreachable"), logging_outcomes(tmp_path / "first", place):
        raise OSError("unreachable")
    return place


@pytest.mark.parametrize("kind", MADE)
def test_what_could_not_be_logged_is_found_again_whole_and_gives_the_same_metrics(kind: str, tmp_path: Path) -> None:
    dataset, image_ND, text_MD = MADE[kind]()
    first, kept = tmp_path / "first", place_of("a", dataset, HOW, format=1)
    write_outcomes(outcomes_of(dataset, image_ND, text_MD, HOW), first)
    with pytest.raises(OSError, match="unreachable"), logging_outcomes(first, kept):
        raise OSError("unreachable")
    before = {file.name: file.read_bytes() for file in first.iterdir()}
    expected = measure_stored(first)
    shutil.rmtree(first)
    assert recovered(kept, tmp_path / "second")
    assert {file.name: file.read_bytes() for file in (tmp_path / "second").iterdir()} == before
    assert measure_stored(tmp_path / "second") == expected


def test_once_they_are_logged_nothing_is_kept(kept: Path, tmp_path: Path) -> None:
    with logging_outcomes(tmp_path / "first", kept):
        assert kept.is_dir()
    assert not kept.exists()
    assert not recovered(kept, tmp_path / "second")


def test_those_of_another_model_data_protocol_or_format_are_not_found(kept: Path) -> None:
    dataset, _, _ = classification()
    others = [
        place_of("b", dataset, HOW, format=1),
        place_of("a", replace(dataset, digest="e" * 64), HOW, format=1),
        place_of("a", replace(dataset, prompts_sha256="e" * 64), HOW, format=1),
        place_of("a", dataset, replace(HOW, batch_size=32), format=1),
        place_of("a", dataset, HOW, format=2),
    ]
    assert place_of("a", dataset, HOW, format=1) == kept
    assert len({kept, *others}) == 1 + len(others)


@pytest.mark.parametrize("file", ["images.parquet", "outcomes.json"])
def test_damaged_ones_are_thrown_away_and_it_is_said(file: str, kept: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    content = (kept / file).read_bytes()
    (kept / file).write_bytes(content[: len(content) // 2])
    with caplog.at_level(logging.WARNING):
        assert not recovered(kept, tmp_path / "second")
    assert "damaged" in caplog.text
    assert not kept.exists()
    assert not (tmp_path / "second").exists()


def test_a_foreign_models_are_not_kept(tmp_path: Path, cache: Path) -> None:
    dataset, image_ND, text_MD = classification()
    write_outcomes(outcomes_of(dataset, image_ND, text_MD, HOW), tmp_path / "first")
    with pytest.raises(OSError, match="unreachable"), logging_outcomes(tmp_path / "first", None):
        raise OSError("unreachable")
    assert not cache.exists()


def test_where_they_cannot_be_kept_either_the_first_error_stays(tmp_path: Path, cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    dataset, image_ND, text_MD = classification()
    write_outcomes(outcomes_of(dataset, image_ND, text_MD, HOW), tmp_path / "first")
    cache.write_text("no folder")
    kept = place_of("a", dataset, HOW, format=1)
    with pytest.raises(OSError, match="unreachable"), logging_outcomes(tmp_path / "first", kept):
        raise OSError("unreachable")
    assert "cannot be kept" in caplog.text
