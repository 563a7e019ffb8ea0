"""Receives MLflow's webhooks, checks their signature, and prints one line for each alias that was set or deleted.

python -m examples.webhook.receiver --port 8080, with the shared secret in QBIAS_WEBHOOK_SECRET. Replace `announce` by whatever should
happen: a message to a chat, a ticket, a run of the verb `audit`.
"""

import argparse
import base64
import binascii
import hashlib
import hmac
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SECRET = "QBIAS_WEBHOOK_SECRET"  # noqa: S105 - the name of the variable, not a secret
DELIVERY = "x-mlflow-delivery-id"
SHORTEST = 16
LARGEST = 64 * 1024
"""Bytes of a message; an alias's is under a thousand."""
OLDEST_S = 300
"""How old a message may be, or how far ahead its sender's clock: what someone recorded cannot be sent again later."""


def secret_from(environment: Mapping[str, str]) -> str:
    """The shared secret.

    Raises
    ------
    ValueError
        If it is missing or shorter than 16 characters.
    """
    secret = environment.get(SECRET, "")
    if len(secret) < SHORTEST:
        raise ValueError(
            f'{SECRET} has {len(secret)} characters, at least {SHORTEST} are needed: export {SECRET}="$(openssl rand -hex 32)"'
        )
    return secret


def signed(secret: str, delivery: str, timestamp: str, body: bytes) -> bytes:
    """What MLflow signs a message with: HMAC-SHA256 of `delivery.timestamp.body`."""
    return hmac.new(secret.encode(), f"{delivery}.{timestamp}.".encode() + body, hashlib.sha256).digest()


def is_genuine(secret: str, headers: Mapping[str, str], body: bytes, *, now_s: float) -> bool:
    """Whether the message was signed with the shared secret, and not long ago; anything that cannot be read is not genuine.

    Parameters
    ----------
    secret : the shared one. headers : with names in lower case, for a proxy may change their case. body : as it arrived.
    now_s : the receiver's clock, in seconds since 1970.
    """
    delivery, timestamp = headers.get(DELIVERY, ""), headers.get("x-mlflow-timestamp", "")
    version, _, signature = headers.get("x-mlflow-signature", "").partition(",")
    if version != "v1" or not delivery or not (timestamp.isascii() and timestamp.isdigit()) or len(timestamp) > 12:
        return False
    try:
        given = base64.b64decode(signature, validate=True)
    except (binascii.Error, ValueError):
        return False
    return hmac.compare_digest(given, signed(secret, delivery, timestamp, body)) and abs(now_s - int(timestamp)) <= OLDEST_S


def announcement(body: bytes) -> str:
    """One line about a genuine message; "" where it is about something else than an alias.

    Examples
    --------
    >>> data = {"name": "a-prod", "alias": "champion", "version": "3"}
    >>> announcement(json.dumps({"entity": "model_version_alias", "action": "created", "data": data}).encode())
    'models:/a-prod@champion now points to version 3'
    """
    message: Any = json.loads(body)
    if not isinstance(message, dict) or message.get("entity") != "model_version_alias" or not isinstance(message.get("data"), dict):
        return ""
    data = message["data"]
    said = f"models:/{data.get('name')}@{data.get('alias')} "
    said += f"now points to version {data.get('version')}" if message.get("action") == "created" else "was deleted"
    # A name that someone chose must not start a second line, or move a terminal's cursor.
    return "".join(sign if sign.isprintable() else "?" for sign in said)


def announce(line: str) -> None:
    """Say it, at once."""
    print(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {line}", flush=True)


class Receiver(ThreadingHTTPServer):
    """Answers POST with 204, whether it is news or was heard before; with 400, 401, 411 or 413 where it takes no part in it."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], secret: str, say: Callable[[str], None] = announce) -> None:
        super().__init__(address, Handler)
        self.secret, self.say = secret, say
        self._heard: dict[str, float] = {}
        self._lock = threading.Lock()

    def is_news(self, delivery: str, now_s: float) -> bool:
        """Whether this delivery was not heard before: MLflow sends again what it got no answer to."""
        with self._lock:
            self._heard = {key: when for key, when in self._heard.items() if now_s - when <= 2 * OLDEST_S}
            news = delivery not in self._heard
            self._heard.setdefault(delivery, now_s)
            return news

    def status(self, headers: Mapping[str, str], body: bytes) -> int:
        """Check one message, announce it if it is news; the HTTP status that answers it."""
        now_s = time.time()
        if not is_genuine(self.secret, headers, body, now_s=now_s):
            return 401
        try:
            line = announcement(body)
        except ValueError:
            return 400
        if line and self.is_news(headers[DELIVERY], now_s):
            self.say(line)
        return 204


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Receiver
    timeout = 30

    def do_POST(self) -> None:
        """Read no more than a message can have, and answer with a status alone."""
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()):
            status = 411
        elif len(length) > 9 or int(length) > LARGEST:
            status = 413
        else:
            status = self.server.status({name.lower(): value for name, value in self.headers.items()}, self.rfile.read(int(length)))
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: only genuine messages print a line."""


def main() -> int:
    """Listen until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; TLS ends before it")
    parser.add_argument("--port", type=int, default=8080, help="0: any free one")
    options = parser.parse_args()
    try:
        receiver = Receiver((options.host, options.port), secret_from(os.environ))
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"listening on http://{options.host}:{receiver.server_port}", flush=True)
    try:
        receiver.serve_forever()
    except KeyboardInterrupt:
        receiver.server_close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
