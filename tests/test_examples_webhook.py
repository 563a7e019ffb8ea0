"""The webhook example: a real MLflow server calls the real receiver, and nobody else can."""

import base64
import hashlib
import hmac
import http.client
import json
import os
import queue
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from examples.webhook import receiver
from examples.webhook.receiver import LARGEST, OLDEST_S, SECRET, announcement, is_genuine, secret_from, signed

PROJECT = Path(__file__).resolve().parent.parent
SHARED = "a secret of the tests, long enough"
KEY = base64.urlsafe_b64encode(bytes(range(32))).decode()
LOOPBACK = {"MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http,https", "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true"}
WAIT_S = 120
NEWS = {"entity": "model_version_alias", "action": "created", "data": {"name": "toy-prod", "alias": "champion", "version": "2"}}


class Started:
    """A process whose lines of output are read as they come."""

    def __init__(self, *arguments: str, **environment: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", *arguments], cwd=PROJECT, env=os.environ | environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        self.lines: queue.Queue[str] = queue.Queue()
        self.thread = threading.Thread(target=self._read)
        self.thread.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                self.lines.put(line.rstrip("\n"))

    def next_line(self) -> str:
        return self.lines.get(timeout=WAIT_S)

    def end(self) -> None:
        os.killpg(self.process.pid, 15)
        try:
            self.process.wait(WAIT_S / 4)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, 9)
            self.process.wait(WAIT_S)
        self.thread.join(WAIT_S)


@contextmanager
def started(*arguments: str, **environment: str) -> Iterator[Started]:
    process = Started(*arguments, **environment)
    try:
        yield process
    finally:
        process.end()


@pytest.fixture(scope="module")
def listening() -> Iterator[tuple[Started, str]]:
    """The receiver in a process of its own, and its address."""
    with started("examples.webhook.receiver", "--port", "0", **{SECRET: SHARED}) as process:
        said = process.next_line()
        assert said.startswith("listening on http://127.0.0.1:"), said
        yield process, said.removeprefix("listening on ")


def post(address: str, body: bytes, headers: dict[str, str]) -> int:
    host = address.removeprefix("http://")
    connection = http.client.HTTPConnection(host, timeout=WAIT_S)
    try:
        connection.request("POST", "/", body, headers)
        return connection.getresponse().status
    finally:
        connection.close()


def genuine(body: bytes, *, secret: str = SHARED, delivery: str = "d-1", at_s: float | None = None) -> dict[str, str]:
    """Headers as MLflow's source makes them, worked out here a second time."""
    timestamp = str(int(time.time() if at_s is None else at_s))
    digest = hmac.new(secret.encode(), f"{delivery}.{timestamp}.{body.decode()}".encode(), hashlib.sha256).digest()
    signature = "v1," + base64.b64encode(digest).decode()
    return {"X-MLflow-Delivery-Id": delivery, "X-MLflow-Timestamp": timestamp, "X-MLflow-Signature": signature}


def server_address(folder: Path) -> tuple[str, tuple[str, ...]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    store = f"sqlite:///{folder / 'mlflow.db'}"
    options = ("--backend-store-uri", store, "--artifacts-destination", str(folder / "artifacts"), "--workers", "1", "--port", str(port))
    return f"http://127.0.0.1:{port}", ("mlflow", "server", *options)


def answers(address: str) -> bool:
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=5)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def test_a_server_announces_an_alias_that_is_set_moved_and_deleted(listening: tuple[Started, str], tmp_path: Path) -> None:
    """The whole way: register.py sets the webhook up, twice the same one; each change of the alias is one line."""
    hears, hook = listening
    address, command = server_address(tmp_path)
    with started(*command, MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY=KEY, **LOOPBACK) as server:
        deadline = time.monotonic() + WAIT_S
        while not answers(address):
            assert server.process.poll() is None, list(server.lines.queue)
            assert time.monotonic() < deadline, list(server.lines.queue)
            time.sleep(0.2)
        register = [sys.executable, "-m", "examples.webhook.register", "--url"]
        environment = os.environ | {"MLFLOW_TRACKING_URI": address, SECRET: SHARED}
        for _ in range(2):
            done = subprocess.run([*register, hook], cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=WAIT_S)
            assert (done.returncode, done.stderr) == (0, "")
            assert "answered with status 204" in done.stdout
            assert hears.next_line().endswith(" models:/example_model@example_alias now points to version 1")
        client = MlflowClient(address, address)
        assert len(client.list_webhooks()) == 1
        client.create_registered_model("toy-prod")
        run = client.create_run("0").info
        for _ in range(2):
            client.create_model_version("toy-prod", f"{run.artifact_uri}/model", run.run_id)
        for number in ("1", "2"):
            client.set_registered_model_alias("toy-prod", "champion", number)
            assert hears.next_line().endswith(f" models:/toy-prod@champion now points to version {number}")
        client.delete_registered_model_alias("toy-prod", "champion")
        assert hears.next_line().endswith(" models:/toy-prod@champion was deleted")
        wrong = environment | {SECRET: "another secret than the receiver's"}
        done = subprocess.run([*register, hook], cwd=PROJECT, env=wrong, capture_output=True, text=True, timeout=WAIT_S)
        assert done.returncode == 1
        assert "answered with status 401" in done.stdout


def test_nobody_else_can_announce(listening: tuple[Started, str]) -> None:
    """Forged, changed, old, repeated and oversized messages print nothing; the genuine one after them does."""
    hears, hook = listening
    body = json.dumps(NEWS).encode()
    headers = genuine(body)
    forged = [
        {},
        {**headers, "X-MLflow-Signature": ""},
        {**headers, "X-MLflow-Signature": "v2" + headers["X-MLflow-Signature"][2:]},
        {**headers, "X-MLflow-Signature": "v1,not base64!"},
        {**headers, "X-MLflow-Delivery-Id": "d-2"},
        {**headers, "X-MLflow-Timestamp": str(int(headers["X-MLflow-Timestamp"]) + 1)},
        genuine(body, secret="another secret than the receiver's"),
        genuine(body, at_s=time.time() - OLDEST_S - 60),
        genuine(body, at_s=time.time() + OLDEST_S + 60),
    ]
    assert [post(hook, body, each) for each in forged] == [401] * len(forged)
    assert post(hook, body.replace(b'"2"', b'"3"'), headers) == 401
    assert post(hook, b"x", {"Content-Length": str(LARGEST + 1)}) == 413
    assert post(hook, b"", {"Content-Length": "many"}) == 411
    other = b'{"entity": "prompt", "action": "created", "data": {}}'
    assert post(hook, other, genuine(other)) == 204
    assert post(hook, b"{", genuine(b"{")) == 400
    assert hears.lines.empty()
    assert [post(hook, body, {name.lower(): value for name, value in headers.items()}) for _ in range(2)] == [204, 204]
    assert hears.next_line().endswith(" models:/toy-prod@champion now points to version 2")
    last = json.dumps(NEWS | {"action": "deleted"}).encode()
    assert post(hook, last, genuine(last, delivery="d-3")) == 204
    assert hears.next_line().endswith(" was deleted"), "the repeated delivery was announced twice"


def test_without_the_settings_for_tests_mlflow_refuses_such_an_address(tmp_path: Path) -> None:
    """What the example names as settings for tests is what MLflow asks for: https, and a public address."""
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    with pytest.raises(MlflowException, match="Invalid webhook URL scheme: 'http'"):
        client.create_webhook("a", "http://127.0.0.1:8080", ["model_version_alias.created"])
    with pytest.raises(MlflowException, match=r"127\.0\.0\.1"):
        client.create_webhook("a", "https://127.0.0.1:8080", ["model_version_alias.created"])
    assert client.list_webhooks() == []


def test_a_signature_of_mlflow_is_one_of_ours() -> None:
    """MLflow's own function and ours agree, so neither test above is about our reading alone."""
    from mlflow.webhooks.delivery import _generate_hmac_signature

    body = json.dumps(NEWS)
    assert (
        _generate_hmac_signature(SHARED, "d", "1700000000", body)
        == "v1," + base64.b64encode(signed(SHARED, "d", "1700000000", body.encode())).decode()
    )
    headers = {name.lower(): value for name, value in genuine(body.encode(), at_s=1_700_000_000).items()}
    assert is_genuine(SHARED, headers, body.encode(), now_s=1_700_000_000 + OLDEST_S)
    assert not is_genuine(SHARED, headers, body.encode(), now_s=1_700_000_001 + OLDEST_S)


def test_one_message_is_one_line() -> None:
    nasty = NEWS | {"data": {"name": "a\nb\x1b[2J\u202e", "alias": "x", "version": "1"}}
    assert announcement(json.dumps(nasty).encode()) == "models:/a?b?[2J?@x now points to version 1"
    assert announcement(b"[]") == announcement(b'{"entity": "model_version_alias", "data": 1}') == ""


def test_a_missing_or_short_secret_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match=f"{SECRET} has 0 characters, at least 16"):
        secret_from({})
    assert secret_from({SECRET: "x" * 16}) == "x" * 16
    monkeypatch.setenv(SECRET, "short")
    monkeypatch.setattr(sys, "argv", ["receiver"])
    assert receiver.main() == 1
    assert "has 5 characters" in capsys.readouterr().err
