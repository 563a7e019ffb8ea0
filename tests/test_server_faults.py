"""A team's server that dies, or loses answers, while a verb works: the verb goes on or fails, and run again it completes; nothing twice."""

import os
import shutil
import threading

import mlflow
import pytest
from mlflow import MlflowClient

from qbias.passes import PASSES
from tests.faults import Proxy, every_answer_once
from tests.server import Team, call, files_of, runs


@pytest.fixture
def impatient(monkeypatch):
    """No waiting between tries, where the server is there all the time."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_JITTER", "0")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """Nothing that another test has computed makes the work shorter."""
    monkeypatch.setenv("QBIAS_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def evaluated(team: Team, tiny, world, tmp_path_factory):
    """A registered model with a finished evaluation of its version 2, and the words that evaluate it."""
    folder = shutil.copytree(tiny, tmp_path_factory.mktemp("models") / "faulty")
    words = ("--model", "models:/faulty/2", "--data", world, "--benchmarks", "coco,facet", "--limit", 24)
    with team.acting("registrar"):
        assert call("register", "--model", folder, "--quantizers", "torch-int8") == 0
        assert call("evaluate", *words) == 0
        (run,) = finished()
    return run, words


def finished():
    return [run for run in runs("evaluation", model="faulty") if run.info.status == "FINISHED"]


def contents(run):
    """What an evaluation says, whoever made it and when."""
    return run.data.metrics, run.data.params, files_of(run), run.data.tags["qbias.outcomes_digest"]


def new_evaluation(before):
    """The one finished evaluation that has been added."""
    (run,) = [run for run in finished() if run.info.run_id not in before]
    return run


def test_a_registration_whose_every_answer_is_lost_once_makes_each_version_once(team, tiny, tmp_path, impatient):
    folder = shutil.copytree(tiny, tmp_path / "unheard")
    # MLflow refuses the second request to name a run's output: the next test.
    with Proxy(team.address, every_answer_once("POST runs/outputs")) as proxy, team.acting("registrar", proxy.address):
        assert call("register", "--model", folder, "--quantizers", "torch-int8") == 0
        assert sum(request.ends("POST model-versions/create") for request in proxy.requests) == 4
    with team.acting("registrar"):
        found = {version.version: version.tags for version in MlflowClient().search_model_versions("name = 'unheard'")}
        assert sorted(tags["qbias.quantizer"] for tags in found.values()) == ["fp32", "torch-int8"]
        (baseline,) = [number for number, tags in found.items() if tags["qbias.quantizer"] == "fp32"]
        assert {tags["qbias.baseline_version"] for tags in found.values()} == {"self", str(baseline)}
        assert call("register", "--model", folder, "--quantizers", "torch-int8") == 0
        assert len(MlflowClient().search_model_versions("name = 'unheard'")) == 2


def test_a_registration_that_cannot_go_on_leaves_no_version_and_completes_when_run_again(team, tiny, tmp_path, impatient, capsys):
    folder = shutil.copytree(tiny, tmp_path / "broken-off")
    with Proxy(team.address, every_answer_once()) as proxy, team.acting("registrar", proxy.address):
        assert call("register", "--model", folder, "--quantizers", "fp32") == 1
    assert "\nregister: error: " in f"\n{capsys.readouterr().err}"
    with team.acting("registrar"):
        assert MlflowClient().search_model_versions("name = 'broken-off'") == []
        assert {run.info.status for run in runs("registration", model="broken-off")} <= {"FAILED", "RUNNING"}
        assert call("register", "--model", folder, "--quantizers", "fp32") == 0
        assert len(MlflowClient().search_model_versions("name = 'broken-off'")) == 1


def test_an_evaluation_whose_every_answer_is_lost_once_loses_nothing(team, evaluated, impatient):
    run, words = evaluated
    with team.acting("registrar"):
        before = {row.info.run_id for row in finished()}
    with Proxy(team.address, every_answer_once()) as proxy, team.acting("registrar", proxy.address):
        assert call("evaluate", *words) == 0
        changes = [request for request in proxy.requests if request.method != "GET"]
        assert sum(request.method == "PUT" for request in changes) >= 2 * len(files_of(run))
    with team.acting("registrar"):
        again = new_evaluation(before)
        assert contents(again) == contents(run)
        history = [MlflowClient().get_metric_history(again.info.run_id, name) for name in again.data.metrics]
        assert {len(points) for points in history} == {1}


def test_a_server_that_dies_in_the_middle_of_a_file_and_returns_costs_time_only(team, evaluated, monkeypatch):
    run, words = evaluated
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "1")
    restart = threading.Thread(target=team.process.start)

    def dies():
        team.process.kill()
        restart.start()

    def judge(request):
        return dies if not restart.ident and request.ends("PUT outcomes/facet/images.parquet") else "pass"

    with team.acting("registrar"):
        before = {row.info.run_id for row in finished()}
    with Proxy(team.address, judge) as proxy, team.acting("registrar", proxy.address):
        code = call("evaluate", *words)
        restart.join()
    assert code == 0
    with team.acting("registrar"):
        assert contents(new_evaluation(before)) == contents(run)


def test_a_server_that_stays_away_fails_the_evaluation_and_the_same_command_completes_it(team, evaluated, monkeypatch, capsys):
    run, words = evaluated
    with team.acting("registrar"):
        before = {row.info.run_id for row in runs()}

    def judge(request):
        if team.process.running and request.ends("PUT insufficient.json"):
            team.process.kill()
        return "pass"

    with monkeypatch.context() as patch, Proxy(team.address, judge) as proxy, team.acting("registrar", proxy.address):
        patch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        assert call("evaluate", *words) == 1
        assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "2"
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("evaluate: error: MlflowException: API request to ")
    assert "insufficient.json" in said, "the first thing that went wrong, not the last"
    assert mlflow.active_run() is None
    team.process.start()
    with team.acting("registrar"):
        (left,) = [row for row in runs() if row.info.run_id not in before]
        assert left.info.status == "RUNNING"
        assert "qbias.kind" not in left.data.tags, "nothing takes it for an evaluation"
        known = {row.info.run_id for row in finished()}
        assert call("evaluate", *words) == 0
        assert contents(new_evaluation(known)) == contents(run)


def test_outcomes_that_a_lost_server_did_not_get_stay_on_disk_and_are_logged_without_the_model(
    team, evaluated, monkeypatch, capsys, tmp_path
):
    run, _ = evaluated
    words = ("--model", "models:/faulty/2", "--data", evaluated[1][3], "--benchmarks", "facet", "--limit", 24)
    kept = tmp_path / "cache" / "unlogged"

    def judge(request):
        if team.process.running and request.method == "PUT":
            team.process.kill()
        return "pass"

    with team.acting("registrar"):
        known = {row.info.run_id for row in finished()}
    with monkeypatch.context() as patch, Proxy(team.address, judge) as proxy, team.acting("registrar", proxy.address):
        patch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        assert call("evaluate", *words) == 1
    (folder,) = kept.iterdir()
    assert str(folder) in capsys.readouterr().err
    team.process.start()
    shutil.rmtree(tmp_path / "cache" / "embeddings")
    passes = PASSES.now()
    with team.acting("registrar"):
        assert call("evaluate", *words) == 0
        again = new_evaluation(known)
        assert {name: size for name, size in files_of(run).items() if "/facet/" in name} == {
            name: size for name, size in files_of(again).items() if name.startswith("outcomes/")
        }
        assert again.data.metrics == {name: value for name, value in run.data.metrics.items() if name.startswith("facet/")}
    assert PASSES.now() == passes
    assert list(kept.iterdir()) == []
