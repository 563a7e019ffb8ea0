"""registry.versions: one version per content, whole or not at all, found again by name, number and alias."""

import dataclasses
import getpass
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient, MlflowException
from mlflow.protos.databricks_pb2 import PERMISSION_DENIED

from qbias.audit import Audit, audit_of
from qbias.digests import bytes_digest, file_digest
from qbias.environment import quantizers_named
from qbias.model_rows import ModelRow
from qbias.quantizers import QUANTIZERS, load_encoder, weights_sha256
from qbias.quantizers.artifact import CARD
from registry import versions
from registry.cards import SELF
from registry.descriptions import model_description
from registry.versions import DESCRIPTION_TAG, VersionCard, content_digest, pip_requirements, register, version_card, version_cards
from registry.weights import weights_of
from tests.conftest import Store
from tests.tiny import MEAN, STD, tiny_clip

ALL = quantizers_named("all")
LINES: list[str] = []
AUDITS: dict[str, Audit] = {}


def model_row(folder: Path, name: str = "toy-small") -> ModelRow:
    """A catalogue row whose weights are in `folder`."""
    facts = ("tiny", "random", "none", "nowhere", "nobody", MEAN, STD)
    return ModelRow(name, "balanced", "small", *facts, expected={}, folder=lambda: folder)


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One tiny CLIP for all tests."""
    return tiny_clip(tmp_path_factory.mktemp("baseline"))


@pytest.fixture
def client(store: Store, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    """A client of a store of the test's own."""
    LINES.clear()
    monkeypatch.chdir(store.artifacts.parent)
    return MlflowClient()


@pytest.fixture(autouse=True)
def each_content_is_audited_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Audits are real, but tests that register the same model share them: one takes seconds."""

    def remembered(baseline: Path, saved: Path) -> Audit:
        key = file_digest(saved / CARD)
        if key not in AUDITS:
            AUDITS[key] = audit_of(baseline, saved)
        return AUDITS[key]

    monkeypatch.setattr(versions, "audit_of", remembered)


def tags_of(client: MlflowClient, name: str = "toy-small") -> dict[str, dict[str, str]]:
    """Tags of every version by number."""
    return {str(version.version): version.tags for version in client.search_model_versions(f"name='{name}'")}


def test_every_row_becomes_a_version_that_loads(client: MlflowClient, baseline: Path) -> None:
    """Baseline first, then each quantizer; tags, links and metrics are there and the version gives the Encoder's rows."""
    modules = list(sys.path)
    cards = register(model_row(baseline), ALL[::-1], report=LINES.append)
    assert all(Path(place).is_dir() for place in set(sys.path) - set(modules)), "MLflow leaves a folder that is gone on the path"
    assert [card.quantizer for card in cards] == ["fp32", *[row.name for row in ALL[:0:-1]]]
    assert [card.version for card in cards] == [str(number) for number in range(1, len(ALL) + 1)]
    assert {card.baseline_version for card in cards} == {"1"}
    assert {(card.name, card.source, card.size) for card in cards} == {("toy-small", "balanced", "small")}
    assert len({card.weights_sha256 for card in cards}) == len({card.content for card in cards}) == len(ALL)
    assert len(LINES) == len(ALL)
    tags = tags_of(client)
    assert tags["1"]["qbias.baseline_version"] == SELF
    assert set(tags["2"]) >= {f"qbias.{name}" for name in ("quantizer", "baseline_version", "weights_sha256", "content", "source", "size")}
    assert tags["2"]["qbias.registered_by"] == cards[1].registered_by == getpass.getuser()
    assert [weights_of(card) for card in cards] == [card.weights_sha256 for card in cards], "computed anew from what is stored"
    for card in cards:
        check_version(client, card)


def check_version(client: MlflowClient, card: VersionCard) -> None:
    """The version's run, metrics, link and prediction."""
    version = client.get_model_version(card.name, card.version)
    run = client.get_run(version.run_id)
    assert run.data.tags["qbias.kind"] == "registration"
    assert run.info.status == "FINISHED"
    assert {"model/bytes", "model/linears_quantized", "model/parameters_covered"} <= run.data.metrics.keys()
    assert (run.data.metrics["model/linears_quantized"] == 0) == (card.quantizer == "fp32")
    logged = client.get_logged_model(card.model_id)
    assert {metric.key for metric in logged.metrics} == run.data.metrics.keys()
    assert json.loads(logged.tags["mlflow.modelVersions"]) == [{"name": card.name, "version": version.version}]
    check_face(client, card, run.data.metrics)
    model = mlflow.pyfunc.load_model(card.uri)
    held = Path(mlflow.artifacts.download_artifacts(card.uri))
    assert {file.name for file in (held / "artifacts").iterdir()} == {"model", "audit.json", "model_card.md"}
    assert sum(file.stat().st_size for file in (held / "code").rglob("*")) < 1_000_000
    folder = held / "artifacts" / "model"
    assert weights_sha256(folder) == card.weights_sha256
    rows = model.predict(pd.DataFrame({"text": ["a photo", "the robot"]}))
    np.testing.assert_array_equal(rows, load_encoder(folder).texts(["a photo", "the robot"]))


def check_face(client: MlflowClient, card: VersionCard, metrics: dict[str, float]) -> None:
    """The version's audit and page, on its run and in the registry."""
    version = client.get_model_version(card.name, card.version)
    audit = mlflow.artifacts.load_dict(f"runs:/{version.run_id}/audit/audit.json")
    assert audit["quantizer"] == card.quantizer
    assert audit["metrics"].items() <= metrics.items()
    files = {file.path for file in client.list_artifacts(version.run_id, "audit")}
    assert files == {f"audit/{name}" for name in ("audit.json", "layers.csv", "sqnr.svg", "sqnr.png")}
    page = mlflow.artifacts.load_text(f"runs:/{version.run_id}/model_card.md")
    assert page.startswith(f"# toy-small, {card.quantizer}\n")
    assert f"in precision `{card.quantizer}`" in version.description
    assert f'load_model("models:/{card.model_id}")' in version.description
    assert client.get_registered_model(card.name).description == model_description(model_row(Path()))


def test_a_persons_description_is_left_alone(client: MlflowClient, baseline: Path) -> None:
    """An empty description is filled and our own renewed; what a person wrote or changed stays."""
    client.create_registered_model("toy-small")
    row = model_row(baseline)
    for changed, expected in ((row, row), (dataclasses.replace(row, licence="MIT"), dataclasses.replace(row, licence="MIT"))):
        versions._describe(client, changed)
        model = client.get_registered_model("toy-small")
        assert model.description == model_description(expected)
    client.update_registered_model("toy-small", "Ask Ada before you use it.")
    versions._describe(client, row)
    assert client.get_registered_model("toy-small").description == "Ask Ada before you use it."
    history = "<!-- qbias: begin -->\n### History\n<!-- qbias: end -->"
    client.create_registered_model("third", description=f"{history}\n\nold", tags={DESCRIPTION_TAG: bytes_digest(b"old")})
    third = dataclasses.replace(row, name="third")
    versions._describe(client, third)
    assert client.get_registered_model("third").description == f"{history}\n\n{model_description(third)}", "the history stays above it"
    client.create_registered_model("other", description="mine", tags={DESCRIPTION_TAG: "0"})
    versions._describe(client, dataclasses.replace(row, name="other"))
    assert client.get_registered_model("other").description == "mine"


def test_registering_twice_adds_nothing(client: MlflowClient, baseline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second time nothing is quantized and the same cards come back; a new quantizer adds only itself."""
    rows = [QUANTIZERS["torch-int8"]]
    first = register(model_row(baseline), rows, report=LINES.append)
    broken = [dataclasses.replace(row, write=None) for row in rows]  # type: ignore[arg-type]
    monkeypatch.setitem(QUANTIZERS, "fp32", dataclasses.replace(QUANTIZERS["fp32"], write=None))  # type: ignore[arg-type]
    assert register(model_row(baseline), broken, report=LINES.append) == first
    assert LINES[-1] == "toy-small torch-int8: unchanged, version 2"
    more = register(model_row(baseline), [*rows, QUANTIZERS["bnb-nf4"]], report=LINES.append)
    assert more[:2] == first
    assert (more[2].version, more[2].baseline_version) == ("3", "1")


def test_a_version_that_was_made_twice_is_kept_once(client: MlflowClient, baseline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a lost answer, when MLflow's client repeats its request."""
    create = MlflowClient.create_model_version

    def repeated(*words: Any, **options: Any) -> Any:
        create(*words, **options)
        return create(*words, **options)

    monkeypatch.setattr(MlflowClient, "create_model_version", repeated)
    cards = register(model_row(baseline), [QUANTIZERS["torch-int8"]], report=LINES.append)
    assert [(card.version, card.baseline_version) for card in cards] == [("1", "1"), ("3", "1")]
    assert sorted(str(version.version) for version in client.search_model_versions()) == ["1", "3"]


def test_who_may_not_delete_keeps_both(client: MlflowClient, baseline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing fails, and of equal contents only the newest is looked at."""
    create = MlflowClient.create_model_version

    def refused(*words: Any, **options: Any) -> None:
        raise MlflowException("Permission denied", error_code=PERMISSION_DENIED)

    def repeated(*words: Any, **options: Any) -> Any:
        create(*words, **options)
        return create(*words, **options)

    monkeypatch.setattr(MlflowClient, "create_model_version", repeated)
    monkeypatch.setattr(MlflowClient, "delete_model_version", refused)
    (card,) = register(model_row(baseline), [], report=LINES.append)
    assert (card.version, card.baseline_version) == ("2", "2")
    assert [card.version for card in version_cards()] == ["2"]


def test_contents_differ_by_what_they_are_made_from() -> None:
    """Other weights, a further file, another quantizer, setting or set of libraries are another content; the order of files is not."""
    files, row = {"model.safetensors": "a", "config.json": "b"}, QUANTIZERS["bnb-nf4"]
    digests = {
        content_digest(files, row),
        content_digest(files | {"config.json": "c"}, row),
        content_digest(files | {"vocab.json": "a"}, row),
        content_digest(files, QUANTIZERS["bnb-int8"]),
        content_digest(files, dataclasses.replace(row, settings=dict(row.settings) | {"bnb_4bit_quant_type": "fp4"})),
        content_digest(files, dataclasses.replace(row, packages=row.packages[1:])),
    }
    assert len(digests) == 6
    assert content_digest(dict(reversed(files.items())), row) == content_digest(files, row)


def test_new_weights_make_new_versions_of_both(client: MlflowClient, baseline: Path, tmp_path: Path) -> None:
    """A changed baseline is registered again, its candidates are paired with it, and the old versions stay."""
    rows = [QUANTIZERS["torch-int8"]]
    register(model_row(baseline), rows, report=LINES.append)
    cards = register(model_row(tiny_clip(tmp_path / "other", seed=1)), rows, report=LINES.append)
    assert [(card.version, card.baseline_version) for card in cards] == [("3", "3"), ("4", "3")]
    assert [card.version for card in version_cards()] == ["1", "2", "3", "4"]


def test_a_lost_baseline_is_replaced_with_its_candidates(client: MlflowClient, baseline: Path) -> None:
    """Where the baseline's version was deleted, candidates are made anew: nothing is paired with a version that is gone."""
    rows = [QUANTIZERS["torch-int8"]]
    register(model_row(baseline), rows, report=LINES.append)
    client.delete_model_version("toy-small", "1")
    cards = register(model_row(baseline), rows, report=LINES.append)
    assert [(card.version, card.baseline_version) for card in cards] == [("3", "3"), ("4", "3")]
    assert [card.version for card in version_cards()] == ["3", "4"], "of identical contents the newest only"


@pytest.mark.parametrize("step", ["_logged", "_metrics", "weights_sha256", "audit_of", "version_description"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError("disk full")])
def test_an_interrupted_registration_leaves_no_version(
    client: MlflowClient, baseline: Path, monkeypatch: pytest.MonkeyPatch, step: str, error: type[BaseException] | BaseException
) -> None:
    """Whatever step fails, there is no version, the run is not FINISHED, and the next try makes everything."""

    def fails(*arguments: Any, **options: Any) -> None:
        raise error

    with monkeypatch.context() as broken:
        broken.setattr(versions, step, fails)
        with pytest.raises((KeyboardInterrupt, OSError)):
            register(model_row(baseline), [], report=LINES.append)
    assert client.search_model_versions() == []
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    assert [run.info.status for run in client.search_runs(experiments)] == ["FAILED"]
    assert mlflow.active_run() is None
    assert [card.version for card in register(model_row(baseline), [], report=LINES.append)] == ["1"]


def test_runs_nest_under_the_verbs_run(client: MlflowClient, baseline: Path) -> None:
    """Within an active run, every registration is its child."""
    with mlflow.start_run() as parent:
        register(model_row(baseline), [], report=LINES.append)
    children = client.search_runs([parent.info.experiment_id], f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'")
    assert [run.data.tags["qbias.quantizer"] for run in children] == ["fp32"]


def test_requirements_are_pinned_and_never_name_this_project() -> None:
    """Every requirement has one version; a row brings the libraries that it needs."""
    for row in ALL:
        requirements = pip_requirements(row)
        assert all(line.count("==") == 1 and "+" not in line for line in requirements)
        assert not any(line.startswith("qbias") for line in requirements)
        assert {line.partition("==")[0] for line in requirements} >= {"mlflow", "pandas", "torch", *row.packages}


@pytest.fixture
def server(empty_store: Path, tmp_path: Path) -> Iterator[str]:
    """A tracking server on a loopback port, with its own store and artifacts."""
    shutil.copyfile(empty_store / "mlflow.db", tmp_path / "served.db")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--backend-store-uri",
        f"sqlite:///{tmp_path}/served.db",
        "--artifacts-destination",
        f"{tmp_path}/served",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--workers",
        "1",
    ]
    with (tmp_path / "server.log").open("wb") as log:
        environment = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"}
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=tmp_path, env=environment, start_new_session=True)
    address = answering(f"http://127.0.0.1:{port}", process)
    try:
        yield address
    finally:
        # The server starts a process of its own; both are ended, without waiting for connections that MLflow's client keeps open.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)


def answering(uri: str, process: "subprocess.Popen[bytes]") -> str:
    """The server's address, once it answers."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{uri}/health", timeout=1):  # noqa: S310
                return uri
        except OSError:
            wait_for_end(process, 0.2)
    os.killpg(process.pid, signal.SIGKILL)
    raise AssertionError("the tracking server did not start")


def wait_for_end(process: "subprocess.Popen[bytes]", seconds: float) -> None:
    """Wait for the process to end, at most so long."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return


def test_registering_over_http(client: MlflowClient, server: str, baseline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tracking server gets the same versions through its API, and gives them back."""
    monkeypatch.delenv("MLFLOW_EXPERIMENT_ID")
    mlflow.set_tracking_uri(server)
    mlflow.set_registry_uri(server)
    mlflow.set_experiment("served")
    cards = register(model_row(baseline), [QUANTIZERS["bnb-nf4"]], report=LINES.append)
    assert register(model_row(baseline), [QUANTIZERS["bnb-nf4"]], report=LINES.append) == cards == version_cards()
    check_version(MlflowClient(), version_card("models:/toy-small/2"))
