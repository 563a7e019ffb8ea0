"""Eight processes at once against one server with PostgreSQL: all finish, and nothing is lost or there twice."""

import shutil
from collections import Counter

import pytest
from mlflow import MlflowClient

from tests.crowd import Crowd
from tests.server import call, files_of, runs

LIMIT = ("--benchmarks", "coco,facet", "--limit", 24)


@pytest.fixture(scope="module")
def crowded(team, tiny, world, tmp_path_factory):
    """Eight evaluations at once of a model's two versions, after one of each that was undisturbed."""
    folder = tmp_path_factory.mktemp("crowd")
    model = shutil.copytree(tiny, folder / "crowded")
    words = {number: ("--model", f"models:/crowded/{number}", "--data", world, *LIMIT) for number in (1, 2)}
    with team.acting("registrar"), pytest.MonkeyPatch.context() as patch:
        patch.setenv("QBIAS_CACHE", str(folder / "alone"))
        assert call("register", "--model", model, "--quantizers", "torch-int8") == 0
        for number in (1, 2):
            assert call("evaluate", *words[number]) == 0
        alone = {run.data.tags["qbias.version"]: run for run in runs("evaluation", model="crowded")}
    crowd = Crowd(team, "registrar", "evaluate", [words[1 + number % 2] for number in range(8)], folder / "said")
    assert crowd.wait() == [0] * 8, "\n".join(crowd.texts)
    return model, alone


def test_eight_evaluations_at_once_all_finish_with_every_metric_and_file(team, crowded):
    _, alone = crowded
    with team.acting("registrar"):
        found = [run for run in runs("evaluation", model="crowded") if run.info.run_id not in {row.info.run_id for row in alone.values()}]
        assert Counter((run.data.tags["qbias.version"], run.info.status) for run in found) == {("1", "FINISHED"): 4, ("2", "FINISHED"): 4}
        for run in found:
            expected = alone[run.data.tags["qbias.version"]]
            assert run.data.metrics == expected.data.metrics
            assert run.data.params == expected.data.params
            assert files_of(run) == files_of(expected)
            assert run.data.tags["qbias.outcomes_digest"] == expected.data.tags["qbias.outcomes_digest"]


def test_they_leave_the_versions_as_they_were(team, crowded):
    with team.acting("registrar"):
        versions = MlflowClient().search_model_versions("name = 'crowded'")
    assert sorted(str(version.version) for version in versions) == ["1", "2"]


def test_their_logged_models_hold_each_runs_metrics(team, crowded):
    """A metric of a logged model is kept for each run that measured it."""
    _, alone = crowded
    with team.acting("registrar"):
        client = MlflowClient()
        for number, run in alone.items():
            model_id = client.get_model_version("crowded", number).source.removeprefix("models:/")
            kept = Counter(metric.key for metric in client.get_logged_model(model_id).metrics if metric.key in run.data.metrics)
            assert kept == dict.fromkeys(run.data.metrics, 5)


def test_two_registrations_at_once_make_one_version(team, tiny, tmp_path):
    model = shutil.copytree(tiny, tmp_path / "raced")
    crowd = Crowd(team, "registrar", "register", [("--model", model, "--quantizers", "fp32")] * 2, tmp_path / "said")
    assert crowd.wait() == [0, 0], "\n".join(crowd.texts)
    with team.acting("registrar"):
        (version,) = MlflowClient().search_model_versions("name = 'raced'")
    assert all(f"models:/raced/{version.version}  fp32" in text for text in crowd.texts)
