import re
import shutil
from dataclasses import replace
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest

from qbias.evaluator import MODEL_TYPE, QbiasEvaluator, evaluate_model, evaluation_key
from qbias.models import models_named
from qbias.outcomes import read_outcomes
from qbias.plan import Plan
from qbias.protocol import Protocol
from qbias.quantizers import QUANTIZERS
from registry.versions import register

FEW = Protocol(limit=48, batch_size=16, min_per_group=1, skew_k=10)
BOTH = ("coco", "fairface")


class Foreign(mlflow.pyfunc.PythonModel):
    """Somebody else's model: keeps the contract, knows nothing of this project. `spoil` breaks it for one row."""

    def __init__(self, spoil=None):
        self.spoil = spoil

    def predict(self, context, model_input: pd.DataFrame, params=None):
        column = "image" if "image" in model_input else "text"
        seeds = [sum(bytes(str(value), "utf-8")) for value in model_input[column]]
        rows = np.stack([np.random.default_rng(seed).normal(size=8) for seed in seeds])
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        if self.spoil is not None and column == "image":
            rows[0] *= self.spoil
        return rows.astype(np.float32)


@pytest.fixture
def foreign(store, tmp_path):
    def save(name, spoil=None):
        folder = tmp_path / name
        mlflow.pyfunc.save_model(folder, python_model=Foreign(spoil), pip_requirements=[])
        return mlflow.pyfunc.load_model(str(folder))

    return save


@pytest.fixture
def cards(store, tiny):
    (row,) = models_named(str(tiny))
    return register(row, [QUANTIZERS["torch-int8"]], report=lambda line: None)


def evaluated(card, world, benchmarks=BOTH, protocol=FEW):
    with mlflow.start_run() as run:
        metrics = evaluate_model(mlflow.pyfunc.load_model(card.uri), Plan(benchmarks, world, protocol), title="tiny")
    return mlflow.get_run(run.info.run_id), metrics


def test_mlflow_finds_the_installed_evaluator():
    assert "qbias" in mlflow.models.list_evaluators()


def test_only_what_names_itself_ours_is_evaluated():
    assert QbiasEvaluator.can_evaluate(model_type=MODEL_TYPE, evaluator_config={})
    assert not QbiasEvaluator.can_evaluate(model_type="classifier", evaluator_config={})


def test_metrics_are_on_the_run_the_logged_model_and_the_dataset(cards, world):
    run, metrics = evaluated(cards[1], world)
    expected = {name: value for rows in metrics.values() for name, value in rows.items()}
    assert run.data.metrics == pytest.approx(expected)
    assert {"coco/image_retrieval_recall_at_5", "fairface/race/max_skew_at_10"} < set(expected)
    logged = {metric.key: metric for metric in mlflow.get_logged_model(cards[1].model_id).metrics}
    assert set(expected) < set(logged)
    assert logged["coco/image_retrieval_recall_at_5"].dataset_name == "coco"
    assert [row.model_id for row in run.inputs.model_inputs] == [cards[1].model_id]
    inputs = {row.dataset.name: row.dataset.digest for row in run.inputs.dataset_inputs}
    assert inputs == {dataset.benchmark: dataset.digest[:36] for dataset in Plan(BOTH, world, FEW).datasets()}


def test_protocol_machine_and_outcomes_are_on_the_run(cards, world, tmp_path):
    run, _ = evaluated(cards[0], world)
    assert run.data.params["protocol.skew_k"] == "10"
    assert run.data.params["coco.dataset_digest"] == Plan(BOTH, world, FEW).dataset("coco").digest
    assert run.data.tags["qbias.protocol_digest"] == FEW.digest()
    assert "machine.torch" in run.data.params
    folder = mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path="outcomes/coco", dst_path=str(tmp_path))
    outcomes = read_outcomes(Path(folder))
    assert len(outcomes.frames["images"]) == 48
    assert outcomes.protocol == FEW.as_dict()


def test_the_same_version_again_gives_the_same_outcomes_without_a_forward_pass(cards, world, monkeypatch):
    first, _ = evaluated(cards[1], world)
    model = mlflow.pyfunc.load_model(cards[1].uri)
    encoder = model.unwrap_python_model().encoder
    for name in ("images", "texts"):
        monkeypatch.setattr(type(encoder), name, lambda *anything: pytest.fail("a forward pass"))
    with mlflow.start_run() as run:
        evaluate_model(model, Plan(BOTH, world, FEW), title="tiny")
    second = mlflow.get_run(run.info.run_id)
    assert second.data.metrics == first.data.metrics
    assert second.data.tags["qbias.outcomes_digest"] == first.data.tags["qbias.outcomes_digest"]


def test_what_cannot_be_computed_is_listed_and_never_logged(cards, world):
    run, metrics = evaluated(cards[0], world, protocol=Protocol(limit=48, skew_k=1000))
    rows = mlflow.artifacts.load_dict(f"{run.info.artifact_uri}/insufficient.json")
    assert {"fairface/gender/max_skew_at_1000", "fairface/race/ndkl"} < {row["name"] for row in rows}
    assert all("1000" in row["reason"] and row["counts"] for row in rows)
    assert metrics["fairface"] == {}
    assert not [name for name in run.data.metrics if name.startswith("fairface/")]


def test_a_foreign_model_that_keeps_the_contract_is_measured(foreign, world):
    with mlflow.start_run():
        metrics = evaluate_model(foreign("good"), Plan(("coco",), world, FEW), title="foreign")
    run = mlflow.last_active_run()
    assert run.data.metrics == pytest.approx(metrics["coco"])
    assert "coco/text_retrieval_recall_at_1" in run.data.metrics


@pytest.mark.parametrize(("spoil", "says"), [(2.0, "is not of length 1"), (np.nan, "holds NaN")])
def test_a_foreign_model_that_breaks_it_is_told_where(foreign, world, spoil, says):
    with mlflow.start_run(), pytest.raises(ValueError, match=says) as caught:
        evaluate_model(foreign("bad", spoil), Plan(("coco",), world, FEW), title="foreign")
    assert re.search(r"row 0 \(image '\S+'\)", str(caught.value))


def test_another_manifest_than_the_benchmarks_is_refused(foreign, world):
    wrong = mlflow.data.from_pandas(pd.DataFrame({"id": ["a"]}), name="wrong")
    config = {"benchmark": "coco", "data": str(world), "protocol": FEW.as_dict()}
    with mlflow.start_run(), pytest.raises(ValueError, match="is not the manifest of benchmark 'coco'"):
        mlflow.models.evaluate(foreign("good"), data=wrong, model_type=MODEL_TYPE, evaluators="qbias", evaluator_config=config)


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({}, "names no benchmark"),
        ({"benchmark": "facets", "data": "/data"}, "Did you mean 'facet'?"),
        ({"benchmark": "facet"}, "has no 'data'"),
        ({"benchmark": "coco", "data": "/data", "protocol": {"min_per_grp": 5}}, "Did you mean 'min_per_group'?"),
        ({"benchmark": "coco", "data": "/data", "protocol": {"batch_size": "8"}}, "batch_size='8' is str, not int"),
        ({"benchmark": "coco", "data": "/no/such/folder"}, "no such folder"),
    ],
)
def test_a_wrong_configuration_is_told(foreign, config, says):
    manifest = mlflow.data.from_pandas(pd.DataFrame({"id": ["a"]}), name="any")
    with mlflow.start_run(), pytest.raises(ValueError, match=re.escape(says)):
        mlflow.models.evaluate(foreign("good"), data=manifest, model_type=MODEL_TYPE, evaluators="qbias", evaluator_config=config)


def test_the_key_sees_content_data_and_protocol(world):
    plan = Plan(BOTH, world, FEW)
    key = evaluation_key("content", plan)
    assert key == evaluation_key("content", replace(plan, protocol=Protocol(**FEW.as_dict())))
    others = [
        evaluation_key("other", plan),
        evaluation_key("content", plan.only("coco")),
        evaluation_key("content", replace(plan, protocol=replace(FEW, batch_size=8))),
    ]
    assert len({key, *others}) == 4


@pytest.fixture
def damaged(world, tmp_path):
    """FairFace of the drawn world with two images that cannot be decoded, both among the first 48."""
    data = tmp_path / "data"
    shutil.copytree(world / "fairface", data / "fairface")
    rows = Plan(("fairface",), world, FEW).dataset("fairface").images
    for path, content in zip(rows["path"].iloc[[3, 30]], (b"", b"no image"), strict=True):
        (data / "fairface" / path).write_bytes(content)
    return data, rows["id"].iloc[[3, 30]].tolist()


@pytest.mark.parametrize("kind", ["own", "foreign"])
def test_bad_images_end_the_evaluation_before_the_model_runs(damaged, cards, foreign, kind, monkeypatch):
    data, bad = damaged
    model = mlflow.pyfunc.load_model(cards[0].uri) if kind == "own" else foreign("good")
    monkeypatch.setattr(type(model), "predict", lambda *anything, **options: pytest.fail("the model ran"))
    if kind == "own":
        monkeypatch.setattr(type(model.unwrap_python_model().encoder), "texts", lambda *anything: pytest.fail("the model ran"))
    with mlflow.start_run() as run, pytest.raises(ValueError, match="on_bad_image=skip") as caught:
        evaluate_model(model, Plan(("fairface",), data, FEW), title="any")
    assert all(name in str(caught.value) for name in bad)
    assert mlflow.get_run(run.info.run_id).data.metrics == {}


@pytest.mark.parametrize("kind", ["own", "foreign"])
def test_skipped_images_are_listed_and_left_out(damaged, cards, foreign, kind, tmp_path):
    data, bad = damaged
    model = mlflow.pyfunc.load_model(cards[0].uri) if kind == "own" else foreign("good")
    plan = Plan(("fairface",), data, FEW, on_bad_image="skip")
    with mlflow.start_run() as run:
        evaluate_model(model, plan, title="any")
    run = mlflow.get_run(run.info.run_id)
    folder = Path(mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path="outcomes", dst_path=str(tmp_path / "got")))
    listed = pd.read_csv(folder / "fairface" / "skipped_images.csv")
    assert listed["id"].tolist() == bad
    assert listed["reason"].str.len().min() > 10
    outcomes = read_outcomes(folder / "fairface")
    assert len(outcomes.frames["images"]) == 46
    assert not set(bad) & set(outcomes.frames["images"]["id"])
    assert run.data.params["fairface.skipped_images"] == "2"
    assert (
        run.data.params["fairface.dataset_digest"] == outcomes.dataset_digest != Plan(plan.benchmarks, data, FEW).dataset("fairface").digest
    )
