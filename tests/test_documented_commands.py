"""Commands in documents and in the CI example are real verbs with real parameters, and the CI job fails when the audit does."""

import os
import re
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

PROJECT = Path(__file__).resolve().parent.parent
VERBS: dict[str, dict[str, Any]] = yaml.safe_load((PROJECT / "MLproject").read_text())["entry_points"]
WORKFLOW = PROJECT / "examples" / "ci" / "audit.yml"
PAGES = ("README.md", "docs/review.md", "examples/ci/audit.yml")
SHELL = re.compile(r"\s(?:2>&1|\||&&|>+|#|;)(?:\s|$)")


def commands(text: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Each `mlflow run . -e VERB -P name=value ...` of a page: its verb and its parameters."""
    for found in re.finditer(r"mlflow run \. -e ([^\n`]*)", text.replace("\\\n", " ")):
        words = shlex.split(SHELL.split(found[1])[0])
        given = [word for option, word in pairwise(words) if option == "-P"]
        yield words[0], dict(word.split("=", 1) for word in given)


def faults(verb: str, given: Mapping[str, str]) -> list[str]:
    """What is wrong with a command; one that shows no parameters, or `...`, only names its verb."""
    if verb not in VERBS:
        return [f"there is no verb {verb}"]
    known = VERBS[verb]["parameters"]
    needed = {name for name, row in known.items() if "default" not in row} if given else set()
    unknown = [f"{verb} has no parameter {name}" for name in given if name not in known]
    return unknown + [f"{verb} needs {name}" for name in sorted(needed - set(given))]


@pytest.mark.parametrize("page", PAGES)
def test_every_command_is_a_verb_with_its_parameters(page: str) -> None:
    shown = list(commands((PROJECT / page).read_text()))
    assert shown
    assert [fault for verb, given in shown for fault in faults(verb, given)] == []


def test_a_wrong_command_is_noticed() -> None:
    """The test above can fail: on a verb, on a parameter, and on one that is missing."""
    text = (
        'mlflow run . -e adit\n    mlflow run . -e compare \\\n  -P model=x 2>&1 | tee y\n`mlflow run . -e evaluate -P limit="1 2"` -P no=1'
    )
    assert [faults(*each) for each in commands(text)] == [
        ["there is no verb adit"],
        ["compare has no parameter model"],
        ["evaluate needs model"],
    ]
    assert list(commands(text))[2] == ("evaluate", {"limit": "1 2"})


def steps() -> list[dict[str, Any]]:
    return list(yaml.safe_load(WORKFLOW.read_text())["jobs"]["audit"]["steps"])


def test_the_workflow_is_one_that_runs_at_night_with_no_more_rights_than_it_needs() -> None:
    """`on` is YAML 1.1's word for true, so it is looked up as what PyYAML makes of it."""
    workflow = yaml.safe_load(WORKFLOW.read_text())
    assert set(workflow) == {"name", True, "permissions", "concurrency", "jobs"}
    assert len(workflow[True]["schedule"][0]["cron"].split()) == 5
    assert workflow["permissions"] == {"contents": "read"}
    assert all(("run" in step) != ("uses" in step) for step in steps())
    secrets = set(re.findall(r"secrets\.(\w+)", WORKFLOW.read_text()))
    assert all(name in WORKFLOW.read_text().split("name: audit")[0] for name in secrets), "the head of the file says what to set up"


@pytest.mark.parametrize("code", [0, 1])
def test_the_job_ends_as_the_audit_ended(code: int, tmp_path: Path) -> None:
    """GitHub runs `shell: bash` as below; a pipe must not hide exit code 1. `mlflow` is a stand-in that says what it was asked."""
    step = next(step for step in steps() if step.get("name") == "Audit")
    assert step["shell"] == "bash"
    (tmp_path / "mlflow").write_text(f'#!/bin/sh\necho "$@"\nexit {code}\n')
    (tmp_path / "mlflow").chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    bash = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
    done = subprocess.run(bash, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == code
    said = f"run . -e audit --env-manager local --experiment-name audits -P models=all -P anchor={tmp_path}/anchors/anchor.jsonl\n"
    assert done.stdout == (tmp_path / "audit.txt").read_text() == said
