"""The examples run as they are: read, measured with a model, nothing insufficient."""

from pathlib import Path

import mlflow
import pytest

from qbias.evaluator import evaluate_model
from qbias.models import models_named
from qbias.plan import Plan
from qbias.protocol import Protocol
from registry.versions import register

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
FILES = sorted(file for file in EXAMPLES.rglob("*.yaml") if file.parent.name != "kubernetes")  # a job's template is no benchmark
EXPECTED = {
    "robots": {"robots/accuracy_at_1", "robots/casing_pd/max_disparity_at_1", "robots/badge_sr/min_signed_disparity_at_3"},
    "robot-captions": {"robot-captions/image_retrieval_recall_at_5", "robot-captions/text_retrieval_recall_at_10"},
    "heads": {"heads/casing/max_skew_at_30", "heads/badge/ndkl", "heads/casing/dark/mean_skew_at_30"},
}


def test_the_examples_cover_every_kind() -> None:
    plan = Plan(tuple(map(str, FILES)), EXAMPLES, Protocol())
    assert {row.kind for row in plan.rows()} == {"classification", "retrieval", "skew"}
    assert {row.name for row in plan.rows()} == set(EXPECTED)


def test_every_example_is_measured(store: object, tiny: Path) -> None:
    (row,) = models_named(str(tiny))
    (card,) = register(row, [], report=lambda line: None)
    with mlflow.start_run() as run:
        metrics = evaluate_model(mlflow.pyfunc.load_model(card.uri), Plan(tuple(map(str, FILES)), EXAMPLES, Protocol()), title="tiny")
    for name, expected in EXPECTED.items():
        assert expected < set(metrics[name])
        assert all(metric.startswith(f"{name}/") for metric in metrics[name])
    assert mlflow.artifacts.load_dict(f"{mlflow.get_run(run.info.run_id).info.artifact_uri}/insufficient.json") == []
    artifacts = {file.path for file in mlflow.MlflowClient().list_artifacts(run.info.run_id, "outcomes/robots")}
    assert {"outcomes/robots/classes.csv", "outcomes/robots/groups.csv", "outcomes/robots/recalls.csv"} < artifacts


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_example_says_how_to_run_it(file: Path) -> None:
    assert f"benchmarks=examples/{file.relative_to(EXAMPLES)}" in file.read_text()
