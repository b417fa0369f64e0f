"""The settings of the pool: a pair of workers, the slow-handler limit, stacks."""

import json
import pickle
import threading
from dataclasses import asdict, replace
from typing import Any

import pytest

from brummerbus import Event, EventBusConfig
from helpers.buses import BusFactory
from helpers.waiting import HANG


def test_a_pair_of_workers_is_the_fewest_and_the_most() -> None:
    """The queue is sized for the maximum; a list, as in JSON, is accepted."""
    made = EventBusConfig(workers=(4, 32))
    assert (made.workers, made.min_workers, made.max_workers) == ((4, 32), 4, 32)
    assert made.queue_size == 320
    assert EventBusConfig(workers=[4, 32]) == made  # type: ignore[arg-type]
    assert pickle.loads(pickle.dumps(made)) == made
    assert json.loads(json.dumps(asdict(made)["workers"])) == [4, 32]


def test_a_number_of_workers_is_both() -> None:
    """And remains an int."""
    made = EventBusConfig(workers=7)
    assert (made.workers, made.min_workers, made.max_workers) == (7, 7, 7)


@pytest.mark.parametrize(
    ("workers", "message"),
    [
        ((0, 4), r"workers\[0\] must be an int from 1 to 1024, got 0"),
        ((1, 1025), r"workers\[1\] must be an int from 1 to 1024, got 1025"),
        ((True, 2), r"workers\[0\] must be an int from 1 to 1024, got True"),
        ((1, "2"), r"workers\[1\] must be an int from 1 to 1024, got '2'"),
        ((5, 4), r"workers must be a pair \(minimum, maximum\), got \(5, 4\)"),
        ((4,), r"workers must be an int from 1 to 1024, got \(4,\)"),
        ((1, 2, 3), r"workers must be an int from 1 to 1024, got \(1, 2, 3\)"),
    ],
)
def test_a_pair_that_is_none_is_refused(workers: Any, message: str) -> None:
    """Named, with value and range."""
    with pytest.raises(ValueError, match=message):
        EventBusConfig(workers=workers)


@pytest.mark.parametrize("value", [0, 0.0009, -1, float("nan"), float("inf"), "1", True, 2e9])
def test_a_slow_handler_limit_out_of_range_is_refused(value: Any) -> None:
    """None means never."""
    with pytest.raises(
        ValueError, match=r"slow_handler_after must be None or a number of seconds from 0.001 to 1e"
    ):
        EventBusConfig(slow_handler_after=value)
    assert EventBusConfig(slow_handler_after=None).slow_handler_after is None
    assert EventBusConfig(slow_handler_after=1).slow_handler_after == 1.0


@pytest.mark.parametrize("value", [0, 32_767, 2**30 + 1, 1e6, "1", True])
def test_a_stack_size_out_of_range_is_refused(value: Any) -> None:
    """None means the system's default."""
    with pytest.raises(ValueError, match="thread_stack_size must be an int from 32768 to 1073741"):
        EventBusConfig(thread_stack_size=value)
    assert EventBusConfig().thread_stack_size is None


def test_the_stack_size_is_that_of_the_workers_and_of_nobody_else(
    factory: BusFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process's setting is as before."""
    set_to: list[int] = []
    real = threading.stack_size
    monkeypatch.setattr(threading, "stack_size", lambda size: set_to.append(size) or real(size))
    bus = factory.bus(workers=2, thread_stack_size=262_144)
    assert set_to == [262_144, 0] * 2
    done = threading.Event()
    bus.subscribe("a", lambda _: done.set())
    assert bus.publish(Event("a"))
    assert done.wait(HANG)


def test_a_replaced_pair_leaves_the_rest() -> None:
    """Like any other field."""
    made = replace(EventBusConfig(workers=3), workers=(1, 2))
    assert (made.workers, made.queue_size) == ((1, 2), 30)
