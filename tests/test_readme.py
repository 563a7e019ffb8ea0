"""The README is true: its file tree names every file, its verbs and defaults are MLproject's."""

import re
import subprocess
from importlib import import_module
from pathlib import Path

import pytest
import yaml

from qbias.protocol import FIELDS, SAYS

PROJECT = Path(__file__).resolve().parent.parent
README = (PROJECT / "README.md").read_text()
FOLDERS = ("qbias", "registry", "entrypoints", "benches")
PROTOCOL = re.compile(r"^\| `(\w+)` \| (.*?) \| (.*?) \|$", re.MULTILINE)


def tree() -> list[str]:
    """Paths of the files that the tree names; folders give their files the indentation."""
    lines = README.split("## Files\n")[1].split("Licence:")[0].splitlines()
    paths, above = [], {}
    for line in filter(str.strip, lines):
        depth, name = (len(line) - len(line.lstrip()) - 4) // 2, line.split()[0]
        above[depth] = name
        if not name.endswith("/"):
            paths.append("".join(above[level] for level in range(depth)) + name)
    return paths


def files() -> list[str]:
    """Source files of the checkout, tracked or about to be."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", *FOLDERS], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    return [name for name in listed.stdout.splitlines() if "/weights/" not in name and (PROJECT / name).is_file()]


def test_the_tree_names_every_source_file_once_and_no_other():
    named = [path for path in tree() if path.split("/")[0] in FOLDERS]
    assert sorted(named) == sorted(files())


def test_every_line_of_the_tree_has_a_comment_and_every_path_exists():
    assert all((PROJECT / path).exists() for path in tree())
    lines = README.split("## Files\n")[1].split("Licence:")[0].splitlines()
    assert all(len(line.split()) > 1 for line in lines if line.strip() and not line.strip().endswith("/"))


def project_verbs() -> dict[str, dict[str, str | None]]:
    """Parameters and defaults by entry point, as `mlflow run` reads them."""
    entry_points = yaml.safe_load((PROJECT / "MLproject").read_text())["entry_points"]
    return {verb: {name: row.get("default") for name, row in entry["parameters"].items()} for verb, entry in entry_points.items()}


@pytest.mark.parametrize("verb", project_verbs())
def test_the_table_of_verbs_is_mlprojects(verb):
    rows = {line.split("`")[1]: line for line in README.splitlines() if line.startswith("| `")}
    # `main` takes all that `evaluate` takes, and says so.
    row = rows[verb] + (rows["evaluate"] if verb == "main" else "")
    protocol = {name: default for name, default, _ in PROTOCOL.findall(README)}
    for name, default in project_verbs()[verb].items():
        if name in FIELDS:
            assert protocol[name] == default
        else:
            assert f"`{name}`" in row
            assert default is None or f"`{name}` ({default})" in row, (name, default)


def test_main_and_evaluate_take_the_same_parameters_of_the_measurement():
    verbs = project_verbs()
    own = {"models", "quantizers", "noise", "policy", "dry_run"}
    assert set(verbs["main"]) - own == set(verbs["evaluate"]) - {"model"} > set(FIELDS)


def test_the_table_of_the_protocol_says_what_the_help_says():
    meanings = {name: meaning for name, _, meaning in PROTOCOL.findall(README)}
    assert {name: meanings[name] for name in FIELDS} == SAYS


@pytest.mark.parametrize("verb", project_verbs())
def test_every_parameter_of_mlproject_is_one_of_the_verbs_and_reaches_it(verb):
    entry = yaml.safe_load((PROJECT / "MLproject").read_text())["entry_points"][verb]
    words = entry["command"].split()
    given = dict(zip(words[3::2], words[4::2], strict=True))
    parser = import_module(f"entrypoints.{verb}").parser()
    options = {option: action for action in parser._actions for option in action.option_strings if option not in ("-h", "--help")}
    assert given == {option: f"{{{action.dest}}}" for option, action in options.items()}
    assert set(entry["parameters"]) == {action.dest for action in options.values()}
    # The defaults of both are the same values: MLproject writes all of them as text.
    defaults = [
        word for name, row in entry["parameters"].items() if "default" in row for word in (f"--{name.replace('_', '-')}", row["default"])
    ]
    required = [word for option, action in options.items() if action.required for word in (option, "x")]
    assert vars(parser.parse_args([*required, *defaults])) == vars(parser.parse_args(required))


def test_every_picture_is_there():
    pictures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", README)
    assert pictures
    assert all((PROJECT / picture).is_file() for picture in pictures)
