"""What must hold in a store after any disturbance and one more run of the same command. Each fault is one sentence."""

from collections import Counter
from collections.abc import Iterator

from mlflow import MlflowClient, MlflowException
from mlflow.entities import Run

from benches.reliability.dump import SINGLE_FILES, versions
from benches.reliability.study import Place
from registry.cards import card_of
from registry.evidence import evaluations
from registry.runs import artifact


def faults(place: Place) -> list[str]:
    """Duplicated versions, runs that claim FINISHED without their artifacts, runs without end, files that nobody will fetch."""
    return [*_duplicates(), *_hollow(), *_endless(), *_unused_models(), *_left_files(place)]


def _duplicates() -> Iterator[str]:
    times = Counter((row.name, row.tags.get("qbias.content")) for row in versions())
    for (name, content), count in times.items():
        if count > 1:
            yield f"{name} has {count} versions of content {str(content)[:12]}"


def _hollow() -> Iterator[str]:
    """Each finished run has its artifacts, and each evaluation's outcomes are as they were written."""
    for run in _runs():
        kind = run.data.tags.get("qbias.kind", "")
        if run.info.status == "FINISHED":
            for path in SINGLE_FILES.get(kind, ()):
                with artifact(run, path) as file:
                    if not file.is_file():
                        yield f"{kind} run {run.info.run_id} is FINISHED without {path}"
    cards = [card_of(row) for row in versions()]
    for problem in evaluations(cards)[1]:
        yield f"{problem.model} version {problem.version}: {problem.reason}"


def _endless() -> Iterator[str]:
    for run in _runs():
        if run.info.status in ("RUNNING", "SCHEDULED"):
            yield f"run {run.info.run_id} ({run.info.run_name}) is {run.info.status} although its process is gone"


def _unused_models() -> Iterator[str]:
    """Logged models that no version uses."""
    client = MlflowClient()
    used = {str(row.source).removeprefix("models:/") for row in versions()}
    experiments = [row.experiment_id for row in client.search_experiments()]
    for model in client.search_logged_models(experiments):
        if model.model_id not in used:
            yield f"logged model {model.model_id} belongs to no version"


def _left_files(place: Place) -> Iterator[str]:
    """Half-written files in the cache, and passing folders."""
    for file in sorted(place.cache.rglob(".*")):
        yield f"{file.relative_to(place.cache)} was left in the cache"
    for file in sorted(place.passing.glob("qbias-*")):
        yield f"{file.name} was left in the folder for passing files"


def _runs() -> Iterator[Run]:
    client = MlflowClient()
    try:
        for experiment in client.search_experiments():
            yield from client.search_runs([experiment.experiment_id])
    except MlflowException as error:
        raise SystemExit(f"the store cannot be read: {error}") from error
