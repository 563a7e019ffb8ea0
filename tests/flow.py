"""What a team on one server reviews in the tests: a small benchmark of its own, its policy, and names that are scripts."""

import csv
import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from mlflow import MlflowClient
from PIL import Image

from qbias.models import models_named
from qbias.quantizers import QUANTIZERS
from registry.versions import register
from tests.server import Team, call

SCRIPT = "<script>alert(1)</script>"
IMAGE = "<img src=x onerror=alert(1)>"
"""A registered model cannot have a / in its name, so the script above cannot be one."""
REVIEWER, PROMOTER = "R. One", "P. One"
BENCHMARK = {
    "name": "tools", "kind": "classification", "licence": "drawn here", "manifest": "manifest.csv", "images": "images",
    "classes": {"a": SCRIPT, "b": IMAGE}, "templates": ["a photo of a {}"], "ks": [1], "min_per_group": 1,
    "groups": {"size": [SCRIPT, "large"]}, "pairs": [{"name": "size_sl", "column": "size", "first": SCRIPT, "second": "large"}],
}  # fmt: skip


@dataclass(frozen=True)
class Work:
    """Files of a team's work: the benchmark's YAML, the policy's, `anyone` the same without a list of people, a reviewer's SSH key."""

    benchmark: Path
    policy: Path
    anyone: Path
    key: Path

    def review(self, model: str, *, reviewer: str = REVIEWER, policy: Path | None = None) -> int:
        """The verb approves: its exit code."""
        words = ("--model", f"models:/{model}/2", "--policy", policy or self.policy, "--decision", "approve", "--reason", f"seen: {SCRIPT}")
        return call("review", *words, "--reviewer", reviewer, *(("--signing-key", self.key) if reviewer == REVIEWER else ()))

    def promote(self, model: str, *, alias: str = "champion") -> int:
        return call("promote", *self.promotion(model, alias=alias))

    def promotion(self, model: str, *, alias: str = "champion") -> tuple[str, ...]:
        """The words of `promote`."""
        return "--model", f"models:/{model}/2", "--alias", alias, "--policy", str(self.policy)

    def prepare(self, model: str, folder: Path) -> None:
        """What the registrar does: a baseline and a candidate, both evaluated and compared."""
        # The verb makes a plain name of any folder's, so an odd one needs a row of its own.
        row = replace(models_named(str(folder))[0], name=model)
        register(row, [QUANTIZERS["torch-int8"]])
        for version in (1, 2):
            assert call("evaluate", "--model", f"models:/{model}/{version}", "--benchmarks", self.benchmark) == 0
        assert call("compare", "--models", model) == 0


def work_of(team: Team, folder: Path) -> Work:
    """A team's files; the policy names its people by the experiment that only they can write, and one reviewer by a key."""
    (folder / "images").mkdir(parents=True)
    random = np.random.default_rng(0)
    with (folder / "manifest.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["image", "label", "size"])
        for number in range(16):
            colours = random.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(colours).resize((64, 64)).save(folder / "images" / f"{number}.png")
            rows.writerow([f"{number}.png", "ab"[number % 2], [SCRIPT, "large"][number // 2 % 2]])
    (folder / "tools.yaml").write_text(yaml.safe_dump(BENCHMARK))
    policy = policy_of(team, public_key(folder / "key"))
    (folder / "team.yaml").write_text(yaml.safe_dump(policy))
    anyone = {name: value for name, value in policy["sign_off"].items() if name not in ("reviewers", "promoters")}
    (folder / "anyone.yaml").write_text(yaml.safe_dump(policy | {"sign_off": anyone}))
    return Work(folder / "tools.yaml", folder / "team.yaml", folder / "anyone.yaml", folder / "key")


def public_key(file: Path) -> str:
    """A new SSH key without a passphrase; its public half."""
    if not shutil.which("ssh-keygen"):
        pytest.skip("ssh-keygen is not installed (Debian: apt-get install openssh-client)")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", file], check=True)
    return file.with_suffix(".pub").read_text().strip()


def policy_of(team: Team, key: str) -> dict[str, Any]:
    """A policy that leaves every candidate to a person, and says who that may be. The registrar is a reviewer too, of others' work."""
    why = "For the tests."
    rule = {"name": "accuracy", "kind": "non-inferiority", "metric": "tools/accuracy_at_1", "margin": 0.001, "level": 0.95, "why": why}
    reviewers = [
        {"name": REVIEWER, "user": "reviewer", "experiment_id": team.experiments["reviewer"], "key": key},
        {"name": SCRIPT, "user": "second", "experiment_id": team.experiments["second"]},
        {"name": "G. One", "user": "registrar", "experiment_id": team.experiments["registrar"]},
    ]
    promoters = [{"name": PROMOTER, "user": "promoter", "experiment_id": team.experiments["promoter"]}]
    return {
        "name": "team", "benchmarks": [{"name": "tools", "why": why}],
        "endpoints": [{"metric": "tools/accuracy_at_1", "margin": 0.01, "why": why}],
        "rules": [rule], "comparison": {"required": True, "why": why},
        "sign_off": {"approvals": 1, "valid_days": 30, "reviewers": reviewers, "promoters": promoters, "why": why},
    }  # fmt: skip


def trusted(team: Team) -> frozenset[str]:
    """Where the policy's people sign."""
    return frozenset(team.experiments[name] for name in ("registrar", "reviewer", "second", "promoter"))


def aliases(name: str) -> dict[str, str]:
    """Where a registered model's aliases stand; none for one that does not exist."""
    found = [model.aliases for model in MlflowClient().search_registered_models() if model.name == name]
    return {alias: str(version) for alias, version in found[0].items()} if found else {}


def audited(team: Team, model: str) -> int:
    """The verb `audit` as whoever may read runs it: its exit code."""
    with team.acting("stranger"):
        return call("audit", "--models", model)
