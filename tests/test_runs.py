"""Runs are found in whichever experiment they lie, all pages of them, and by content key."""

import mlflow
import pytest
from mlflow import MlflowClient

from registry.evidence import evaluations
from registry.runs import finished_comparison, finished_evaluation, run_links, runs_of_kind
from tests.conftest import Store
from tests.evidence_builder import log_comparison, log_evaluation, register


def test_runs_are_found_in_every_experiment_and_by_key(store: Store) -> None:
    baseline, candidate = register("toy")
    elsewhere = MlflowClient().create_experiment("elsewhere", artifact_location=(store.artifacts / "elsewhere").as_uri())
    run = log_evaluation(candidate, experiment=elsewhere)
    own = log_evaluation(baseline)
    found, problems = evaluations([baseline, candidate])
    assert [row.run_id for row in found] == [own, run]
    assert problems == []
    key = MlflowClient().get_run(run).data.tags["qbias.evaluation_key"]
    assert finished_evaluation(key) == run
    assert finished_evaluation("0" * 64) is None
    compared = log_comparison((candidate, run), (baseline, own))
    key = MlflowClient().get_run(compared).data.tags["qbias.comparison_key"]
    assert finished_comparison(key) == compared
    assert finished_evaluation(key) is None


def test_every_evaluation_and_arm_has_a_link_on_a_server_and_none_elsewhere(store: Store) -> None:
    started = []
    for kind in ("evaluation", "noise", "comparison"):
        with mlflow.start_run(tags={"qbias.kind": kind}) as run:
            started.append(run.info.run_id)
    links = run_links("https://host:5000/")
    assert links == {run_id: f"https://host:5000/#/experiments/{store.experiment}/runs/{run_id}" for run_id in started[:2]}
    assert run_links(store.uri) == {}


def test_more_runs_than_a_page_are_all_found(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("registry.runs.PAGE", 2)
    for number in range(3):
        MlflowClient().create_experiment(f"e{number}")
    started = []
    for _ in range(5):
        with mlflow.start_run(tags={"qbias.kind": "evaluation"}) as run:
            started.append(run.info.run_id)
    assert {run.info.run_id for run in runs_of_kind("evaluation")} == set(started)
