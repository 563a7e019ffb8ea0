"""Servers for tests as processes: each in a group of its own that ends with the test session, also when that is killed; PostgreSQL."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

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
        port, secret = free_port(), "known-to-this-server-alone"
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
