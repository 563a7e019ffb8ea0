"""A team's MLflow server for tests: PostgreSQL, proxied artifacts, the basic-auth app, one administrator and five users.

Everything listens on loopback, keeps its data in folders of its own, and ends with the test session, also when that is killed.
"""

import configparser
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from mlflow.entities import Run

ADMINISTRATOR = "administrator"
USERS = ("registrar", "reviewer", "second", "promoter", "stranger")
START_S = 180.0
"""How long a server may take to answer for the first time: two workers import MLflow on what may be a busy machine."""
# Runs a command; ends its whole group when this process ends, in whichever way: the pipe that `cat` reads from is closed then.
WATCHED = """
name=$1; shift; trap '' QUIT; exec 3<&0
"$@" </dev/null 3<&- & server=$!
{ cat <&3 >/dev/null; kill -s "$name" 0; } &
wait "$server"
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(ready: Callable[[], bool], process: "subprocess.Popen[bytes]", log: Path, seconds: float = START_S) -> None:
    """Wait until `ready()`; where the process ends before that, or does not become ready, its log is the message."""
    deadline = time.monotonic() + seconds
    while not ready():
        said = f"{log.name} (exit code {process.poll()}):\n{log.read_text(errors='replace')[-4000:]}"
        assert process.poll() is None, f"ended early: {said}"
        assert time.monotonic() < deadline, f"not ready after {seconds:.0f} s: {said}"
        time.sleep(0.1)


def password_of(name: str) -> str:
    return f"{name}-has-a-long-password"


def postgres_programs() -> Path:
    """The folder of PostgreSQL's programs; the test is skipped where there are none."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parent.parent.name))
    if not versions:
        pytest.skip("PostgreSQL's initdb is not installed (Debian: apt-get install postgresql)")
    return versions[-1].parent


@dataclass
class Process:
    """A server in a process group of its own, which `last_signal` ends all at once."""

    command: list[str]
    log: Path
    environment: dict[str, str]
    ready: Callable[[], bool]
    last_signal: str = "KILL"
    user: str | None = None
    running: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        assert self.running is None
        command = ["sh", "-c", WATCHED, "sh", self.last_signal, *self.command]
        rights = {"user": self.user, "group": pwd.getpwnam(self.user).pw_gid, "extra_groups": []} if self.user else {}
        with self.log.open("ab") as log:
            self.running = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=log, stderr=log, cwd=self.log.parent, env=self.environment,
                start_new_session=True, **rights,
            )  # fmt: skip
        try:
            wait_for(self.ready, self.running, self.log)
        except BaseException:
            self.kill()
            raise

    def kill(self) -> None:
        """End the whole group, without a chance to finish anything unless `last_signal` gives one."""
        process, self.running = self.running, None
        if process is None:
            return
        assert process.stdin
        with process.stdin:
            os.killpg(process.pid, getattr(signal, f"SIG{self.last_signal}"))
            process.wait(30)
        deadline = time.monotonic() + 30
        while self.ready():
            assert time.monotonic() < deadline, f"{self.log.name}: still answers"


@contextmanager
def postgres() -> Iterator[str]:
    """A PostgreSQL server on a free port, as an unprivileged user; its URI, without a database."""
    import psycopg2

    programs = postgres_programs()
    names = {entry.pw_name for entry in pwd.getpwall()}
    user = None if os.geteuid() else "postgres" if "postgres" in names else "nobody"
    # Not below pytest's folders: those are closed to other users, and the server refuses to run as root.
    home = Path(tempfile.mkdtemp(prefix="qbias-postgres-"))
    try:
        if user:
            shutil.chown(home, user)
        port, secret = free_port(), password_of("postgres")
        (home / "password").write_text(secret)
        (home / "password").chmod(0o644)
        clean = {"PATH": os.environ["PATH"], "LC_ALL": "C", "TZ": "UTC"}
        rights = {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []} if user else {}
        words = ["-D", home / "data", "-U", "qbias", "-A", "scram-sha-256", f"--pwfile={home / 'password'}", "-E", "UTF8", "--no-sync"]
        made = subprocess.run([programs / "initdb", *words], cwd=home, env=clean, capture_output=True, text=True, check=False, **rights)
        assert made.returncode == 0, made.stderr
        # What is lost when the machine loses power does not matter here.
        settings = {"port": port, "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off", "max_connections": 200}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]

        def answers() -> bool:
            try:
                with closing(psycopg2.connect(host="127.0.0.1", port=port, user="qbias", password=secret, dbname="postgres")):
                    return True
            except psycopg2.OperationalError:
                return False

        (home / "log").touch(0o666)
        server = Process([str(programs / "postgres"), "-D", str(home / "data"), *options], home / "log", clean, answers, "QUIT", user)
        server.start()
        try:
            yield f"postgresql+psycopg2://qbias:{secret}@127.0.0.1:{port}"
        finally:
            server.kill()
    finally:
        shutil.rmtree(home, ignore_errors=True)


def create_database(server: str, name: str) -> str:
    """An empty database; its URI."""
    import psycopg2
    from psycopg2 import sql

    with closing(psycopg2.connect(f"{server}/postgres".replace("+psycopg2", ""))) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return f"{server}/{name}"


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
