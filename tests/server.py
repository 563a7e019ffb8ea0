"""A team's MLflow server for tests: PostgreSQL, proxied artifacts, the basic-auth app, one administrator and five users.

Everything listens on loopback, keeps its data in folders of its own, and ends with the test session, also when that is killed.
"""

import configparser
import os
import signal
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.processes import Process, create_database, free_port, postgres

if TYPE_CHECKING:
    from mlflow.entities import Run

ADMINISTRATOR = "administrator"
USERS = ("registrar", "reviewer", "second", "promoter", "stranger")


def password_of(name: str) -> str:
    return f"{name}-has-a-long-password"


@dataclass
class Team:
    """The server, and who works on it.

    Attributes
    ----------
    address : where it listens, also after a restart. artifacts : where it keeps them on disk.
    backend : URI of its database. experiments : experiment id by the one user who can write there.
    """

    address: str
    artifacts: Path
    backend: str
    process: Process
    experiments: dict[str, str] = field(default_factory=dict)

    def environment(self, user: str, address: str | None = None) -> dict[str, str]:
        """What a user's process needs to know, and nothing that MLflow would take from this one."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
        return kept | self.variables(user, address)

    def variables(self, user: str, address: str | None = None) -> dict[str, str]:
        own = {"MLFLOW_EXPERIMENT_ID": self.experiments[user]} if user in self.experiments else {}
        return own | {
            "MLFLOW_TRACKING_URI": address or self.address,
            "MLFLOW_TRACKING_USERNAME": user,
            "MLFLOW_TRACKING_PASSWORD": password_of(user),
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }

    @contextmanager
    def acting(self, user: str, address: str | None = None) -> Iterator[None]:
        """What runs here is one user's; `address` is that of a proxy in front of the server."""
        import mlflow
        from mlflow.tracking import fluent

        before = mlflow.get_tracking_uri(), mlflow.get_registry_uri()
        with pytest.MonkeyPatch.context() as patch:
            patch.delenv("MLFLOW_EXPERIMENT_ID", raising=False)
            for name, value in self.variables(user, address).items():
                patch.setenv(name, value)
            patch.setattr(fluent, "_active_experiment_id", None)
            patch.setenv("MLFLOW_REGISTRY_URI", address or self.address)  # or MLflow's own would outlive the block
            mlflow.set_tracking_uri(address or self.address)
            mlflow.set_registry_uri(address or self.address)
            try:
                yield
            finally:
                while mlflow.active_run():
                    mlflow.end_run()
                mlflow.set_tracking_uri(before[0])
                mlflow.set_registry_uri(before[1])


def auth_settings(folder: Path, database: str) -> Path:
    """The auth app's file of settings: whoever has an account may read everything."""
    settings = configparser.ConfigParser(interpolation=None)
    settings["mlflow"] = {
        "default_permission": "READ",
        "database_uri": database,
        "admin_username": ADMINISTRATOR,
        # Else every request computes a password's digest anew, which takes longer than the request.
        "auth_cache_ttl_seconds": "60",
    }
    with (folder / "auth.ini").open("w") as file:
        settings.write(file)
    return folder / "auth.ini"


@contextmanager
def team_server(folder: Path) -> Iterator[Team]:
    """A running server with its users, each with an experiment that nobody else but the administrator can write."""
    with postgres() as database:
        backend, port, artifacts = create_database(database, "mlflow"), free_port(), folder / "artifacts"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")} | {
            "MLFLOW_AUTH_CONFIG_PATH": str(auth_settings(folder, create_database(database, "accounts"))),
            "MLFLOW_AUTH_ADMIN_PASSWORD": password_of(ADMINISTRATOR),
            # The auth app wants it against forged forms; any secret that stays the same will do.
            "MLFLOW_FLASK_SERVER_SECRET_KEY": "a secret of the tests",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }
        words = ["--app-name", "basic-auth", "--host", "127.0.0.1", "--port", port, "--workers", 2, "--backend-store-uri", backend]
        command = [sys.executable, "-m", "mlflow", "server", *map(str, words), "--serve-artifacts", f"--artifacts-destination={artifacts}"]
        address = f"http://127.0.0.1:{port}"
        process = Process(command, folder / "server.log", environment, lambda: healthy(address))
        team = Team(address, artifacts, backend, process)
        process.start()
        try:
            add_users(team)
            yield team
        finally:
            process.kill()


def healthy(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/health", timeout=5) as answer:  # noqa: S310
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def add_users(team: Team) -> None:
    """As an administrator does it: accounts, and for each an experiment in which it may write but delete nothing."""
    from mlflow import MlflowClient

    with team.acting(ADMINISTRATOR):
        for name in USERS:
            administer(team, "2.0/mlflow/users/create", username=name, password=password_of(name))
            team.experiments[name] = MlflowClient().create_experiment(f"work of {name}")
            grant(team, name, "experiment", team.experiments[name], "EDIT")


def grant(team: Team, user: str, kind: str, resource: str, permission: str) -> None:
    """Give a user a right: READ, USE, EDIT or MANAGE of an `experiment` by its id or a `registered_model` by its name."""
    facts = {"username": user, "resource_type": kind, "resource_id": resource, "permission": permission}
    administer(team, "3.0/mlflow/users/permissions/grant", **facts)


def administer(team: Team, path: str, **facts: str) -> None:
    """A request to the auth app. MLflow's own client of it cannot be imported without the whole server."""
    from mlflow.utils.rest_utils import MlflowHostCreds, http_request, verify_rest_response

    who = MlflowHostCreds(team.address, username=ADMINISTRATOR, password=password_of(ADMINISTRATOR))
    verify_rest_response(http_request(who, f"/api/{path}", "POST", json=facts), path)


def call(verb: str, *words: object) -> int:
    """A verb as from the command line, in this process: its exit code."""
    from entrypoints.verb import run_verb

    module = import_module(f"entrypoints.{verb}")
    # The verbs take over Ctrl-C and SIGTERM, and MLflow's run id for the length of a run.
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.argv", [verb, *map(str, words)])
            return run_verb(verb, module.parser(), module.work)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def runs(kind: str | None = None, **tags: str) -> list["Run"]:
    """Runs of a kind (None: all) with these tags (`model="toy"`: `qbias.model`), whatever became of them, newest first."""
    import mlflow

    wanted = {f"qbias.{name}": value for name, value in ({"kind": kind} if kind else {}).items() | tags.items()}
    found = mlflow.search_runs(search_all_experiments=True, output_format="list")
    return [run for run in found if wanted.items() <= run.data.tags.items()]


def files_of(run: "Run") -> dict[str, int]:
    """Size by path of all of a run's artifacts, as the server lists them."""
    from mlflow import MlflowClient

    found: dict[str, int] = {}
    folders = [""]
    while folders:
        for row in MlflowClient().list_artifacts(run.info.run_id, folders.pop() or None):
            if row.is_dir:
                folders.append(row.path)
            else:
                found[row.path] = row.file_size
    return found
