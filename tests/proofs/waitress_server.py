"""waitress with a bus as its dispatcher: a WSGI application, the server in a thread, clients."""

import http.client
import threading
from collections.abc import Callable, Iterator
from time import monotonic
from typing import Any

import pytest

from brummerbus import EventBus

pytest.importorskip("waitress")

from waitress import wasyncore
from waitress.server import create_server

from brummerbus.wsgi import BusDispatcher

HANG = 30.0


def poll(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds."""
    deadline, pause = monotonic() + HANG, threading.Event()
    while not condition():
        assert monotonic() < deadline, "this never became true"
        pause.wait(0.001)


class App:
    """A WSGI application. `/slow...` runs until `go_on` is set."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.began: list[str] = []
        self.threads: set[str] = set()
        self.pause = 0.0

    def __call__(self, environ: Any, start_response: Any) -> list[bytes]:
        """Answer a request."""
        path = environ["PATH_INFO"]
        self.began.append(path)
        self.threads.add(threading.current_thread().name)
        if path.startswith("/slow"):
            assert self.go_on.wait(HANG)
        threading.Event().wait(self.pause)
        if path == "/broken":
            raise ValueError
        body = path.encode() + environ["wsgi.input"].read()
        if path == "/large":
            body *= 1_000_000
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]


class Server:
    """waitress in a thread, on a port of this machine."""

    def __init__(self, bus: EventBus, **options: Any) -> None:
        self.app, self.bus = App(), bus
        self.dispatcher = BusDispatcher(bus, **options)
        self._map: dict[int, Any] = {}
        self._server = create_server(
            self.app,
            map=self._map,
            _dispatcher=self.dispatcher,
            host="127.0.0.1",
            port=0,
            connection_limit=1000,
            channel_request_lookahead=5,
        )
        self.port = int(self._server.effective_port)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()

    def connect(self) -> http.client.HTTPConnection:
        """Open a connection."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=HANG)

    def get(self, path: str) -> "Answer":
        """Request a path, in a thread of its own."""
        return Answer(self, path)

    def hold(self, n: int = 1) -> list["Answer"]:
        """Let `n` requests occupy that many workers."""
        before = len(self.app.began)
        held = [self.get(f"/slow/{number}") for number in range(n)]
        poll(lambda: len(self.app.began) == before + n)
        return held

    def queued(self, path: str) -> "Answer":
        """Request a path, and return when that is queued."""
        depth = self.bus.depth
        answer = self.get(path)
        poll(lambda: self.bus.depth > depth)
        return answer

    def close(self) -> None:
        """End the server."""
        self.app.go_on.set()
        self.bus.stop(timeout=HANG)  # first: its workers wake the server's thread, too
        self._server.trigger.pull_trigger(lambda: wasyncore.close_all(self._map, True))
        self._thread.join(HANG)


class Answer:
    """An answer that may not have come yet."""

    def __init__(self, server: Server, path: str) -> None:
        self._connection = server.connect()
        self._connection.request("GET", path)
        self._answer: Any = None

    def result(self) -> tuple[int, bytes]:
        """Return status and body."""
        self._answer = self._connection.getresponse()
        body = self._answer.read()
        self._connection.close()
        return self._answer.status, body

    @property
    def status(self) -> int:
        """The status."""
        return self.result()[0]

    def header(self, name: str) -> Any:
        """Return a header of an answer that has come."""
        return self._answer.getheader(name)


Serve = Callable[..., Server]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Return a function that starts a server on a new bus."""
    servers: list[Server] = []

    def serve(priority: Any = None, expires: Any = None, **settings: Any) -> Server:
        small = {"workers": 1, "queue_size": 10, "policy": "reject"}
        bus = EventBus(**{**small, **settings})
        servers.append(Server(bus, priority=priority, expires=expires))
        return servers[-1]

    yield serve
    for server in servers:
        server.close()
