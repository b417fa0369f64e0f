"""Fork: the child has the subscriptions and nothing else; the parent is not affected."""

import os
import threading
from pathlib import Path

import pytest

from brummerbus import BackpressurePolicy, BusClosed, Event
from helpers.buses import BusFactory
from helpers.checks import assert_balance
from helpers.handlers import Recorder
from helpers.internals import workers_of
from helpers.processes import in_child, run_file, run_python
from helpers.threads import InThread
from helpers.waiting import HANG

FORKS = 1000 if os.environ.get("BRUMMERBUS_LONG") == "1" else 50

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork"),
    # Python 3.12 and later warn of forking with threads; being safe there is the point.
    pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning"),
]


def test_the_child_has_the_subscriptions_and_workers_of_its_own(factory: BusFactory) -> None:
    """They are started at its first publish."""
    bus, seen = factory.bus(workers=2), Recorder()
    bus.subscribe("a", seen)
    bus.publish(Event("a", "before"))
    assert bus.flush(HANG)

    def child() -> None:
        assert threading.active_count() == 1
        assert bus.publish(Event("a", "in the child"))
        assert bus.flush(HANG)
        assert threading.active_count() == 3
        assert seen.data == ["before", "in the child"]
        stats = bus.stats()
        assert (stats.published, stats.processed) == (1, 1)
        assert bus.stop()

    assert in_child(child) == 0
    assert seen.data == ["before"]


def test_what_was_queued_stays_the_parents(factory: BusFactory) -> None:
    """It is handled once, there, and the child's queue is empty."""
    bus, seen = factory.bus(), Recorder()
    bus.subscribe("a", seen)
    gate = factory.hold(bus)
    for number in range(5):
        bus.publish(Event("a", number))

    def child() -> None:
        assert bus.depth == 0
        assert bus.flush(0)
        stats = bus.stats()
        assert (stats.published, stats.queued, stats.running) == (0, 0, 0)
        assert bus.publish(Event("a", "own"))
        assert bus.flush(HANG)
        assert seen.data == ["own"]

    assert in_child(child) == 0
    gate.open()
    assert bus.flush(HANG)
    assert seen.data == [0, 1, 2, 3, 4]


def test_a_full_queue_of_the_parent_is_no_matter_to_the_child(factory: BusFactory) -> None:
    """Nor is a publisher that waits in it."""
    bus = factory.bus(queue_size=1, policy=BackpressurePolicy.BLOCK)
    seen = Recorder()
    bus.subscribe("a", seen)
    gate = factory.hold(bus)
    bus.publish(Event("a"))
    waiting = InThread(lambda: bus.publish(Event("a")))
    waiting.await_waiter(bus)

    def child() -> None:
        for _ in range(20):
            assert bus.publish(Event("a"))
        assert bus.stop()
        assert len(seen.events) == 20

    assert in_child(child) == 0
    gate.open()
    assert waiting.result() is True
    assert bus.flush(HANG)
    assert len(seen.events) == 2


def test_a_closed_bus_is_closed_in_the_child(factory: BusFactory) -> None:
    """It does not become usable again."""
    bus = factory.bus()
    bus.subscribe("a", Recorder())
    bus.stop()

    def child() -> None:
        assert bus.closed
        with pytest.raises(BusClosed):
            bus.publish(Event("a"))
        assert bus.stop()

    assert in_child(child) == 0


def test_a_handler_may_fork(factory: BusFactory) -> None:
    """The child can use the bus; the parent's handler continues."""
    bus, seen = factory.bus(), Recorder()
    codes: list[int] = []

    def child() -> None:
        assert bus.publish(Event("a", "in the child"))
        assert bus.flush(HANG)
        assert seen.data == ["in the child"]

    bus.subscribe("fork", lambda event: codes.append(in_child(child)))
    bus.subscribe("a", seen)
    bus.publish(Event("fork"))
    assert bus.flush(HANG)
    assert codes == [0]
    assert seen.data == []


def test_a_thread_that_cannot_be_started_in_the_child_is_an_error_and_tried_again(
    factory: BusFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bus is consistent afterwards."""
    bus, seen = factory.bus(), Recorder()
    bus.subscribe("a", seen)

    def child() -> None:
        def start(thread: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", start)
            with pytest.raises(RuntimeError, match="can't start new thread"):
                bus.publish(Event("a"))
        assert bus.publish(Event("a", "second try"))
        assert bus.flush(HANG)
        assert seen.data == ["second try"]

    assert in_child(child) == 0


@pytest.mark.slow
def test_forks_while_publishers_and_workers_are_at_work_hurt_neither_side(
    factory: BusFactory,
) -> None:
    """A hundred of them, whatever they interrupt."""
    bus, seen = factory.bus(workers=2, policy=BackpressurePolicy.BLOCK), Recorder()
    bus.subscribe("a", seen)
    enough = threading.Event()

    def publish() -> int:
        published = 0
        while not enough.is_set():
            published += bus.publish(Event("a"))
        return published

    publishers = [InThread(publish) for _ in range(2)]
    mark = Recorder()
    bus.subscribe("mark", mark)

    def child() -> None:
        assert bus.publish(Event("mark"))
        assert bus.flush(HANG)
        assert len(mark.events) == 1
        assert bus.stop()

    # In the child the parent's publishers do not exist; their locks must not matter.
    assert [in_child(child) for _ in range(FORKS)] == [0] * FORKS
    enough.set()
    published = sum(publisher.result() for publisher in publishers)
    assert bus.flush(HANG)
    assert len(seen.events) == published
    assert_balance(bus.stats())


def test_the_childs_own_end_is_clean() -> None:
    """A forked Python that ends normally drains its own bus, and only that."""
    end = run_python("""
        import warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        bus = bus_of()
        bus.subscribe("a", lambda event: say(event.data))
        bus.publish(Event("a", "parent"))
        bus.flush()
        pid = os.fork()
        bus.publish(Event("a", "child" if pid == 0 else "parent again"))
        if pid:
            assert os.waitpid(pid, 0)[1] == 0
    """)
    assert (end.code, end.err) == (0, "")
    assert sorted(end.lines) == ["child", "parent", "parent again"]


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing_works_by_every_method(tmp_path: Path, method: str) -> None:
    """With a bus in the module, and one worker process that publishes on it."""
    script = tmp_path / "program.py"
    script.write_text(
        f"""
import multiprocessing, warnings
from brummerbus import Event, EventBus

warnings.simplefilter("ignore", DeprecationWarning)
bus = EventBus(workers=2)
seen = []
bus.subscribe("a", lambda event: seen.append(event.data))

def work(number):
    bus.publish(Event("a", number))
    bus.flush()
    return seen

if __name__ == "__main__":
    bus.publish(Event("a", "parent"))
    bus.flush()
    with multiprocessing.get_context("{method}").Pool(2) as pool:
        for number, result in enumerate(pool.map(work, range(4), chunksize=1)):
            assert number in result, result
    assert seen == ["parent"]
    print("fine")
""",
        encoding="utf-8",
    )
    end = run_file(script)
    assert (end.code, end.err, end.lines) == (0, "", ["fine"])


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_process_of_multiprocessing_handles_what_it_accepted(tmp_path: Path, method: str) -> None:
    """Before it ends, although it neither flushes nor stops."""
    script = tmp_path / "program.py"
    script.write_text(
        f"""
import multiprocessing, os, warnings
from brummerbus import Event, EventBus

warnings.simplefilter("ignore", DeprecationWarning)
bus = EventBus(workers=1, queue_size=100)
bus.subscribe("a", lambda event: os.write(1, b"handled\\n"))

def work():
    for _ in range(100):
        bus.publish(Event("a"))

if __name__ == "__main__":
    process = multiprocessing.get_context("{method}").Process(target=work)
    process.start()
    process.join()
    print(process.exitcode)
""",
        encoding="utf-8",
    )
    end = run_file(script)
    assert (end.code, end.err, end.lines) == (0, "", ["handled"] * 100 + ["0"])


def test_a_closed_bus_starts_no_workers_in_the_child(factory: BusFactory) -> None:
    """Not even if a thread tries to publish."""
    bus = factory.bus()
    bus.subscribe("a", print)
    bus.stop()

    def child() -> None:
        with pytest.raises(BusClosed):
            bus.publish(Event("a"))
        assert not workers_of(bus)

    assert in_child(child) == 0


def test_children_may_fork_in_turn(factory: BusFactory) -> None:
    """Three generations, each with its own queue."""
    bus, seen = factory.bus(), Recorder()
    bus.subscribe("a", seen)

    def generation(left: int) -> None:
        seen.events.clear()
        assert bus.publish(Event("a", left))
        if left:
            assert in_child(lambda: generation(left - 1)) == 0
        assert bus.flush(HANG)
        assert seen.data == [left]

    generation(3)
