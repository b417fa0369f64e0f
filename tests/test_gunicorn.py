"""A bus in a module that gunicorn loads before it forks its workers, under real requests."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.request import ProxyHandler, build_opener

import pytest

from helpers.waiting import HANG, poll

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="gunicorn needs fork"),
]

DIRECTLY = build_opener(ProxyHandler({}))
"""Opens addresses without the proxy of the environment."""

APPLICATION = """
import json, os, threading
from brummerbus import BackpressurePolicy, Event, EventBus

bus = EventBus(workers=2, queue_size=1000, policy=BackpressurePolicy.BLOCK)
log = os.open("handled", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
ending = threading.Event()
threading._register_atexit(ending.set)  # runs before the bus's own hook

def write(event):
    os.write(log, f"{os.getpid()} {event.data}\\n".encode())

@bus.on("at_exit")
def write_at_exit(event):
    ending.wait()
    write(event)

bus.subscribe("now", write)

def app(environ, start_response):
    event_type, number = environ["PATH_INFO"].strip("/").split("/")
    body = json.dumps([os.getpid(), int(number), bus.publish(Event(event_type, number))]).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""


class Server:
    """gunicorn with two workers; `handled` is where the application writes."""

    def __init__(self, folder: Path) -> None:
        (folder / "application.py").write_text(APPLICATION, encoding="utf-8")
        self.handled = folder / "handled"
        self._err = folder / "stderr"
        with closing(socket.create_server(("127.0.0.1", 0))) as listener:
            self._port = listener.getsockname()[1]
            options = ["--preload", "--workers", "2", "--graceful-timeout", "20"]
            command = [sys.executable, "-m", "gunicorn", *options]
            command += ["--bind", f"fd://{listener.fileno()}", "application:app"]
            with self._err.open("wb") as err:
                self.process = subprocess.Popen(
                    command,
                    cwd=folder,
                    stdout=err,
                    stderr=err,
                    pass_fds=[listener.fileno()],
                    start_new_session=True,
                )

    def get(self, path: str) -> Any:
        """Make a request, and return the application's answer."""
        with DIRECTLY.open(f"http://127.0.0.1:{self._port}/{path}", timeout=HANG) as answer:
            return json.load(answer)

    def lines(self) -> list[list[str]]:
        """Return what was handled: process and number."""
        return [line.split() for line in self.handled.read_text(encoding="utf-8").splitlines()]

    def complaints(self) -> list[str]:
        """Return the output of gunicorn, its workers and Python, without gunicorn's messages."""
        text = self._err.read_text(encoding="utf-8")
        return [line for line in text.splitlines() if "[INFO]" not in line]

    def end(self) -> None:
        """Kill all of it."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Start a server that ends with the test."""
    assert find_spec("gunicorn"), "gunicorn is missing: install the extra 'test'"
    server = Server(tmp_path)
    yield server
    server.end()


def request_until_two_workers_answered(server: Server, event_type: str) -> list[Any]:
    """Make requests, several at a time; their answers."""
    answers: list[Any] = []
    numbers = count()
    deadline = monotonic() + HANG
    with ThreadPoolExecutor(4) as pool:
        while len(answers) < 40 or len({pid for pid, _, _ in answers}) < 2:
            assert monotonic() < deadline, "the workers do not answer"
            paths = [f"{event_type}/{next(numbers)}" for _ in range(8)]
            answers += pool.map(server.get, paths)
    return answers


def test_what_preloaded_workers_publish_is_handled_by_themselves_once(server: Server) -> None:
    """While they serve, and what is still queued when they are asked to end."""
    answers = request_until_two_workers_answered(server, "now")
    poll(lambda: len(server.lines()) >= len(answers))
    late = request_until_two_workers_answered(server, "at_exit")
    assert len(server.lines()) == len(answers)

    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(HANG) == 0
    assert server.complaints() == []
    expected = [[str(pid), str(number)] for pid, number, accepted in answers + late if accepted]
    assert len(expected) == len(answers) + len(late)
    assert sorted(server.lines()) == sorted(expected)
    assert str(server.process.pid) not in {pid for pid, _ in server.lines()}
