"""The small study that is disturbed: one toy CLIP, two precisions, forty images, as `mlflow run .` would start it."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from itertools import count
from pathlib import Path

from benches.reliability.prepared import Prepared, prepared

PROJECT = Path(__file__).resolve().parents[2]
OPTIONS = {
    "models": "toy-s16-balanced",
    "quantizers": "torch-int8",
    "noise": "no",
    "benchmarks": "examples/robots/robots.yaml",
    "limit": "40",
    "min-per-group": "1",
}
EXPERIMENT = "study"
_NUMBER = count()
MOST_S = 300.0
"""No study of this size takes longer; a process that does hangs, and is ended."""


@dataclass(frozen=True)
class Place:
    """A folder with a store, artifacts, a cache and a folder for passing files of its own."""

    folder: Path

    @property
    def uri(self) -> str:
        """The store's tracking URI."""
        return f"sqlite:///{self.folder}/mlflow.db"

    @property
    def cache(self) -> Path:
        """QBIAS_CACHE."""
        return self.folder / "cache"

    @property
    def passing(self) -> Path:
        """TMPDIR of its processes."""
        return self.folder / "tmp"

    def environment(self, **more: str) -> dict[str, str]:
        """What its processes see: one thread, so that several studies side by side do not fight for the cores."""
        own = {
            "MLFLOW_TRACKING_URI": self.uri,
            "MLFLOW_REGISTRY_URI": self.uri,
            "MLFLOW_EXPERIMENT_NAME": EXPERIMENT,
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
            "QBIAS_CACHE": str(self.cache),
            "TMPDIR": str(self.passing),
            "PYTHONPATH": str(PROJECT),
        }
        return os.environ | own | more


def made_place(folder: Path) -> Place:
    """A new place with an empty store, whose migrations are done."""
    place = Place(folder)
    shutil.rmtree(folder, ignore_errors=True)
    place.passing.mkdir(parents=True)
    database = folder / "mlflow.db"
    database.write_bytes(_empty_store())
    with closing(sqlite3.connect(database)) as connection, connection:
        artifacts = (folder / "artifacts").as_uri()
        connection.execute("UPDATE experiments SET artifact_location = ? WHERE name = ?", (artifacts, EXPERIMENT))
    return place


@cache
def _empty_store() -> bytes:
    """The database of a store with the study's experiment, which takes MLflow longer to make than to copy."""
    with tempfile.TemporaryDirectory() as scratch:
        place = Place(Path(scratch))
        code = f"from mlflow import MlflowClient\nMlflowClient().create_experiment({EXPERIMENT!r})"
        environment = place.environment(MLFLOW_EXPERIMENT_NAME="Default", TMPDIR=tempfile.gettempdir())
        subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True)  # noqa: S603 - our own code
        return (place.folder / "mlflow.db").read_bytes()


def started(place: Place, *, dies_at: tuple[str, str] | None = None) -> Prepared:
    """The study's process, which is killed at the first call of `dies_at`, a module and the name of its function, where that is given."""
    return prepared(_study, dies_at, environment=place.environment(), printed=place.folder / f"{next(_NUMBER)}.txt")


def _study(dies_at: tuple[str, str] | None) -> int:
    """The verb, as from the command line in the project's folder: its exit code."""
    if dies_at:  # before the verb's modules take the function from its own
        module, function = dies_at
        setattr(import_module(module), function, lambda *given, **named: os.kill(os.getpid(), signal.SIGKILL))

    from entrypoints import main
    from entrypoints.verb import run_verb

    os.chdir(PROJECT)
    sys.argv = ["main", *(part for name, value in OPTIONS.items() for part in (f"--{name}", value))]
    return run_verb("main", main.parser(), main.work)


def killed(process: Prepared, after_s: float) -> bool:
    """SIGKILL to the process and its children after so many seconds; whether it was still running."""
    if process.ended(after_s):
        return False
    process.kill()
    process.ended(MOST_S)
    return process.result()[0] == -signal.SIGKILL


def finished(process: Prepared) -> tuple[int, str]:
    """Exit code and output of a process that is let run to its end."""
    if process.ended(MOST_S):
        return process.result()
    process.kill()
    process.ended(MOST_S)
    return -9, f"it hung and was ended after {MOST_S:.0f} s\n{process.result()[1]}"
