"""registry.inspection and its verb: a version of the registry, measured again from its stored weights, on one run."""

import json
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient

from entrypoints.inspect import parser, work
from entrypoints.verb import recorded
from qbias.audit import METRICS
from qbias.model_rows import ModelRow
from qbias.quantizers import QUANTIZERS
from registry.cards import VersionCard
from registry.runs import artifact, runs_of_kind
from registry.versions import register
from tests.conftest import Store
from tests.tiny import MEAN, STD


@pytest.fixture
def cards(store: Store, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> list[VersionCard]:
    """A baseline and a quantized version."""
    monkeypatch.chdir(store.artifacts.parent)
    facts = ("tiny", "random", "none", "nowhere", "nobody", MEAN, STD)
    row = ModelRow("toy-small", "balanced", "small", *facts, expected={}, folder=lambda: tiny)
    return register(row, [QUANTIZERS["torch-int8"]], report=lambda line: None)


def inspected(uri: str) -> str:
    options = parser().parse_args(["--model", uri])
    with mlflow.start_run():
        return recorded("inspect", lambda: work(options))


def test_a_version_is_measured_again_on_one_run(cards: list[VersionCard], capsys: pytest.CaptureFixture[str]) -> None:
    card = cards[1]
    said = inspected(card.uri)
    assert "toy-small/2 (torch-int8) is inspected" in said
    assert "largest difference by what shares the batch, images" in capsys.readouterr().out
    (run,) = runs_of_kind("inspection")
    tags = {"qbias.model": "toy-small", "qbias.version": "2", "qbias.quantizer": "torch-int8", "qbias.verb": "inspect"}
    assert run.data.tags.items() >= (tags | {"qbias.baseline_version": "1", "qbias.weights_sha256": card.weights_sha256}).items()
    with artifact(run, "audit") as folder:
        told = json.loads((folder / "audit.json").read_text(encoding="utf-8"))
        assert sorted(file.name for file in folder.iterdir()) == ["audit.json", "layers.csv", "sqnr.png", "sqnr.svg"]
    assert run.data.metrics == pytest.approx(told["metrics"])
    assert told["metrics"].keys() | told["insufficient"].keys() == METRICS.keys()
    assert told["metrics"]["audit/drift/image/angle_mean"] > 0.1
    # A baseline is measured beside itself.
    inspected(cards[0].uri)
    run = next(runs_of_kind("inspection"))
    assert run.data.tags["qbias.version"] == "1"
    assert run.data.metrics["audit/drift/text/angle_max"] == 0.0


def test_a_version_whose_baseline_is_gone_is_refused(cards: list[VersionCard]) -> None:
    MlflowClient().delete_model_version("toy-small", "1")
    with pytest.raises(ValueError, match=r"models:/toy-small/1' does not exist; versions of toy-small: 2"):
        inspected(cards[1].uri)
    assert list(runs_of_kind("inspection")) == []
