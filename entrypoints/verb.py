"""The frame around every verb: one MLflow run, one readable message when it fails, exit code 0 or 1."""

import argparse
import logging
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

import mlflow
from mlflow import MlflowException
from mlflow.environment_variables import MLFLOW_HTTP_REQUEST_MAX_RETRIES

from qbias.environment import stale_metadata

PROJECT = Path(__file__).resolve().parent.parent
ERROR_TAG = "qbias.error"
ERROR_TAG_LIMIT = 8000
RETRIES = MLFLOW_HTTP_REQUEST_MAX_RETRIES.name
FEW_RETRIES = 2
"""MLflow's client tries seven times more, which takes four minutes; after a failure this often, which takes seconds."""
INTERRUPTED = "interrupted; what had finished is kept, and the same command goes on from there"


def run_verb(verb: str, parser: argparse.ArgumentParser, work: Callable[[argparse.Namespace], str]) -> int:
    """Run `work` inside one MLflow run and return the process's exit code.

    Parameters
    ----------
    verb : name of the verb; it becomes the run's name and its tag `qbias.verb`.
    parser : the verb's parameters.
    work : does everything; the sentence that it returns is printed last.

    Returns
    -------
    0, or 1 after any error or Ctrl-C: the run is then FAILED, its tag `qbias.error` holds the message and its artifact
    `error/traceback.txt` the traceback.
    """
    step = _step(parser, work)
    _quiet_libraries()
    signal.signal(signal.SIGTERM, _interrupt)
    if stale := stale_metadata(PROJECT):
        print(f"warning: {stale}", file=sys.stderr)
    first: list[BaseException] = []
    try:
        with _patience_kept(), mlflow.start_run():
            try:
                # `mlflow run` has made the run already, under a random name.
                mlflow.set_tag("mlflow.runName", verb)
                print(recorded(verb, step))
            except (Exception, KeyboardInterrupt) as error:
                first.append(error)
                raise
    except (Exception, KeyboardInterrupt) as last:
        # A server that is gone fails the writing down of that as well.
        cause = first[0] if first else last
        said = INTERRUPTED if isinstance(cause, KeyboardInterrupt) else f"error: {message_of(cause)}"
        print(f"{verb}: {said}", file=sys.stderr)
        return 1
    return 0


@contextmanager
def _patience_kept() -> Iterator[None]:
    """How often MLflow's client tries, restored at the end: `recorded` lowers it for the rest of a verb that failed."""
    before = os.environ.get(RETRIES)
    try:
        yield
    finally:
        os.environ.pop(RETRIES, None)
        if before is not None:
            os.environ[RETRIES] = before


def _step(parser: argparse.ArgumentParser, work: Callable[[argparse.Namespace], str]) -> Callable[[], str]:
    """`work` with its parameters; where these are wrong, a step that raises the mistake within the run. `--help` ends the process here."""
    try:
        options = parser.parse_args()
    except ValueError as mistake:
        error = mistake

        def refuse() -> str:
            raise error

        return refuse
    return lambda: work(options)


def recorded(verb: str, work: Callable[[], str]) -> str:
    """`work()` within the active run; what goes wrong is written to the run before it is raised again."""
    mlflow.set_tag("qbias.verb", verb)
    try:
        return work()
    except (Exception, KeyboardInterrupt) as error:
        # A second Ctrl-C must not lose the record of the first.
        for name in (signal.SIGINT, signal.SIGTERM):
            signal.signal(name, signal.SIG_IGN)
        message = INTERRUPTED if isinstance(error, KeyboardInterrupt) else message_of(error)
        # Where the server is what failed, nobody wants to wait as long again for each line about it.
        os.environ[RETRIES] = str(min(FEW_RETRIES, MLFLOW_HTTP_REQUEST_MAX_RETRIES.get()))
        trace = traceback.format_exc()
        with suppress(MlflowException, OSError):
            mlflow.set_tag(ERROR_TAG, message[:ERROR_TAG_LIMIT])
            mlflow.log_text(trace, "error/traceback.txt")
        raise


def nested(verb: str, name: str, place: str, step: Callable[[], str]) -> str:
    """Run one step as a child of the active run and return its run id."""
    with mlflow.start_run(run_name=name, nested=True) as run:
        say(f"{verb} {place} {recorded(verb, step)}".replace("  ", " "))
    return str(run.info.run_id)


def say(line: str) -> None:
    """One line of progress, at once."""
    print(line, flush=True)


def message_of(error: BaseException) -> str:
    """The error in words; a library's error also says which kind it is."""
    text = str(error).strip()
    return text if isinstance(error, ValueError) and text else f"{type(error).__name__}: {text}".rstrip(": ")


def _interrupt(number: int, frame: FrameType | None) -> None:
    """`mlflow run` passes Ctrl-C on as SIGTERM: treat both alike."""
    raise KeyboardInterrupt


def _quiet_libraries() -> None:
    """Keep the terminal for what the user asked: libraries' notices of routine events are not shown."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    warnings.filterwarnings("ignore")
    logging.getLogger("mlflow").setLevel(logging.WARNING)
