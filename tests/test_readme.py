"""The README is true: its file tree names every file, its verbs and defaults are MLproject's."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

PROJECT = Path(__file__).resolve().parent.parent
README = (PROJECT / "README.md").read_text()
FOLDERS = ("qbias", "registry", "entrypoints", "benches")


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
    row = next(line for line in README.splitlines() if line.startswith(f"| `{verb}` "))
    for name, default in project_verbs()[verb].items():
        assert f"`{name}`" in row
        if default is not None:
            assert re.search(rf"`{name}` \({default}\)", row), (name, default)


def test_every_picture_is_there():
    pictures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", README)
    assert pictures
    assert all((PROJECT / picture).is_file() for picture in pictures)
