"""conda.yaml, written from pyproject.toml: `python -m qbias.packaging`.

`mlflow run` builds its environment from conda.yaml and finds it again by content. With `--env-manager uv` or
`virtualenv` the content is only the Python version and the list of pip requirements: other keys and YAML comments do
not count. So the digest of what an installed qbias depends on stands in that list, as a requirement line that is a
comment to pip and uv.
"""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qbias.digests import json_digest

PROJECT = Path(__file__).resolve().parent.parent
DIGEST_MARK = "# qbias-environment"
INSTALLED = ("name", "version", "requires-python", "dependencies", "scripts", "entry-points")
"""Fields of `[project]` that end in the installed metadata: when one changes, the environment has to be built anew."""


def project_table(project: Path = PROJECT) -> dict[str, Any]:
    """The `[project]` table of the checkout's pyproject.toml."""
    table: dict[str, Any] = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return table


def environment_digest(table: Mapping[str, Any]) -> str:
    """sha256 over dependencies, entry points, version and Python: equal means that one installation serves both."""
    return json_digest({field: table.get(field) for field in INSTALLED})


def python_version(table: Mapping[str, Any]) -> str:
    """The lowest Python that the project supports, which is also the one that `mlflow run` builds: `>=3.11` -> `3.11`.

    Raises
    ------
    ValueError
        If `requires-python` does not begin with a lower bound of two parts.
    """
    declared = str(table["requires-python"])
    found = re.match(r">=\s*(\d+\.\d+)", declared)
    if not found:
        raise ValueError(f"requires-python = {declared!r} must begin with a lower bound such as '>=3.11'")
    return found.group(1)


def pinned_versions(table: Mapping[str, Any]) -> dict[str, str]:
    """Dependency -> the version it is held to, without extras and wildcard: `{"mlflow": "3.17", "scipy": "1", ...}`."""
    found = (re.fullmatch(r"([\w.-]+)(?:\[[^\]]*\])?\s*==\s*(\d+(?:\.\d+)*)(?:\.\*)?", row) for row in table["dependencies"])
    return {match.group(1): match.group(2) for match in found if match}


def conda_text(table: Mapping[str, Any]) -> str:
    """The whole of conda.yaml. `.` installs the project itself, with its evaluator plugin, from the checkout."""
    requirements = [f"{DIGEST_MARK} {environment_digest(table)}", ".", *table["dependencies"]]
    return "\n".join(
        [
            "# Made from pyproject.toml by `python -m qbias.packaging`; a test checks that it is up to date.",
            f"name: {table['name']}",
            "channels:",
            "  - conda-forge",
            "dependencies:",
            f"  - python={python_version(table)}",
            "  - pip",
            "  - pip:",
            *(f'      - "{row}"' for row in requirements),
            "",
        ]
    )


def main() -> None:
    """Write conda.yaml beside pyproject.toml."""
    target = PROJECT / "conda.yaml"
    target.write_text(conda_text(project_table()), encoding="utf-8")
    print(f"wrote {target.name} from pyproject.toml")


if __name__ == "__main__":
    main()
