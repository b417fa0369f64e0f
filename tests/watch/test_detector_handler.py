"""The handler that detects in lines: on a real bus, with the lines of several streams mixed."""

import io
import random
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from brummerbus import BackpressurePolicy, Event, EventBus
from brummerbus.watch import detector_handler as detector_handler_module
from brummerbus.watch.app import Watch
from brummerbus.watch.detector_handler import DetectorHandler
from brummerbus.watch.interrupts import Interrupts
from brummerbus.watch.output import Output
from brummerbus.watch.payloads import ErrorFound
from brummerbus.watch.processes.options import Setup
from brummerbus.watch.processes.procfile import plan_arguments
from brummerbus.watch.store import LogStore

from .helpers import find, lines_event, make_lines
from .samples import documents
from .samples import errors as samples

PROCESSES = 6
READ_ALOUD = "print(open('errors', encoding='utf-8').read(), end='')"


class Heard:
    """All events of a bus except lines."""

    def __init__(self, bus: EventBus) -> None:
        self.events: list[Event] = []
        for pattern in ("error.*", "test.*", "build.*"):
            bus.subscribe(pattern, self.events.append)

    @property
    def errors(self) -> list[ErrorFound]:
        """The errors among them."""
        return [event.data for event in self.events if event.type == "error.detected"]


@pytest.fixture
def hasty() -> Iterator[None]:
    """Switch threads as often as possible, so that they overtake each other where they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_a_run_that_both_streams_of_a_process_report_is_counted_once() -> None:
    """Each stream has a detector; those of one process know of each other's runs."""
    lines = [
        *make_lines(documents.JEST_JSON),
        *make_lines(documents.JEST_ERR, stream="stderr"),
        *make_lines(documents.JEST_JSON, process="other"),
    ]
    with EventBus(workers=1) as bus:
        heard = Heard(bus)
        detector_handler = DetectorHandler(bus)
        detector_handler.on_lines([lines_event(line) for line in lines])
        detector_handler.finish()
        assert bus.flush(30)
    failed = [event.source for event in heard.events if event.type == "test.failed"]
    assert sorted(str(source) for source in failed) == ["api", "other"]


@pytest.mark.parametrize(
    ("out", "err"),
    [(documents.JEST_JSON, documents.JEST_ERR), (documents.NODE_JUNIT, documents.NODE_FIGURES)],
    ids=["closing line", "closing of several lines"],
)
def test_a_document_waits_for_the_lines_of_the_other_stream(
    out: str, err: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that were read, and the last ones, which a further line might continue."""
    monkeypatch.setattr(detector_handler_module, "SETTLE", 0.0)
    lines, later = make_lines(out), make_lines(err, stream="stderr")
    read = {"stdout": len(lines), "stderr": len(later)}
    with EventBus(workers=1) as bus:
        heard, detector_handler = Heard(bus), DetectorHandler(bus)
        detector_handler.on_lines([lines_event(line) for line in lines])
        detector_handler.tick(lambda _, stream: read[stream])
        assert bus.flush(30)
        assert heard.events == []
        detector_handler.on_lines([lines_event(line) for line in later])
        detector_handler.tick(lambda _, stream: read[stream])
        detector_handler.finish()
        assert bus.flush(30)
    counts = {True: 0, False: 0}
    for event in heard.events:
        counts[event.data.passed] += event.data.count
    assert counts == {True: 1, False: find(out).figures[1]}


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("seed", range(5))
def test_a_traceback_is_one_error_though_several_workers_handle_its_lines(seed: int) -> None:
    """Both streams of several processes, mixed, through a queue of 16."""
    streams = [
        make_lines(samples.CHAINED + samples.TRACEBACK, process=f"p{number}", stream=stream)
        for number in range(PROCESSES)
        for stream in ("stdout", "stderr")
    ]
    turns = [which for which, lines in enumerate(streams) for _ in lines]
    random.Random(seed).shuffle(turns)
    rest = [iter(lines) for lines in streams]
    lines = [next(rest[which]) for which in turns]
    with EventBus(workers=4, queue_size=16, policy=BackpressurePolicy.BLOCK) as bus:
        heard = Heard(bus)
        detector_handler = DetectorHandler(bus)
        bus.subscribe("log.line", detector_handler.on_lines, batch=10, max_concurrency=1)
        bus.publish_many([lines_event(line) for line in lines])
        assert bus.flush(30)
        detector_handler.finish()
        assert bus.flush(30)
    expected = {
        (f"p{number}", stream, message)
        for number in range(PROCESSES)
        for stream in ("stdout", "stderr")
        for message in ("RuntimeError: cannot load", "ZeroDivisionError: by zero")
    }
    assert len(heard.errors) == len(expected)
    assert {(error.process, error.stream, error.message) for error in heard.errors} == expected


def test_findings_are_published_under_their_types() -> None:
    text = "ERROR bad\n--- PASS: A (0.0s)\n--- FAIL: B (0.0s)\nmake: *** [all] Error 1\n"
    with EventBus(policy=BackpressurePolicy.BLOCK) as bus:
        heard = Heard(bus)
        detector_handler = DetectorHandler(bus)
        for line in make_lines(text):
            detector_handler.on_lines([lines_event(line)])
        detector_handler.finish()
        assert bus.flush(30)
    assert sorted((found.type, found.source) for found in heard.events) == [
        ("build.event", "api"),
        ("error.detected", "api"),
        ("test.failed", "api"),
        ("test.passed", "api"),
    ]


@pytest.mark.parametrize(
    ("on_its_way", "silence", "expected"),
    [
        (0, 1.0, ["KeyError: 'user'"]),
        (1, 1.0, []),  # a line that was read but not handled yet may belong to the error
        (0, 1e12, []),  # the lines of these tests are from 1970
    ],
)
def test_an_error_behind_which_nothing_comes_is_given_out_after_a_silence(
    on_its_way: int,
    silence: float,
    expected: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And at the end in any case, but once."""
    monkeypatch.setattr(detector_handler_module, "SETTLE", silence)
    lines = make_lines(samples.LOGGED)
    with EventBus(policy=BackpressurePolicy.BLOCK) as bus:
        heard, detector_handler = Heard(bus), DetectorHandler(bus)
        for line in lines:
            detector_handler.on_lines([lines_event(line)])
        detector_handler.tick(lambda process, stream: len(lines) + on_its_way)
        assert bus.flush(30)
        assert [error.message for error in heard.errors] == expected
        detector_handler.finish()
        assert bus.flush(30)
        assert [error.message for error in heard.errors] == ["KeyError: 'user'"]


def test_a_finder_that_publishes_into_its_own_full_bus_does_not_hang() -> None:
    """Every line is an error, on a queue that holds two deliveries."""
    lines = make_lines("ERROR bad\n" * 2000)
    seen = threading.Semaphore(0)
    with EventBus(workers=2, queue_size=2, policy=BackpressurePolicy.BLOCK) as bus:
        detector_handler = DetectorHandler(bus)
        bus.subscribe("log.line", detector_handler.on_lines, batch=10, max_concurrency=1)
        bus.subscribe("error.detected", lambda _: seen.release())
        bus.publish_many([lines_event(line) for line in lines])
        assert bus.flush(60)
        detector_handler.finish()
        assert bus.flush(60)
        stats = bus.stats()
    assert stats.by_type["error.detected"].processed == 2000
    assert (stats.dropped, stats.failed) == (0, 0)


@pytest.mark.slow
@pytest.mark.usefixtures("hasty")
def test_the_watcher_has_the_lines_of_a_stream_looked_at_in_order(tmp_path: Path) -> None:
    text = samples.TRACEBACK * 900
    (tmp_path / "errors").write_text(text, encoding="utf-8")
    command = plan_arguments([sys.executable, "-c", READ_ALOUD], directory=str(tmp_path))
    path = tmp_path / "log.db"
    out = Output(io.StringIO())
    watch = Watch(
        Setup("", [command]),
        store=LogStore(path),
        database="",
        live=False,
        out=out,
        err=out,
        interrupts=Interrupts(),
    )
    errors = watch.run().report["errors"]
    out.close()
    assert errors["count"] == 900
    assert {found["message"] for found in errors["found"]} == {"ZeroDivisionError: by zero"}
