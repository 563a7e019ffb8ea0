"""A proxy in front of a server that loses chosen requests or answers: what a client sees when the server dies at just that moment."""

import http.client
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Request:
    """What the client sent. `path` is without the query."""

    method: str
    path: str
    body: bytes

    def ends(self, *words: str) -> bool:
        """Whether it is one of these changes (method and end of the path, such as `POST runs/create`)."""
        wanted = [word.partition(" ") for word in words]
        return any(self.method == method and self.path.endswith(path) for method, _, path in wanted)


Judge = Callable[[Request], str | Callable[[], None]]
"""What becomes of a request: `pass`; `drop`; `lose`: the server does it and nobody hears of it; a function: called when the server has got
half of the body, which is all that it gets.
"""


class Proxy:
    """Forwards to `target` what `judge` lets through; used as a context."""

    def __init__(self, target: str, judge: Judge) -> None:
        self.requests: list[Request] = []
        proxy, place = self, urlsplit(target)

        class Handler(BaseHTTPRequestHandler):
            def _any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                request = Request(self.command, self.path.partition("?")[0], body)
                proxy.requests.append(request)
                self.close_connection = True
                fate = judge(request)
                if fate == "drop":
                    return
                cut = None if isinstance(fate, str) else fate
                answer = forwarded(place.netloc, self.command, self.path, body, dict(self.headers.items()), cut)
                if fate == "pass" and answer:
                    status, headers, content = answer
                    self.send_response(status)
                    for name, value in headers:
                        if name.lower() not in ("connection", "transfer-encoding", "content-length", "date", "server"):
                            self.send_header(name, value)
                    self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _any

            def log_message(self, format: str, *args: object) -> None:
                """Nothing: `requests` has it."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = False
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> "Proxy":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def forwarded(
    place: str, method: str, path: str, body: bytes, headers: dict[str, str], cut: Callable[[], None] | None
) -> tuple[int, list[tuple[str, str]], bytes] | None:
    """The server's answer; None where it does not give one. `cut`: called when half of the body is sent, and that is all then."""
    connection = http.client.HTTPConnection(place, timeout=120)
    try:
        connection.request(method, path, body[: len(body) // 2] if cut else body or None, headers | {"Host": place, "Connection": "close"})
        if cut:
            cut()
            return None
        answer = connection.getresponse()
        return answer.status, answer.getheaders(), answer.read()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def every_answer_once(*spared: str) -> Judge:
    """Loses the first answer to each different change that is not `spared`, and lets the second through; what only reads is left alone."""
    known: set[tuple[str, str, bytes]] = set()
    lock = threading.Lock()

    def judge(request: Request) -> str:
        key = (request.method, request.path, request.body)
        reads = request.method == "GET" or request.path.endswith("search")
        with lock:
            if reads or request.ends(*spared) or key in known:
                return "pass"
            known.add(key)
            return "lose"

    return judge
