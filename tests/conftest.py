"""Fixtures that several tests share: an MLflow store for each test, empty or with one candidate's complete evidence.

Both are copies of a store that is made once per session, because the database's migrations take seconds.
"""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:
    # One of several test processes, which share the cores: torch's threads would wait for each other, spinning.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

if TYPE_CHECKING:
    from registry.cards import VersionCard
    from tests.flow import Work
    from tests.server import Team


SERVER = ("test_server_", "test_records_audit")
"""How the names of files begin that need the one team server."""
FIRST = (*SERVER, "test_engines_ray", "test_reliability", "test_project", "test_promote")
"""What several test processes begin with, so that none of it is left for the end."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With several test processes, a file's tests stay together, and so do all that need the server."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return "server" if Path(file).name.startswith(SERVER) else file

    return ByFile(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first, where there are several test processes."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        places = {item.path: next((n for n, name in enumerate(FIRST) if item.path.name.startswith(name)), len(FIRST)) for item in items}
        items.sort(key=lambda item: places[item.path])


@dataclass(frozen=True)
class Store:
    """A test's MLflow store. New runs go to `experiment`, whose artifacts lie below `artifacts`."""

    uri: str
    artifacts: Path
    experiment: str


@dataclass(frozen=True)
class Toy:
    """A store with the registered model `toy`: a baseline, one candidate, both evaluated, and their comparison.

    `runs` has the run ids of `baseline`, `candidate` and `comparison`.
    """

    store: Store
    candidate: "VersionCard"
    baseline: "VersionCard"
    runs: dict[str, str]


PLACES = (
    ("experiments", "artifact_location"), ("runs", "artifact_uri"), ("logged_models", "artifact_location"),
    ("model_versions", "source"), ("model_versions", "storage_location"),
)  # fmt: skip
"""Where MLflow's database says where artifacts lie."""


@contextmanager
def current_store(folder: Path) -> Iterator[Store]:
    """The store in `folder` as MLflow's current one; caches go to `folder` too. Afterwards everything is as before."""
    import mlflow
    from mlflow.tracking import fluent

    uri, artifacts = f"sqlite:///{folder}/mlflow.db", folder / "artifacts"
    before = mlflow.get_tracking_uri(), mlflow.get_registry_uri()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QBIAS_CACHE", str(folder / "cache"))
        patch.setattr(fluent, "_active_experiment_id", None)
        # MLflow sets these itself, for its child processes, and would leave them to processes that later tests start.
        patch.setenv("MLFLOW_TRACKING_URI", uri)
        patch.setenv("MLFLOW_REGISTRY_URI", uri)
        mlflow.set_tracking_uri(uri)
        mlflow.set_registry_uri(uri)
        try:
            known = mlflow.get_experiment_by_name("tests")
            number = known.experiment_id if known else mlflow.create_experiment("tests", artifacts.as_uri())
            patch.setenv("MLFLOW_EXPERIMENT_ID", number)
            yield Store(uri, artifacts, number)
        finally:
            while mlflow.active_run():
                mlflow.end_run()
            mlflow.set_tracking_uri(before[0])
            mlflow.set_registry_uri(before[1])


def copied_store(source: Path, folder: Path) -> Path:
    """A copy of a store's folder, in which artifacts are found at their new place."""
    shutil.copytree(source, folder)
    with closing(sqlite3.connect(folder / "mlflow.db")) as database, database:
        for table, column in PLACES:
            change = f"UPDATE {table} SET {column} = replace({column}, ?, ?)"  # noqa: S608 - names from the line above
            database.execute(change, (source.as_uri(), folder.as_uri()))
    return folder


@pytest.fixture(autouse=True)
def _environment_as_before() -> Iterator[None]:
    """What a test, MLflow or a verb that failed left in the environment is not there for the next test and its processes."""
    before = dict(os.environ)
    yield
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a store with nothing in it."""
    folder = tmp_path_factory.mktemp("empty")
    with current_store(folder):
        return folder


@pytest.fixture(scope="session")
def toy_store(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Toy:
    """A store with complete evidence, to be copied."""
    from tests.evidence_builder import complete

    with current_store(copied_store(empty_store, tmp_path_factory.mktemp("toy") / "store")) as store:
        return Toy(store, *complete("toy"))


@pytest.fixture
def store(tmp_path: Path, empty_store: Path) -> Iterator[Store]:
    """An empty MLflow store in `tmp_path`, which is the current one during the test."""
    with current_store(copied_store(empty_store, tmp_path / "store")) as store:
        yield store


@pytest.fixture
def toy(tmp_path: Path, toy_store: Toy) -> Iterator[Toy]:
    """A store of the test's own with one candidate's complete evidence, which is the current one during the test."""
    with current_store(copied_store(toy_store.store.artifacts.parent, tmp_path / "store")) as store:
        yield Toy(store, toy_store.candidate, toy_store.baseline, dict(toy_store.runs))


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The drawn world on disk, once for all tests; nobody writes into it."""
    from qbias.toyworld.world import write_world

    root = tmp_path_factory.mktemp("drawn") / "world"
    write_world(root, seed=0)
    return root


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random CLIP as a transformers folder, once for all tests; nobody writes into it."""
    from tests.tiny import tiny_clip

    return tiny_clip(tmp_path_factory.mktemp("clip") / "tiny")


@pytest.fixture(scope="session")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Team"]:
    """A team's server with PostgreSQL, accounts and permissions, once for all tests that need one."""
    from tests.server import team_server

    with team_server(tmp_path_factory.mktemp("server")) as team:
        yield team


@pytest.fixture(scope="session")
def work(team: "Team", tmp_path_factory: pytest.TempPathFactory) -> "Work":
    """What that team reviews: a small benchmark of its own, a policy that names its people, and a reviewer's key."""
    from tests.flow import work_of

    return work_of(team, tmp_path_factory.mktemp("work") / "own")
