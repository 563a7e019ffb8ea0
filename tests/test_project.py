"""`mlflow run` as a user types it: from another folder, and from a git URL served on loopback; all write to the store that is named."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import mlflow
import pytest

from registry.versions import version_cards
from tests.conftest import copied_store, current_store

PROJECT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def named_store(empty_store, tmp_path_factory):
    """One store for all of this file's commands."""
    with current_store(copied_store(empty_store, tmp_path_factory.mktemp("project") / "store")) as store:
        yield store


def mlflow_run(uri, store, folder, *words):
    """The command, in `folder`; `python` comes from this environment, as `make` sees to it."""
    environment = os.environ | {
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "MLFLOW_TRACKING_URI": store.uri,
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    environment.pop("MLFLOW_RUN_ID", None)
    command = [str(BIN / "mlflow"), "run", str(uri), "--env-manager", "local", *map(str, words)]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def git_url(tmp_path_factory):
    """A git daemon on loopback that serves the checkout as it stands."""
    base = tmp_path_factory.mktemp("git")
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=PROJECT, capture_output=True, text=True, check=True)
    for name in listed.stdout.splitlines():
        if (PROJECT / name).is_file():
            (base / "qbias" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(PROJECT / name, base / "qbias" / name)
    who = ["-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false"]
    for words in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "as it stands"]):
        subprocess.run(["git", *who, *words], cwd=base / "qbias", check=True)
    port = free_port()
    serve = ["git", "daemon", f"--base-path={base}", "--export-all", "--listen=127.0.0.1", f"--port={port}", "--reuseaddr"]
    daemon = subprocess.Popen(serve, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        url = f"git://127.0.0.1:{port}/qbias"
        wait_for(lambda: subprocess.run(["git", "ls-remote", url], capture_output=True, check=False).returncode == 0)
        yield url
    finally:
        # `git` starts the daemon as its child, and the daemon one process a connection: all of the group end here.
        os.killpg(daemon.pid, signal.SIGKILL)
        daemon.wait(timeout=30)


def wait_for(ready, seconds=30.0):
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline, "the git daemon does not answer"
        time.sleep(0.1)


def test_register_from_a_git_url(git_url, named_store, tiny, tmp_path):
    done = mlflow_run(git_url, named_store, tmp_path, "-e", "register", "-P", f"model={tiny}", "-P", "quantizers=fp32")
    assert done.returncode == 0, done.stderr
    assert [card.uri for card in version_cards()] == ["models:/tiny/1"]
    tags = [run.data.tags for run in mlflow.search_runs(search_all_experiments=True, output_format="list")]
    assert any(tag.get("mlflow.source.git.repoURL") == git_url and tag.get("qbias.verb") == "register" for tag in tags)


def test_evaluate_from_another_folder(git_url, named_store, world, tmp_path):
    assert [card.uri for card in version_cards()] == ["models:/tiny/1"], "the test before registers it"
    words = ["-P", "model=models:/tiny/1", "-P", f"data={world}", "-P", "benchmarks=coco,facet", "-P", "limit=20"]
    done = mlflow_run(PROJECT, named_store, tmp_path, "-e", "evaluate", *words)
    assert done.returncode == 0, done.stderr
    assert "tiny fp32: 40 images" in done.stdout
    (run,) = mlflow.search_runs(search_all_experiments=True, filter_string="tags.`qbias.kind` = 'evaluation'", output_format="list")
    assert run.info.status == "FINISHED"
    assert "coco/image_retrieval_recall_at_1" in run.data.metrics
    assert list(tmp_path.iterdir()) == []


def test_a_failing_verb_fails_the_command_with_one_message(named_store, tmp_path):
    done = mlflow_run(PROJECT, named_store, tmp_path, "-e", "evaluate", "-P", "model=models:/absent/1")
    assert done.returncode != 0
    assert "evaluate: error: unknown registered model 'absent'" in done.stderr
    assert "Traceback" not in done.stderr.split("evaluate: error:")[0]
