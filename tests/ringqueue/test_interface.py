"""A ring queue is a `queue.Queue`, with priorities and whole batches."""

import copy
import pickle
import queue
import sys

import pytest

from brummerbus import Priority, QueueFull
from brummerbus.ringqueue import RingQueue, ShutDown
from helpers.ringqueues import drained
from helpers.threads import InThread, run_together
from helpers.waiting import HANG, poll

# ---- the interface of queue.Queue ----------------------------------------------------------------


def test_it_is_a_queue_and_first_in_first_out() -> None:
    q: RingQueue[int] = RingQueue(3)
    assert isinstance(q, queue.Queue)
    for number in (3, 1, 2):
        q.put(number)
    assert (q.qsize(), q.full(), q.empty(), q.maxsize) == (3, True, False, 3)
    assert q.queue == (3, 1, 2)
    assert drained(q) == [3, 1, 2]
    assert (q.qsize(), q.full(), q.empty()) == (0, False, True)


def test_a_full_queue_refuses_and_an_empty_one_has_nothing() -> None:
    q: RingQueue[int] = RingQueue(1)
    q.put_nowait(1)
    for call in (
        q.put_nowait,
        lambda item: q.put(item, timeout=0.001),
        lambda item: q.put(item, 0),
    ):
        with pytest.raises(queue.Full):
            call(2)
    assert q.get() == 1
    for take in (q.get_nowait, lambda: q.get(timeout=0.001), lambda: q.get_many(3, False)):
        with pytest.raises(queue.Empty):
            take()


def test_put_waits_for_room_and_get_for_an_item() -> None:
    q: RingQueue[str] = RingQueue(1)
    getting = InThread(q.get)
    q.put("a")
    assert getting.result() == "a"
    q.put("b")
    putting = InThread(lambda: q.put("c", timeout=HANG))
    assert q.get(timeout=HANG) == "b"
    putting.result()
    assert q.get() == "c"


def test_without_a_bound_it_takes_what_comes_and_is_never_full() -> None:
    q: RingQueue[int] = RingQueue(-1)
    q.put_many(range(100_000))
    assert (q.maxsize, q.full(), q.qsize()) == (0, False, 100_000)
    assert drained(q) == list(range(100_000))


def test_the_bound_can_be_changed() -> None:
    q: RingQueue[int] = RingQueue(3)
    q.put_many([1, 2, 3])
    q.maxsize = 2
    assert (q.maxsize, q.full(), q.qsize()) == (2, True, 3)
    q.get()
    with pytest.raises(queue.Full):
        q.put_nowait(4)
    q.maxsize = 0
    q.put_many([4] * 10)
    assert q.qsize() == 12


def test_tasks_are_unfinished_until_they_are_done() -> None:
    q: RingQueue[int] = RingQueue()
    with pytest.raises(ValueError, match=r"task_done\(\) called too many times"):
        q.task_done()
    q.join()
    q.put_many([1, 2])
    joining = InThread(q.join)
    q.get()
    q.task_done()
    assert q.unfinished_tasks == 1
    assert joining.running
    q.task_done()
    joining.result()
    with pytest.raises(ValueError, match="too many"):
        q.task_done()


def test_after_a_shutdown_what_is_queued_can_be_taken() -> None:
    q: RingQueue[int] = RingQueue(1)
    q.put(1)
    putting = InThread(lambda: q.put(2))
    q.shutdown()
    with pytest.raises(ShutDown):
        putting.result()
    with pytest.raises(ShutDown):
        q.put(3, False)
    assert q.is_shutdown
    assert q.get() == 1
    for take in (q.get, q.get_nowait, lambda: q.get_many(2)):
        with pytest.raises(ShutDown):
            take()
    q.task_done()
    q.join()


def test_an_immediate_shutdown_drops_what_is_queued_and_wakes_all() -> None:
    q: RingQueue[int] = RingQueue()
    q.put_many([1, 2])
    q.get()
    joining = InThread(q.join)
    q.task_done()
    q.shutdown(immediate=True)
    joining.result()
    assert q.qsize() == q.unfinished_tasks == 0
    with pytest.raises(ShutDown):
        q.get()
    empty: RingQueue[int] = RingQueue()
    getting = [InThread(empty.get) for _ in range(3)]
    empty.shutdown()
    for one in getting:
        with pytest.raises(ShutDown):
            one.result()


@pytest.mark.skipif(sys.version_info < (3, 13), reason="queue.ShutDown came with Python 3.13")
def test_its_shutdown_is_the_one_of_the_standard_library() -> None:
    assert issubclass(ShutDown, queue.ShutDown)


def test_with_mutex_excludes_others_that_say_so_and_no_method() -> None:
    q: RingQueue[int] = RingQueue()
    with q.mutex:
        q.put(1)
        assert not q.mutex.acquire(blocking=False)
    assert q.get() == 1


def test_a_subclass_that_overrides_how_items_are_kept_is_refused() -> None:
    with pytest.raises(TypeError, match=r"Lifo: RingQueue does not call _get\(\)"):

        class Lifo(RingQueue[int]):
            def _get(self) -> int:
                return 0


def test_a_subclass_may_put_and_get_as_queue_queue_does() -> None:
    class Doubled(RingQueue[int]):
        def put(self, item: int, block: bool = True, timeout: float | None = None) -> None:  # type: ignore[override]  # noqa: FBT002
            super().put(2 * item, block, timeout)

        def get(self, block: bool = True, timeout: float | None = None) -> int:  # noqa: FBT002
            return super().get(block, timeout) + 1

    q = Doubled(1)
    q.put_nowait(3)
    with pytest.raises(queue.Full):
        q.put_nowait(4)
    assert q.get_nowait() == 7


def test_wrong_arguments_are_refused_by_name_and_change_nothing() -> None:
    for arguments, named in (((1.5,), "maxsize"), ((2**24 + 1,), "maxsize"), (("3",), "maxsize")):
        with pytest.raises((TypeError, ValueError), match=f"{named} must be an int"):
            RingQueue(*arguments)
    with pytest.raises(ValueError, match="priority_levels must be an int from 1 to 8, got 9"):
        RingQueue(priority_levels=9)
    q: RingQueue[int] = RingQueue()
    for timeout in (-1, float("nan")):
        for call in (q.get, lambda **options: q.put(1, **options)):
            with pytest.raises(ValueError, match="timeout must be a number of seconds"):
                call(timeout=timeout)
    for priority in (0, 4, -1, 2**70):
        with pytest.raises(ValueError, match="priority must be an int from 1 to 3"):
            q.put(1, priority=priority)
    for priority in (1.0, "1", True):
        with pytest.raises(TypeError, match="priority must be an int from 1 to 3"):
            q.put(1, priority=priority)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="n must be an int of at least 1, got 0"):
        q.get_many(0)
    with pytest.raises(TypeError, match="items must be an iterable, got 3"):
        q.put_many(3)  # type: ignore[arg-type]
    assert q.empty()


def test_it_says_what_it_holds() -> None:
    q: RingQueue[int] = RingQueue(5)
    q.put(1)
    assert repr(q) == "<RingQueue, 1 of 5>"
    assert repr(RingQueue()) == "<RingQueue, 0 of no bound>"


def test_it_is_neither_copied_nor_pickled() -> None:
    for call in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="copied or pickled"):
            call(RingQueue())


# ---- what it has beyond that ---------------------------------------------------------------------


def test_urgent_items_come_first() -> None:
    q: RingQueue[str] = RingQueue()
    q.put("low", priority=Priority.LOW)
    q.put("medium")
    q.put_nowait("high", priority=3)
    q.put_many(["low too", "and this"], priority=1)
    assert drained(q) == ["high", "medium", "low", "low too", "and this"]
    one: RingQueue[int] = RingQueue(priority_levels=1)
    one.put(1)
    one.put(2, priority=1)
    assert drained(one) == [1, 2]


def test_an_urgent_thread_that_waits_is_served_first() -> None:
    q: RingQueue[str] = RingQueue(1)
    q.put("first")
    waiting = []
    for name, priority in (("low", 1), ("high", 3)):
        waiting.append(InThread(lambda n=name, p=priority: q.put(n, priority=p)))
        poll(lambda: q._here().snapshot().waiting == len(waiting))
    assert [q.get() for _ in range(3)] == ["first", "high", "low"]
    for one in waiting:
        one.result()


def test_put_many_keeps_the_order_and_get_many_takes_what_is_there() -> None:
    q: RingQueue[int] = RingQueue()
    q.put_many(range(200))
    assert q.get_many(150) == list(range(150))
    assert q.get_many(1000, timeout=0) == list(range(150, 200))
    getting = InThread(lambda: q.get_many(10))
    q.put(7)
    assert getting.result() == [7]
    q.put_many([])
    assert q.empty()


def test_put_many_waits_for_room_and_says_how_many_were_put() -> None:
    q: RingQueue[int] = RingQueue(3)
    with pytest.raises(QueueFull, match="7 items of 10 found no room") as full:
        q.put_many(range(10), timeout=0.001)
    assert full.value.accepted == 3
    assert isinstance(full.value, queue.Full)
    putting = InThread(lambda: q.put_many(range(3, 10)))
    assert [q.get() for _ in range(8)] == list(range(8))
    putting.result()
    assert drained(q) == [8, 9]
    q.put_many([1, 2])
    closing = InThread(lambda: q.put_many(range(5)))
    poll(lambda: q._here().snapshot().waiting == 1)
    q.shutdown()
    with pytest.raises(ShutDown) as closed:
        closing.result()
    assert closed.value.accepted == 1


def test_many_threads_put_and_take_everything_once() -> None:
    q: RingQueue[tuple[int, int]] = RingQueue(7)
    taken: list[list[tuple[int, int]]] = [[], [], [], []]

    def work(number: int) -> None:
        if number < 4:
            for n in range(2_000):
                q.put((number, n), priority=1 + n % 3)
        else:
            while (item := q.get(timeout=HANG))[1] >= 0:
                taken[number - 4].append(item)
                q.task_done()
            q.task_done()

    def all_of_it(number: int) -> None:
        work(number)
        if number == 0:
            poll(lambda: sum(map(len, taken)) == 8_000)
            q.put_many([(0, -1)] * 4)

    run_together(8, all_of_it)
    q.join()
    assert sorted(item for some in taken for item in some) == [
        (number, n) for number in range(4) for n in range(2_000)
    ]
