"""Lines come out in order, one at a time, whatever the order in which threads bring them."""

import random
import threading
from collections.abc import Callable, Iterator

import pytest

from brummerbus import Event
from brummerbus.watch import resequencer
from brummerbus.watch.payloads import LogLine
from brummerbus.watch.resequencer import Lane, Resequencer, Sink


def line(number: int, *, process: str = "api", stream: str = "stdout", text: str = "") -> LogLine:
    return LogLine(process, stream, number, text, 0.0)


def event(of: LogLine) -> Event:
    return Event("log.line", of, source=of.process)


def collecting() -> tuple[list[int], Lane]:
    seen: list[int] = []
    return seen, Lane(lambda item: seen.append(item.number))


def test_lines_brought_backwards_come_out_forwards() -> None:
    seen, lane = collecting()
    for number in reversed(range(100)):
        lane.put(line(number))
    assert list(range(100)) == seen


def test_nothing_comes_out_before_the_line_that_is_due() -> None:
    seen, lane = collecting()
    lane.put(line(1))
    lane.put(line(2))
    assert seen == []
    assert lane.due == 0
    lane.put(line(0))
    assert seen == [0, 1, 2]
    assert lane.due == 3


def test_streams_and_processes_do_not_wait_for_each_other() -> None:
    seen: list[tuple[str, str, int]] = []

    def sink(process: str, stream: str) -> Sink:
        return lambda item: seen.append((process, stream, item.number))

    handler = Resequencer(sink)
    handler(event(line(1)))
    handler(event(line(0, stream="stderr")))
    handler(event(line(0, process="web")))
    assert seen == [("api", "stderr", 0), ("web", "stdout", 0)]


def test_many_threads_give_one_sink_every_line_once_and_in_order() -> None:
    """The sink checks that it is alone by a lock that must always be free."""
    numbers = list(range(20_000))
    random.Random(3).shuffle(numbers)
    shuffled: Iterator[int] = iter(numbers)
    taking, alone = threading.Lock(), threading.Lock()
    seen: list[int] = []

    def sink(item: LogLine) -> None:
        assert alone.acquire(blocking=False), "two threads in one sink"
        seen.append(item.number)
        alone.release()

    lane = Lane(sink)

    def bring() -> None:
        while True:
            with taking:
                number = next(shuffled, None)
            if number is None:
                return
            lane.put(line(number))

    threads = [threading.Thread(target=bring) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(range(20_000)) == seen


def test_a_worker_that_comes_while_another_is_at_the_stream_goes_on_at_once() -> None:
    """It leaves its line to the other one."""
    entered, leave = threading.Event(), threading.Event()
    seen: list[tuple[int, str]] = []

    def sink(item: LogLine) -> None:
        seen.append((item.number, threading.current_thread().name))
        if item.number == 0:
            entered.set()
            assert leave.wait(30)

    lane = Lane(sink)
    first = threading.Thread(target=lane.put, args=(line(0),), name="first")
    first.start()
    assert entered.wait(30)
    lane.put(line(1))  # returns, although the sink is still at line 0
    assert seen == [(0, "first")]
    leave.set()
    first.join()
    assert seen == [(0, "first"), (1, "first")]


def test_a_sink_that_brings_a_line_itself_does_not_wait_for_itself() -> None:
    """As in a handler that publishes into a full bus."""
    seen: list[int] = []

    def sink(item: LogLine) -> None:
        if item.number == 0:
            lane.put(line(1))
        seen.append(item.number)

    lane = Lane(sink)
    lane.put(line(0))
    assert seen == [0, 1]


def test_a_line_whose_sink_fails_does_not_stop_the_next() -> None:
    seen: list[int] = []

    def sink(item: LogLine) -> None:
        if item.number == 0:
            raise ValueError("no")
        seen.append(item.number)

    lane = Lane(sink)
    lane.put(line(1))
    with pytest.raises(ValueError, match="no"):
        lane.put(line(0))
    lane.put(line(2))
    assert seen == [1, 2]


def test_lines_behind_one_that_never_came_are_given_out_at_the_end() -> None:
    seen: list[int] = []
    handler = Resequencer(lambda process, stream: lambda item: seen.append(item.number))
    for number in (0, 5, 2, 3):
        handler(event(line(number)))
    handler.finish()
    assert seen == [0, 2, 3, 5]


def test_an_action_runs_only_while_no_line_is_handled() -> None:
    """Lines that arrive during it are handled after it."""
    seen: list[object] = []
    lane = Lane(lambda item: seen.append(item.number))

    def action() -> None:
        lane.put(line(0))
        assert not lane.when_idle(lambda: seen.append("never"))
        seen.append("action")

    assert lane.when_idle(action)
    assert seen == ["action", 0]


def test_a_reader_waits_while_too_much_waits_in_its_stream(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It continues as soon as the line that is due has arrived."""
    monkeypatch.setattr(resequencer, "CAPACITY", 1000)
    _, lane = collecting()
    lane.wait_for_capacity()
    lane.put(line(1, text="x" * 2000))
    passed = threading.Event()
    waiting = _thread(lane.wait_for_capacity, passed.set)
    waiting.join(0.1)
    assert not passed.is_set()
    lane.put(line(0))
    waiting.join(30)
    assert passed.is_set()


def _thread(*calls: Callable[[], None]) -> threading.Thread:
    def run() -> None:
        for call in calls:
            call()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread
