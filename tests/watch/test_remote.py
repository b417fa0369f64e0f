"""Watchers that send each other what they find."""

import json
import socket
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("nats")

from brummerbus import BusError, Event, EventBus
from brummerbus.relay._nats_server import binary
from brummerbus.watch import remote
from brummerbus.watch.payloads import (
    BuildEvent,
    ErrorFound,
    LogLine,
    LogLines,
    ProcessExited,
    ProcessStarted,
    TestResult,
)
from brummerbus.watch.remote import LOCAL, Remote
from brummerbus.watch.text import is_from
from helpers.buses import BusFactory
from helpers.waiting import HANG, poll

from .helpers import TIMEOUT, Watcher, wait_for

HERE = socket.gethostname()
LINES = LogLines.of(
    [
        LogLine("api", "stderr", 7, "\\xff", 1000.0, "\r\n", b"\xff"),
        LogLine("api", "stderr", 8, "", 1000.0, ""),
    ]
)
PAYLOADS = [
    LINES,
    LogLines("api", "stdout", 0, 1000.0, "a\nb", 2),
    ErrorFound("api", "stderr", 7, 8, 1000.0, "python", "KeyError", "a.py:1", "x\ny"),
    TestResult("api", "pytest", "test_a", False, "assert 1 == 2", 1000.0),
    BuildEvent("api", "cargo", "failed", "error", 1000.0),
    ProcessStarted("api", 12, "python api.py", 1000.0),
    ProcessExited("api", 12, 1, 2.5, 1000.0),
]


@pytest.mark.parametrize("payload", PAYLOADS, ids=lambda payload: type(payload).__name__)
def test_a_payload_is_the_same_after_its_way(payload: Any) -> None:
    assert remote._payload(type(payload), remote._plain(payload)) == payload


def test_fields_of_a_newer_version_are_left_out() -> None:
    data = {**remote._plain(PAYLOADS[-1]), "mood": "bad"}
    assert remote._payload(ProcessExited, data) == PAYLOADS[-1]


@pytest.mark.parametrize(
    ("process", "host", "expected"),
    [
        ("api@box", "box", True),
        ("api@box.2", "box", True),
        ("a@b@box", "box", True),
        ("api@box.lan", "box.lan", True),
        ("api@box.lan", "box", False),
        ("api", "box", False),
        ("box", "box", False),
        ("api@other", "box", False),
    ],
)
def test_a_name_says_where_a_process_was_watched(process: str, host: str, expected: bool) -> None:
    assert is_from(process, host) == expected


# ---- two watchers --------------------------------------------------------------------------------


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of its own, on which no other server runs."""
    try:
        binary()
    except BusError as error:
        pytest.skip(str(error))
    for name in ("XDG_RUNTIME_DIR", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(tmp_path))


class Watching:
    """The bus of a watcher, and what has come to it from others."""

    def __init__(self, factory: BusFactory) -> None:
        self.bus: EventBus = factory.bus(queue_size=1000, policy="block")
        self.came: list[Event] = []
        self.notes: list[str] = []
        self._news = threading.Condition()
        self.bus.subscribe("remote.*", self._take)
        self.remote = Remote(self.bus, LOCAL, self.notes.append)
        self.bus.subscribe("log.line", self.remote.send, batch=16, max_concurrency=1)
        assert self.remote._relay.wait_connected(HANG)

    def _take(self, event: Event) -> None:
        with self._news:
            self.came.append(event)
            self._news.notify_all()

    def wait_for(self, count: int) -> list[Event]:
        """Wait until that many have come."""
        with self._news:
            assert self._news.wait_for(lambda: len(self.came) >= count, HANG), self.notes
            return self.came[:]


@pytest.fixture
def two(machine: None, factory: BusFactory) -> Iterator[tuple[Watching, Watching]]:
    watchings = Watching(factory), Watching(factory)
    yield watchings
    for watching in watchings:
        watching.remote.stop()


def test_what_one_watcher_finds_comes_to_the_other_with_the_name_of_the_machine(
    two: tuple[Watching, Watching],
) -> None:
    first, second = two
    types = ("log.line", "log.line", "error.detected", "test.failed", "build.event")
    types += ("process.started", "process.exited")
    for type, payload in zip(types, PAYLOADS, strict=True):
        first.bus.publish(Event(type, payload, source="api"))
    came = second.wait_for(len(PAYLOADS))
    found = [event.data for event in came]
    for type, payload in zip(types, PAYLOADS, strict=True):
        named = replace(payload, process=f"api@{HERE}")
        assert came[found.index(named)].type == f"remote.{type}"
    assert {event.source for event in came} == {f"api@{HERE}"}
    assert second.remote.lines == 4
    assert first.came == []
    assert first.notes == second.notes == []


def test_what_came_is_not_sent_again(two: tuple[Watching, Watching]) -> None:
    first, second = two
    first.bus.publish(Event("log.line", LINES))
    second.wait_for(1)
    second.bus.publish(Event("log.line", LINES))
    came = first.wait_for(1)
    # What was sent before it would have come before it.
    assert [event.data.process for event in came] == [f"api@{HERE}"]


def test_a_second_watcher_of_a_machine_has_a_number(
    two: tuple[Watching, Watching], factory: BusFactory
) -> None:
    first, second = two
    third = Watching(factory)
    try:
        for watching in (first, second):
            watching.bus.publish(Event("log.line", LINES))
        names = {event.data.process for event in third.wait_for(2)}
        assert names == {f"api@{HERE}", f"api@{HERE}.2"}
    finally:
        third.remote.stop()


def test_a_stop_sends_what_was_published_before(two: tuple[Watching, Watching]) -> None:
    first, second = two
    for number in range(200):
        first.bus.publish(Event("log.line", replace(LINES, first=2 * number)), timeout=HANG)
    first.bus.flush()
    assert first.remote.stop() == 0
    came = second.wait_for(200)
    assert [event.data.first for event in came] == list(range(0, 400, 2))


def test_a_server_that_cannot_be_reached_is_noted_and_holds_up_nothing(
    factory: BusFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(remote, "_PATIENCE", 0.1)
    with socket.socket() as closed:  # bound, and nobody listens
        closed.bind(("127.0.0.1", 0))
        noted = threading.Event()
        bus = factory.bus(queue_size=1000, policy="block")
        link = Remote(bus, f"nats://127.0.0.1:{closed.getsockname()[1]}", lambda _: noted.set())
        bus.subscribe("log.line", link.send, batch=16, max_concurrency=1)
        assert noted.wait(HANG)
        for _ in range(10):
            assert bus.publish(Event("log.line", LINES), timeout=HANG)
        assert bus.flush(HANG)
        assert link.stop() == 10


# ---- the command ---------------------------------------------------------------------------------

TICKING = """
import sys, time
from pathlib import Path
while not Path("stop").exists():
    print("tick of", sys.argv[1], flush=True)
    print("ERROR: trouble of", sys.argv[1], flush=True)
    time.sleep(0.1)
"""


def troubled(watcher: Watcher) -> set[str]:
    """Return the names in the errors that a store has of processes elsewhere."""
    rows = watcher.rows("SELECT message FROM errors WHERE process LIKE ?", f"%@{HERE}")
    return {message.rpartition(" ")[2] for (message,) in rows}


@pytest.mark.slow
def test_watchers_show_store_and_count_what_others_find(machine: None, tmp_path: Path) -> None:
    watchers = []
    try:
        for name in ("alpha", "beta"):
            (tmp_path / name).mkdir()
            watcher = Watcher(tmp_path / name)
            watchers.append(watcher)
            watcher.procfile(**{name: f"{watcher.script('ticking.py', TICKING)} {name}"})
        options = ("--plain", "--report", "r.json", "--relay", "local")
        running = [watcher.start(*options) for watcher in watchers]
        wait_for(running[0], f"beta@{HERE} | tick of beta")
        wait_for(running[1], f"alpha@{HERE} | tick of alpha")
        for watcher, there in zip(watchers, ("beta", "alpha"), strict=True):
            poll(lambda there=there, watcher=watcher: there in troubled(watcher))
        for watcher in watchers:
            (watcher.directory / "stop").touch()
        for process in running:
            out, err = process.communicate(timeout=TIMEOUT)
            assert (err, process.returncode) == ("", 0), out
        for watcher, here, there in zip(
            watchers, ("alpha", "beta"), ("beta", "alpha"), strict=True
        ):
            names = {row[0] for row in watcher.rows("SELECT DISTINCT process FROM lines")}
            assert names == {here, f"{there}@{HERE}"}
            report = json.loads((watcher.directory / "r.json").read_text())
            assert report["balance"]["adds_up"], report["balance"]
            assert report["balance"]["deliveries"].keys() >= {"relay", "store"}
    finally:
        for watcher in watchers:
            watcher.close()


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("http://somewhere", "url must begin with"),
        ("local", "must be a folder of this user that no other can enter"),
    ],
)
def test_a_relay_that_cannot_be_had_is_refused_before_anything_starts(
    watcher: Watcher, monkeypatch: pytest.MonkeyPatch, url: str, complaint: str, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    (tmp_path / "brummerbus").mkdir()
    (tmp_path / "brummerbus").chmod(0o755)
    result = watcher.run("--relay", url, "--", sys.executable, "-c", "open('started', 'w')")
    assert result.returncode == 2
    assert "watch: --relay: " in result.stderr
    assert complaint in result.stderr
    assert not (watcher.directory / "started").exists()
