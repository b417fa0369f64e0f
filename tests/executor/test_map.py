"""`map` of an executor: results in order, a bounded number of tasks ahead."""

import itertools
from concurrent.futures import (
    TimeoutError,  # noqa: A004, in Python 3.10 not the builtin one
)
from typing import Any

import pytest

from brummerbus import QueueFull
from helpers.buses import BusFactory
from helpers.executors import Make, hold
from helpers.handlers import Recorder
from helpers.waiting import HANG


def test_map_gives_the_results_in_order(make: Make) -> None:
    """Whatever order the calls end in; the shortest iterable ends it."""
    executor = make(3)
    assert list(executor.map(pow, range(5), itertools.count(1))) == [0, 1, 8, 81, 1024]
    assert list(executor.map(pow, range(5), itertools.count(1), buffersize=2)) == [
        0,
        1,
        8,
        81,
        1024,
    ]
    results = executor.map(divmod, [1, 1], [1, 0])
    assert next(results) == (1, 0)
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_map_submits_so_many_ahead_of_the_results(make: Make, factory: BusFactory) -> None:
    """From an iterable without an end, and into a queue that holds fewer."""
    executor, numbers = make(queue_size=3), itertools.count()
    results = executor.map(str, numbers, buffersize=2)
    assert next(numbers) == 2
    assert [next(results) for _ in range(3)] == ["0", "1", "3"]
    assert list(executor.map(str, range(50), buffersize=20)) == list(map(str, range(50)))


def test_map_with_a_buffer_goes_on_when_others_have_filled_the_queue(
    make: Make, factory: BusFactory
) -> None:
    """As long as one of its calls is submitted."""
    executor = make(queue_size=2)
    gate = hold(factory, executor)
    results = executor.map(str, range(4), buffersize=1)
    other = executor.submit(int)
    with pytest.raises(QueueFull):
        executor.map(str, range(4), buffersize=1)
    gate.open()
    assert list(results) == ["0", "1", "2", "3"]
    assert other.result(HANG) == 0


def test_map_without_a_buffer_says_what_to_do_when_there_is_no_room(
    make: Make, factory: BusFactory
) -> None:
    """And cancels what it had submitted."""
    executor, seen = make(), Recorder()
    gate = hold(factory, executor)
    with pytest.raises(QueueFull, match=r"10 calls of map\(\).*buffersize=n"):
        executor.map(seen, range(11))
    gate.open()
    assert executor.bus.flush(HANG)
    assert not seen.events


BUFFERS = pytest.mark.parametrize("buffersize", [None, 3])


@BUFFERS
def test_map_cancels_what_is_not_called_when_the_time_is_over(
    make: Make, factory: BusFactory, buffersize: int | None
) -> None:
    """The result that was waited for, and those after it."""
    executor, seen = make(), Recorder()
    gate = hold(factory, executor)
    results = executor.map(seen, range(3), timeout=0, buffersize=buffersize)
    with pytest.raises(TimeoutError):
        next(results)
    gate.open()
    assert executor.bus.flush(HANG)
    assert not seen.events


@BUFFERS
def test_map_cancels_what_is_not_called_when_its_iterator_is_closed(
    make: Make, factory: BusFactory, buffersize: int | None
) -> None:
    """A call that runs is not interrupted."""
    executor, gate, seen = make(), factory.gate(), Recorder()

    def call(number: int) -> None:
        seen(number)
        gate(None)

    results: Any = executor.map(call, range(5), buffersize=buffersize)
    gate.let_through()
    next(results)
    gate.wait_entered(2)
    results.close()
    gate.open()
    assert executor.bus.flush(HANG)
    assert seen.events == [0, 1]


def test_a_time_out_is_a_number_of_seconds(make: Make, factory: BusFactory) -> None:
    """Or none; without a limit if it is infinite, over already if it is negative."""
    executor, seen = make(), Recorder()
    with pytest.raises(TypeError, match="timeout must be a number of seconds or None, got '1'"):
        executor.map(seen, [1], timeout="1")  # type: ignore[arg-type]
    assert not seen.events
    assert list(executor.map(str, [1], timeout=float("inf"))) == ["1"]
    gate = hold(factory, executor)
    with pytest.raises(TimeoutError):
        list(executor.map(str, [1], timeout=-1))
    gate.open()


@pytest.mark.parametrize(
    ("buffersize", "error", "message"),
    [
        ("2", TypeError, "buffersize must be an integer or None, got '2'"),
        (True, TypeError, "buffersize must be an integer or None, got True"),
        (0, ValueError, "buffersize must be None or > 0, got 0"),
    ],
)
def test_a_wrong_buffersize_is_named(
    make: Make, buffersize: Any, error: type[Exception], message: str
) -> None:
    """Before anything is submitted."""
    with pytest.raises(error, match=message):
        make().map(str, [1], buffersize=buffersize)
