"""The Kubernetes example as far as it can be checked without a cluster: by MLflow's own parsers, and against the MLproject."""

import re
import shlex
from pathlib import Path

import pytest
import yaml
from mlflow.projects import _parse_kubernetes_config
from mlflow.projects.utils import get_entry_point_command, load_project

PROJECT = Path(__file__).resolve().parent.parent
EXAMPLE = PROJECT / "examples" / "kubernetes"


@pytest.fixture(autouse=True)
def from_the_root(monkeypatch):
    monkeypatch.chdir(PROJECT)


def backend():
    import json

    return json.loads((EXAMPLE / "backend.json").read_text())


def test_mlflow_reads_backend_and_template():
    config = _parse_kubernetes_config(backend())
    job = config["kube-job-template"]
    assert (job["apiVersion"], job["kind"], job["spec"]["template"]["spec"]["restartPolicy"]) == ("batch/v1", "Job", "Never")
    assert job["metadata"]["namespace"]


def test_every_mount_has_its_volume_and_the_cache_is_where_the_image_keeps_it():
    pod = _parse_kubernetes_config(backend())["kube-job-template"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert set(mounts) == {volume["name"] for volume in pod["volumes"]}
    environment = {row["name"]: row["value"] for row in container["env"]}
    assert environment["QBIAS_CACHE"] == mounts["cache"]
    assert f"QBIAS_CACHE={mounts['cache']} " in (PROJECT / "Dockerfile").read_text()
    assert environment["QBIAS_WORKERS"] == container["resources"]["requests"]["cpu"]


def test_the_entry_points_are_the_projects_own():
    ours, theirs = (yaml.safe_load((folder / "MLproject").read_text())["entry_points"] for folder in (PROJECT, EXAMPLE))
    assert set(theirs) == {"register", "evaluate", "compare"}
    assert theirs == {verb: ours[verb] for verb in theirs}


def test_mlflow_makes_the_verbs_command_and_the_image_is_the_one_that_is_pushed():
    project = load_project(str(EXAMPLE))
    assert project.name == "qbias"
    assert project.docker_env["image"] == backend()["repository-uri"]
    (command,) = get_entry_point_command(project, "evaluate", {"model": "models:/vit/2", "data": "/data"}, None)
    words = shlex.split(command)
    assert words[:3] == ["python", "-m", "entrypoints.evaluate"]
    assert words[words.index("--data") + 1] == "/data"


def test_the_commands_of_the_readme_name_verbs_and_parameters_that_there_are():
    text, verbs = (EXAMPLE / "README.md").read_text(), yaml.safe_load((EXAMPLE / "MLproject").read_text())["entry_points"]
    calls = re.findall(r"run -e (\w+)((?: -P [\w]+=\S+)*)", text)
    assert [verb for verb, _ in calls] == ["register", "evaluate", "compare"]
    for verb, given in calls:
        assert set(re.findall(r"-P (\w+)=", given)) <= set(verbs[verb]["parameters"])
    assert backend()["kube-job-template-path"] == str((EXAMPLE / "job.yaml").relative_to(PROJECT))


def test_the_image_holds_what_its_build_copies_and_runs_where_mlflow_expects_it():
    from mlflow.projects.docker import MLFLOW_DOCKER_WORKDIR_PATH

    lines = (PROJECT / "Dockerfile").read_text().splitlines()
    assert f"WORKDIR {MLFLOW_DOCKER_WORKDIR_PATH.rstrip('/')}" in lines
    copied = [word for line in lines if line.startswith("COPY") for word in line.split()[1:-1]]
    assert all((PROJECT / name).exists() for name in copied)
    ignored = (PROJECT / ".dockerignore").read_text().split()
    assert not {"qbias", "entrypoints", "registry", "MLproject"} & set(ignored)
