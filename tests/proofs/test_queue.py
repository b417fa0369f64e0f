"""CPython's own tests of `queue`, with `RingQueue` in the place of `Queue` and of `SimpleQueue`.

Left out, by name: `FailingQueueTest`, which overrides `_put` and `_get`, as a subclass of RingQueue
cannot; the tests of `LifoQueue` and `PriorityQueue`, which keep another order. From
`CSimpleQueueTest`: `test_is_default`, which is about that class, and `test_reentrancy`, which needs
a `put` before whose call no finalizer can run. (That finalizers may put between any two
instructions is tested in `tests/ringqueue/test_anywhere.py`.)
"""

import queue
import unittest
from types import SimpleNamespace

import pytest

from brummerbus.ringqueue import RingQueue, ShutDown

cpython = pytest.importorskip("test.test_queue", reason="this Python has no tests")

Queue = type("Queue", (RingQueue,), {})  # the tests look for the name


class TestAsQueue(cpython.QueueTest, unittest.TestCase):  # type: ignore[name-defined,misc]
    """The tests of `queue.Queue`: in order, joins, time-outs, and from Python 3.13 on shutdowns."""

    queue = SimpleNamespace(Queue=Queue, Full=queue.Full, Empty=queue.Empty, ShutDown=ShutDown)


class TestAsSimpleQueue(cpython.BaseSimpleQueueTest, unittest.TestCase):  # type: ignore[name-defined,misc]
    """The tests of `queue.SimpleQueue`: order and references, with many threads."""

    queue = SimpleNamespace(SimpleQueue=RingQueue, Full=queue.Full, Empty=queue.Empty)

    def setUp(self) -> None:
        """Make the queue that the tests use."""
        self.type2test = RingQueue
        super().setUp()
