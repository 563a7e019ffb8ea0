"""The demo after set-up: cold (empty store and cache) and again with nothing changed, in one run on this machine."""

import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from mlflow import MlflowClient

from benches.rows import Row

PROJECT = Path(__file__).resolve().parent.parent
GIB = 1 << 30
COMMANDS = (("mlflow", "run", ".", "--env-manager", "local"), ("python", "-m", "entrypoints.demo"))
"""What `make demo` runs once its environment is there."""


def rows() -> list[Row]:
    """Seconds of the first and the second time, their ratio, and the most memory that all processes held together."""
    with tempfile.TemporaryDirectory(prefix="qbias-bench-") as folder:
        environment = os.environ | {
            "QBIAS_CACHE": f"{folder}/cache",
            "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "MLFLOW_EXPERIMENT_NAME": "bench",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }
        # A local store's artifacts would go to ./mlruns; the experiment is made here to say otherwise.
        MlflowClient(environment["MLFLOW_TRACKING_URI"]).create_experiment("bench", artifact_location=f"file://{folder}/artifacts")
        cold, memory = timed(environment)
        warm, _ = timed(environment)
    return [
        Row("demo, cold", cold, "s", 300),
        Row("demo, nothing changed", warm, "s", 40),
        Row("demo, nothing changed / cold", warm / cold, "ratio"),
        Row("demo, memory of all processes", memory, "GiB", 4),
    ]


def timed(environment: dict[str, str]) -> tuple[float, float]:
    """Run the demo's commands; seconds and GiB."""
    started, most = time.perf_counter(), 0.0
    for command in COMMANDS:
        process = subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=subprocess.DEVNULL)  # noqa: S603 - our own commands
        with Watch(process.pid) as watch:
            if process.wait() != 0:
                raise SystemExit(f"{' '.join(command)} failed with exit code {process.returncode}")
        most = max(most, watch.most)
    return time.perf_counter() - started, most / GIB


class Watch:
    """Samples the memory of a process and all its descendants ten times a second (Linux: proportional set size from /proc)."""

    def __init__(self, pid: int) -> None:
        self.most = 0.0
        self._pid, self._over = pid, threading.Event()
        self._thread = threading.Thread(target=self._sample)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._over.wait(0.1):
            self.most = max(self.most, float(sum(map(_bytes_of, _family(self._pid)))))


def _family(pid: int) -> list[int]:
    """The process and its descendants."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [pid, *(member for child in children for member in _family(int(child)))]


def _bytes_of(pid: int) -> int:
    """Memory of one process, with pages that several processes share counted in shares."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)
