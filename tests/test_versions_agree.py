"""pyproject.toml is the one source of versions; conda.yaml and README.md must say the same."""

import re
from pathlib import Path

import pytest
import yaml
from mlflow.utils.environment import _PythonEnv
from mlflow.utils.virtualenv import _get_virtualenv_name

from qbias import __version__
from qbias.packaging import conda_text, environment_digest, pinned_versions, project_table, python_version

PROJECT = Path(__file__).resolve().parent.parent
NAMED_IN_README = ("mlflow", "torch", "torchvision", "transformers", "bitsandbytes", "open_clip_torch", "optimum-onnx")


def disagreements(text: str, versions: dict[str, str]) -> list[str]:
    """Every `<name> <number>` or `<name>==<number>` in a text whose number is not the pinned one or a release of it."""
    found = []
    for name, pinned in versions.items():
        for said in re.findall(rf"(?<![\w-]){re.escape(name)}`?(?:\[\w+\])?(?:==|\s)\s*`?(\d+(?:\.\d+)*)", text, re.IGNORECASE):
            if not f"{said}.".startswith(f"{pinned}."):
                found.append(f"{name}: {said} is said, {pinned} is pinned")
    return found


def stated_versions() -> dict[str, str]:
    table = project_table()
    return pinned_versions(table) | {"python": python_version(table)}


def test_conda_yaml_is_what_pyproject_gives() -> None:
    written = (PROJECT / "conda.yaml").read_text(encoding="utf-8")
    assert written == conda_text(project_table()), "run: python -m qbias.packaging"


def test_conda_yaml_names_python_project_and_every_dependency() -> None:
    parsed = yaml.safe_load((PROJECT / "conda.yaml").read_text(encoding="utf-8"))
    assert parsed["name"] == "qbias"
    assert f"python={python_version(project_table())}" in parsed["dependencies"]
    pip_rows = parsed["dependencies"][-1]["pip"]
    assert "." in pip_rows
    assert set(project_table()["dependencies"]) <= set(pip_rows)


def test_readme_agrees_with_the_pins() -> None:
    readme = (PROJECT / "README.md").read_text(encoding="utf-8")
    assert disagreements(readme, stated_versions()) == []


@pytest.mark.parametrize("name", ["python", *NAMED_IN_README])
def test_readme_names_the_version(name: str) -> None:
    readme = (PROJECT / "README.md").read_text(encoding="utf-8")
    version = stated_versions()[name]
    assert re.search(rf"(?<![\w-]){re.escape(name)}`?(?:==|\s)\s*`?{re.escape(version)}\b", readme, re.IGNORECASE), (
        f"README.md should say '{name} {version}'"
    )


@pytest.mark.parametrize("text", ["torch 2.14", "`mlflow` 3.16.1", "transformers==4.56.*", "Python 3.10 or newer"])
def test_a_wrong_version_is_noticed(text: str) -> None:
    assert disagreements(text, stated_versions())


@pytest.mark.parametrize("text", ["torch 2.15.0", "torchvision 0.29", "`mlflow` 3.17", "Python 3.11 or newer", "torch and 4 GiB"])
def test_a_right_version_is_accepted(text: str) -> None:
    assert disagreements(text, stated_versions()) == []


def test_package_version_is_the_declared_one() -> None:
    assert __version__ == project_table()["version"]


def environment_name(folder: Path, text: str) -> str:
    """The folder name under which MLflow caches the environment of a conda.yaml."""
    file = folder / "conda.yaml"
    file.write_text(text, encoding="utf-8")
    return str(_get_virtualenv_name(_PythonEnv.from_conda_yaml(file), folder))


@pytest.mark.parametrize(
    "change",
    [
        {"entry-points": {"mlflow.model_evaluator": {"qbias": "qbias.elsewhere:QbiasEvaluator"}}},
        {"dependencies": ["mlflow==3.17.*"]},
        {"version": "99.0"},
        {"scripts": {"qbias": "qbias:main"}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_mlflow_makes_a_new_environment_when_the_installed_metadata_changes(tmp_path: Path, change: dict[str, object]) -> None:
    table = project_table()
    before = environment_name(tmp_path, conda_text(table))
    assert environment_name(tmp_path, conda_text(table)) == before
    assert environment_name(tmp_path, conda_text(table | change)) != before


def test_mlflow_keeps_the_environment_when_only_prose_changes() -> None:
    table = project_table()
    assert environment_digest(table | {"description": "other words"}) == environment_digest(table)


def test_a_digest_in_a_yaml_comment_would_not_be_enough(tmp_path: Path) -> None:
    text = conda_text(project_table())
    assert environment_name(tmp_path, text) == environment_name(tmp_path, text + "# environment 2\n")


def test_python_needs_a_lower_bound() -> None:
    with pytest.raises(ValueError, match="lower bound"):
        python_version({"requires-python": "==3.11.*"})
