"""The buffer of a stream, alone."""

import gc
import weakref
from typing import Any

import pytest

from brummerbus._core._ext import Buffer


class Woken(Buffer):
    """A buffer that counts its wake-ups."""

    wakes = 0
    error: BaseException | None = None

    def _wake(self) -> None:
        self.wakes += 1
        if self.error is not None:
            raise self.error


def test_a_buffer_wakes_its_consumer_once_for_each_time_that_it_waits() -> None:
    """`arm` says whether it is to wait."""
    buffer = Woken(100, True)
    buffer.put(1)
    assert buffer.wakes == 0
    assert not buffer.arm()
    assert buffer.take(5) == [1]
    assert buffer.arm()
    for n in range(40):
        buffer.put(n)
    assert buffer.wakes == 1
    assert [*buffer.take(3), buffer.pop(), *buffer.take(99)] == list(range(40))
    assert buffer.take(0) == []
    with pytest.raises(IndexError):
        buffer.pop()


def test_a_wake_up_that_raised_is_tried_again_with_the_next_event() -> None:
    """The event is there."""
    buffer = Woken(10, True)
    assert buffer.arm()
    buffer.error = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        buffer.put(1)
    assert buffer.wakes == 2
    buffer.error = None
    buffer.put(2)
    buffer.put(3)
    assert buffer.wakes == 3
    assert buffer.take(9) == [1, 2, 3]


def test_a_buffer_that_has_ended_takes_nothing_and_wakes_once() -> None:
    """What it has can be taken."""
    buffer = Woken(10, True)
    buffer.put(1)
    assert buffer.pop() == 1
    assert buffer.arm()
    buffer.end()
    buffer.end()
    buffer.put(2)
    assert (len(buffer), buffer.wakes, buffer.arm(), buffer.ended) == (0, 1, False, True)


def test_a_finalizer_of_what_is_dropped_may_use_the_buffer() -> None:
    """It is called after the buffer is in order again."""
    buffer = Woken(2, True)

    class Loud:
        def __del__(self) -> None:
            buffer.put("finalizer")

    buffer.put(Loud())
    buffer.put(1)
    buffer.put(2)
    assert buffer.take(9) == [2, "finalizer"]
    assert buffer.dropped == 2


def test_a_buffer_is_collected_with_what_it_holds() -> None:
    """Also in a cycle."""
    buffer = Woken(10, True)
    buffer.put(buffer)
    kept = weakref.ref(buffer)
    del buffer
    gc.collect()
    assert kept() is None


@pytest.mark.parametrize("arguments", [(0, True), (-1, False), ("1", True), ()])
def test_a_buffer_without_a_limit_is_refused(arguments: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        Buffer(*arguments)
