"""The README's pictures of MLflow's pages, taken anew: `python -m tests.pictures docs`.

A model of the drawn world is registered, evaluated, compared, approved and promoted on a team's server, under the default policy. Needs
Debian's postgresql, chromium, fonts-liberation and fonts-noto-color-emoji.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

import yaml
from PIL import Image

from qbias.toyworld.world import write_world
from registry.policy import DEFAULT_POLICY
from tests.browser import Browser, browser
from tests.server import Team, call, runs, team_server

MODEL, QUANTIZER = "toy-s16-balanced", "torch-int8"
WIDTH = 1280


def promoted(team: Team, folder: Path) -> list[str]:
    """The runs that evaluated the baseline and the candidate; the candidate is in production now."""
    world, policy = folder / "world", folder / "team.yaml"
    write_world(world, seed=0)
    said = yaml.safe_load(DEFAULT_POLICY.read_text())
    said["sign_off"]["reviewers"] = [{"name": "R. One", "user": "reviewer", "experiment_id": team.experiments["reviewer"]}]
    said["sign_off"]["promoters"] = [{"name": "P. One", "user": "promoter", "experiment_id": team.experiments["promoter"]}]
    policy.write_text(yaml.safe_dump(said | {"name": "team"}))
    candidate = ("--model", f"models:/{MODEL}/2", "--policy", policy)
    with team.acting("registrar"):
        assert call("register", "--model", MODEL, "--quantizers", QUANTIZER) == 0
        for version in (1, 2):
            assert call("evaluate", "--model", f"models:/{MODEL}/{version}", "--data", world) == 0
        assert call("compare", "--models", MODEL) == 0
        found = [run.info.run_id for run in reversed(runs("evaluation"))]
    reason = "Undecided rules are about classes of few persons; looked at each of them in the report."
    with team.acting("reviewer"):
        assert call("review", *candidate, "--decision", "approve", "--reviewer", "R. One", "--reason", reason) == 0
    with team.acting("promoter"):
        assert call("promote", *candidate) == 0
    return found


def take(page: Browser, team: Team, found: list[str], folder: Path) -> None:
    """One picture a page."""
    experiment = team.experiments["registrar"]
    page.page.set_viewport_size({"width": WIDTH, "height": 900})
    page.open(f"models/{MODEL}-prod/versions/1", "Gate:", "Report of the comparison")
    page.picture(folder / "page-version.png", height=900)
    page.open(f"models/{MODEL}-prod", "promotion of champion", "@ champion")
    page.picture(folder / "page-history.png", height=560)
    chosen = f"runs={json.dumps(found)}&experiments={json.dumps([experiment])}"
    page.open(f"compare-runs?{chosen}", "Comparing 2 Runs", "facet/accuracy_at_1")
    page.page.set_viewport_size({"width": WIDTH, "height": 430})
    page.page.get_by_text("Metrics", exact=True).last.evaluate("heading => heading.scrollIntoView()")
    page.beside("facet/accuracy_at_1")
    page.picture(folder / "page-comparison.png", height=430)


def smaller(file: Path) -> None:
    """A palette of 256 colours, rare ones among them, is enough for pages and takes half of the bytes."""
    with Image.open(file) as picture:
        small = picture.convert("RGB").quantize(256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    small.save(file, optimize=True)


def main(folder: Path) -> None:
    """Take all of them."""
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["QBIAS_CACHE"] = f"{scratch}/cache"
        with team_server(Path(scratch)) as team:
            found = promoted(team, Path(scratch))
            with browser(team, "stranger") as page:
                take(page, team, found, folder)
    for file in sorted(folder.glob("page-*.png")):
        smaller(file)
        print(f"{file} {file.stat().st_size:,} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
