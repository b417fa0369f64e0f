"""Where a ring queue may be used: signal handlers, forks; and the references that it holds."""

import gc
import queue
import weakref
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from brummerbus import QueueFull
from brummerbus.ringqueue import RingQueue, ShutDown
from helpers.opcodes import At
from helpers.processes import ended, in_child, modules_after, run_python, start_python
from helpers.ringqueues import drained
from helpers.threads import run_together
from helpers.waiting import HANG

CALLS: dict[str, Any] = {
    "put": lambda q: q.put(3),
    "put_many": lambda q: q.put_many([3, 4], False),
    "get": lambda q: q.get(),
    "get_many": lambda q: q.get_many(2),
    "qsize": lambda q: q.qsize(),
    "task_done": lambda q: q.task_done(),
}


def use_all(q: "RingQueue[int]") -> None:
    """Call the methods that do not wait."""
    q.put_nowait(5)
    q.get_nowait()
    q.task_done()
    q.qsize()


# ---- where it may be used ------------------------------------------------------------------------


@pytest.mark.parametrize("name", CALLS)
def test_any_method_may_interrupt_any_other_between_any_two_instructions(name: str) -> None:
    """As a signal handler does, or a finalizer."""
    for k in range(1, 2_000):
        q: RingQueue[int] = RingQueue(3)
        q.put_many([1, 2])
        at = At(k, partial(use_all, q))
        with suppress(queue.Full):
            at.during(partial(CALLS[name], q))
        if not at.where:
            break
    assert k > 5


CTRL_C = """
    import queue
    from brummerbus.ringqueue import RingQueue
    q = RingQueue(1)
    {prepare}
    sent = []
    def interrupt():
        sent.append(time.monotonic())
        signal.raise_signal(signal.SIGINT)
    try:
        when_main_is_in("_put_waiting", "_get_waiting", "wait_tasks", call=interrupt)
        {call}
    except KeyboardInterrupt:
        say(time.monotonic() - sent[0])
    say(q.qsize())
    q.maxsize = 5
    q.put(2)
    say(q.get())
"""


@pytest.mark.parametrize(
    ("prepare", "call", "left"),
    [
        ("", "q.get()", ["0", "2"]),
        ("", "q.get_many(2, timeout=20)", ["0", "2"]),
        ("q.put(1)", "q.put(3)", ["1", "1"]),
        ("q.put(1)", "q.join()", ["1", "1"]),
    ],
)
def test_ctrl_c_ends_a_wait_and_leaves_the_queue_whole(
    prepare: str, call: str, left: list[str]
) -> None:
    """Within 0.1 s on an idle machine; the bound here is generous."""
    end = ended(start_python(CTRL_C.format(prepare=prepare, call=call)), 0.0)
    assert (end.code, end.err) == (0, "")
    assert float(end.lines[0]) < 10
    assert end.lines[1:] == left


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_the_child_of_a_fork_has_an_empty_queue_that_works() -> None:
    q: RingQueue[int] = RingQueue(2)
    q.put_many([1, 2])
    closed: RingQueue[int] = RingQueue()
    closed.shutdown()

    def child() -> None:
        assert q.qsize() == q.unfinished_tasks == 0
        q.put(3)
        assert q.get() == 3
        q.task_done()
        q.join()
        with pytest.raises(ShutDown):
            closed.get()

    def first_get() -> None:
        with pytest.raises(queue.Empty):
            q.get(timeout=0.001)

    assert in_child(child) == 0
    assert in_child(first_get) == 0
    assert in_child(lambda: q.put_many([1, 2, 3][:2], False)) == 0
    assert drained(q) == [1, 2]


class Item:
    """Can be referred to weakly."""

    cycle: Any = None


# ---- references ----------------------------------------------------------------------------------


def test_an_item_is_released_when_it_was_taken_or_dropped_or_refused() -> None:
    q: RingQueue[Item] = RingQueue(2)
    items = [Item() for _ in range(6)]
    references = [weakref.ref(item) for item in items]
    q.put(items[0])
    q.put_many([items[1]])
    with pytest.raises(queue.Full):
        q.put_nowait(items[2])
    with pytest.raises(QueueFull):
        q.put_many([items[3], items[4]], timeout=0.001)
    q.get()
    q.put(items[5])
    items.clear()
    alive = [n for n, reference in enumerate(references) if reference()]
    assert alive == [1, 5]
    q.shutdown(immediate=True)
    assert not any(reference() for reference in references)


def test_a_queue_that_is_released_releases_its_items() -> None:
    q: RingQueue[Item] = RingQueue()
    item = Item()
    reference = weakref.ref(item)
    q.put(item)
    del item
    assert reference()
    assert q.queue[0] is reference()
    del q
    assert reference() is None


def test_a_cycle_through_a_queue_is_collected() -> None:
    q: RingQueue[Item] = RingQueue()
    item = Item()
    item.cycle = q
    q.put(item)
    reference = weakref.ref(item)
    del item, q
    gc.collect()
    assert reference() is None


def test_a_cycle_is_collected_whichever_of_its_objects_is_cleared_first() -> None:
    """The collector begins with the oldest: what has the memory that the ring still needs."""
    end = run_python("""
        import gc, weakref
        from brummerbus._core._ext import Ring
        from brummerbus._core.queue import Queue

        class Item:
            pass

        settings = dict(reserve=0, reserved=0, notes=0, monitoring=False, starvation_after=None)
        gc.disable()
        for _ in range(100):
            queue, item = Queue(9, 1, standstill_after=0, grows=True, **settings), Item()
            item.ring = Ring(queue, queue.address, 1)
            item.ring.push(item, 1)
            reference = weakref.ref(item)
            del queue, item
            gc.collect()
            assert reference() is None
    """)
    assert (end.code, end.err) == (0, "")


def test_what_only_a_queue_refers_to_is_not_collected() -> None:
    q: RingQueue[Item] = RingQueue()
    item = Item()
    item.cycle = item
    q.put(item)
    del item
    gc.collect()
    assert q.get().cycle is not None


@pytest.mark.slow
def test_collections_beside_threads_that_put_and_take_lose_nothing() -> None:
    q: RingQueue[Item] = RingQueue(20)

    def work(number: int) -> None:
        for _ in range(1_500):
            if number < 2:
                item = Item()
                item.cycle = [item]
                q.put(item, timeout=HANG)
                del item
            elif number < 4:
                assert q.get(timeout=HANG).cycle is not None
        if number == 4:
            for _ in range(100):
                gc.collect()

    gc.freeze()  # else each collection goes through the objects of all tests
    try:
        run_together(5, work)
    finally:
        gc.unfreeze()
    assert q.empty()


def test_the_package_is_imported_without_it() -> None:
    assert "brummerbus.ringqueue" not in modules_after("import brummerbus")
