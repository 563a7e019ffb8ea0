"""Processes that have the large libraries imported when they begin: forked from one that imported them and did nothing else.

Importing them takes longer than the small study itself, and a study that is killed meanwhile has not begun.
"""

import atexit
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any

LIBRARIES = (
    "pandas", "pyarrow.parquet", "scipy.stats", "sklearn.metrics", "torch", "torch._dynamo", "transformers.models.clip.modeling_clip",
    "mlflow.pyfunc", "mlflow.store.tracking.sqlalchemy_store", "mlflow.store.model_registry.sqlalchemy_store", "mlflow.models.evaluation",
)  # fmt: skip
"""None of them starts a thread when it is imported: a thread would be missing after a fork."""
QUIET = "MLFLOW_DISABLE_TELEMETRY"
"""MLflow's usage reports would be such a thread."""


@dataclass(frozen=True)
class Prepared:
    """A process in a group of its own, and the file that holds what it prints."""

    process: ForkServerProcess
    printed: Path

    def kill(self) -> None:
        """SIGKILL to it and its children."""
        if (number := self.process.pid) is None:
            return  # it never began
        try:
            os.killpg(number, signal.SIGKILL)
        except ProcessLookupError:  # it has no group of its own yet
            self.process.kill()

    def ended(self, within_s: float) -> bool:
        """Wait for its end; whether it came within so many seconds."""
        self.process.join(within_s)
        return self.process.exitcode is not None

    def result(self) -> tuple[int, str]:
        """Exit code (-9: killed by SIGKILL) and what it printed.

        Raises
        ------
        RuntimeError
            If it has not ended.
        """
        if self.process.exitcode is None:
            raise RuntimeError(f"process {self.process.pid} has not ended")
        return self.process.exitcode, self.printed.read_text(errors="replace")


def prepared(work: Callable[..., int], *given: Any, environment: Mapping[str, str], printed: Path) -> Prepared:
    """Begin `work(*given)`, whose result is the exit code, in a process that sees this environment and no other.

    Parameters
    ----------
    work : a function of a module; it and `given` are pickled. printed : a file, written anew.
    """
    printed.write_bytes(b"")  # also of a process that is killed before it could make the file
    process = _context().Process(target=_begin, args=(work, given, dict(environment), printed))
    process.start()
    return Prepared(process, printed)


def ready() -> None:
    """Have the libraries imported, which the first process would wait for."""
    _context()


@cache
def _context() -> ForkServerContext:
    context = get_context("forkserver")
    context.set_forkserver_preload(list(LIBRARIES))
    before = os.environ.get(QUIET)
    os.environ[QUIET] = "true"  # the first process begins the one that all are forked from, which inherits this
    try:
        first = context.Process(target=_nothing)
        first.start()
        first.join()
    finally:
        os.environ.pop(QUIET)
        if before is not None:
            os.environ[QUIET] = before
    return context


def _nothing() -> None:
    """What the first process does."""


def _begin(work: Callable[..., int], given: tuple[Any, ...], environment: dict[str, str], printed: Path) -> None:
    os.setsid()
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None  # to be found anew, from this environment
    with printed.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    code = 70
    try:
        code = work(*given)
    except BaseException:  # as the interpreter would end
        traceback.print_exc()
    finally:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
