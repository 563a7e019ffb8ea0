"""Runs, found by what they are (`qbias.kind`) and by content key in whichever active experiment they lie; and their artifacts."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlparse
from urllib.request import url2pathname

import mlflow
from mlflow import MlflowClient, MlflowException
from mlflow.artifacts import download_artifacts
from mlflow.entities import Run
from mlflow.utils.credentials import read_mlflow_creds

PAGE = 1000
"""MLflow's largest page."""


def runs_of_kind(kind: str, *, tags: Mapping[str, str] | None = None, finished: bool = True) -> Iterator[Run]:
    """Runs with the tag `qbias.kind`, and `tags` if given, in all active experiments; newest first.

    Parameters
    ----------
    kind : `evaluation`, `noise`, `comparison`, `review`, `promotion` or `rollback`.
    tags : further tags by name; values must not hold a quote (they are digests, not free text).
    finished : only runs with the status FINISHED.
    """
    assert not any("'" in value for value in (tags or {}).values()), tags
    client = MlflowClient()
    wanted = {"qbias.kind": kind, **(tags or {})}
    parts = [f"tags.`{name}` = '{value}'" for name, value in wanted.items()]
    parts += ["attributes.status = 'FINISHED'"] if finished else []
    experiments, token = _active_experiments(client), None
    while experiments:
        page = client.search_runs(
            experiments,
            " and ".join(parts),
            max_results=PAGE,
            order_by=["attributes.start_time DESC"],
            page_token=token,
        )
        yield from page
        token = page.token
        if not token:
            return


def running_runs() -> Iterator[Run]:
    """Runs that are not ended, in all active experiments."""
    client, token = MlflowClient(), None
    experiments = _active_experiments(client)
    while experiments:
        page = client.search_runs(experiments, "attributes.status = 'RUNNING'", max_results=PAGE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


@contextmanager
def untouched_store() -> Iterator[None]:
    """Within the block, a database that does not exist yet is not made: asking MLflow for anything would make it."""
    tracking, registry = mlflow.get_tracking_uri(), mlflow.get_registry_uri()
    file = tracking.partition("sqlite:///")[2]
    if not file or Path(file).exists():
        yield
        return
    with TemporaryDirectory(prefix="qbias-dry-run-") as scratch:
        mlflow.set_tracking_uri(f"sqlite:///{scratch}/mlflow.db")
        mlflow.set_registry_uri(mlflow.get_tracking_uri())
        try:
            yield
        finally:
            mlflow.set_tracking_uri(tracking)
            mlflow.set_registry_uri(registry)


def run_links(server: str) -> dict[str, str]:
    """Where each finished evaluation, and each arm, stands on the tracking server; nothing for a store that no browser reaches.

    Parameters
    ----------
    server : the tracking URI.
    """
    if not server.startswith(("http://", "https://")):
        return {}
    # Pages of a search: a request for each run would be thousands.
    runs = (run.info for kind in ("evaluation", "noise") for run in runs_of_kind(kind))
    return {run.run_id: f"{server.rstrip('/')}/#/experiments/{run.experiment_id}/runs/{run.run_id}" for run in runs}


def _active_experiments(client: MlflowClient) -> list[str]:
    found: list[str] = []
    token = None
    while True:
        page = client.search_experiments(max_results=PAGE, page_token=token)
        found += [experiment.experiment_id for experiment in page]
        token = page.token
        if not token:
            return found


def finished_evaluation(key: str) -> str | None:
    """Run id of the newest finished evaluation with this `qbias.evaluation_key`; None where there is none."""
    return _first_run_id("evaluation", {"qbias.evaluation_key": key})


def finished_arm(key: str) -> str | None:
    """Run id of the newest finished A/A arm with this `qbias.evaluation_key`; None where there is none."""
    return _first_run_id("noise", {"qbias.evaluation_key": key})


def finished_comparison(key: str) -> str | None:
    """Run id of the newest finished comparison with this `qbias.comparison_key`; None where there is none."""
    return _first_run_id("comparison", {"qbias.comparison_key": key})


def _first_run_id(kind: str, tags: Mapping[str, str]) -> str | None:
    for run in runs_of_kind(kind, tags=tags):
        return str(run.info.run_id)
    return None


def local_artifact(run: Run, path: str) -> Path | None:
    """Where an artifact lies on this machine's disk; None for a store that has to be asked for it."""
    uri = urlparse(run.info.artifact_uri)
    return Path(url2pathname(uri.path)) / path if uri.scheme in ("", "file") else None


def download(run: Run, path: str, folder: Path) -> Path:
    """A copy of an artifact below `folder`. Only the run's own: MLflow's `runs:/` would mix in those of its logged models."""
    return Path(download_artifacts(artifact_uri=f"{run.info.artifact_uri}/{path}", dst_path=str(folder)))


@contextmanager
def artifact(run: Run, path: str) -> Iterator[Path]:
    """An artifact as it is now, to be read within the block: in place for a local store, else a passing copy."""
    if here := local_artifact(run, path):
        yield here
        return
    with TemporaryDirectory() as passing:
        yield download(run, path, Path(passing))


@contextmanager
def whole_run(run: Run) -> Iterator[Path]:
    """All artifacts of a run as they are now, to be read within the block: in place for a local store, else a passing copy."""
    if here := local_artifact(run, "."):
        yield here
        return
    with TemporaryDirectory(prefix="qbias-") as passing:
        yield Path(download_artifacts(artifact_uri=run.info.artifact_uri, dst_path=passing))


def named_run(run_id: str, kind: str) -> Run:
    """The finished run of this id and kind.

    Raises
    ------
    ValueError
        If there is none, it was deleted, it did not finish, or its tag says that it is of another kind.
    """
    try:
        run = MlflowClient().get_run(run_id)
    except MlflowException as error:
        raise ValueError(f"there is no run {run_id!r} ({kind}): {error}") from error
    said = run.data.tags.get("qbias.kind")
    if run.info.lifecycle_stage != "active":
        raise ValueError(f"run {run_id} ({kind}) was deleted: 'mlflow runs restore --run-id {run_id}' brings it back")
    if (said, run.info.status) != (kind, "FINISHED"):
        raise ValueError(f"run {run_id} is not a finished {kind}: its tag qbias.kind is {said!r}, its status {run.info.status}")
    return run


def user_of(run: Run) -> str:
    """Who a run says it is from: the name that is used for the tracking server, else the user that MLflow wrote into the run.

    A client's own claim: MLflow does not check it. Identity comes from permissions and signatures, never from here.
    """
    return str(read_mlflow_creds().username or run.data.tags.get("mlflow.user") or run.info.user_id or "")
