"""A fork made by C code, as uWSGI does: Python's hooks do not run, and its locks keep their state.

Each program runs in its own process, and forks by `fork` of the C library.
"""

import os

import pytest

from helpers.interpreter import HAS_GIL
from helpers.processes import Ended, run_python

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")

FIRST = """
import ctypes
fork = ctypes.PyDLL(None).fork
"""

PREPARE = """
def wait_for(pid):
    deadline = time.monotonic() + 25
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(pid, signal.SIGKILL)
    return f"the child hangs: {os.waitpid(pid, 0)}"

def in_child(work):
    pid = fork()
    if pid:
        return wait_for(pid)
    code = 1
    try:
        work()
        code = 0
    except BaseException as error:
        os.write(2, f"in the child: {error!r}\\n".encode())
    finally:
        os._exit(code)
"""

USE = """
def use():
    mine = []
    bus.subscribe("mine", lambda event: mine.append((event.data, threading.current_thread().name)))
    for number in range(20):
        assert bus.publish(Event("mine", number), timeout=20)
    assert bus.flush(20)
    assert sorted(number for number, _ in mine) == list(range(20)), mine
    assert {name for _, name in mine} <= {f"bus-worker-{n}" for n in (1, 2)}, mine
    stats = bus.stats()
    assert (stats.published, stats.processed, stats.queued) == (20, 20, 0), stats
    assert bus.workers == 2
    assert bus.stop(timeout=20)
"""


def run(code: str, limit: float = 60) -> Ended:
    """Run a program that can fork in C, and use a bus in the child."""
    return run_python(f"{PREPARE}\n{USE}\n{code}", limit, first=FIRST)


def test_the_child_of_a_fork_in_c_has_a_bus_that_works() -> None:
    """It publishes, handles and flushes with its own workers; the parent is not affected."""
    end = run("""
bus = bus_of(workers=2)
bus.subscribe("a", lambda event: say(event.data))
bus.publish(Event("a", "before"))
bus.flush()
say(in_child(use))
bus.publish(Event("a", "after"))
""")
    assert (end.code, end.err) == (0, "")
    assert end.lines == ["before", "0", "after"]


def test_what_was_queued_in_the_parent_is_not_in_the_child() -> None:
    """It is handled once, where it was published; a full queue there does not matter here."""
    end = run("""
bus, gate = bus_of(workers=2, queue_size=2), Gate()
bus.subscribe("gate", gate)
bus.subscribe("a", lambda event: say(event.data))
for _ in range(2):
    bus.publish(Event("gate"))
    gate.entered.acquire()
for number in range(2):
    bus.publish(Event("a", number))
def child():
    assert bus.depth == 0 and bus.flush(0)
    use()
say(in_child(child))
gate.opened.set()
assert bus.flush(20)
""")
    assert (end.code, end.err) == (0, "")
    assert (end.lines[0], sorted(end.lines[1:])) == ("0", ["0", "1"])


@pytest.mark.skipif(
    not HAS_GIL, reason="without a GIL, threads that ran at a fork in C run on for the interpreter"
)
@pytest.mark.parametrize("policy", ["BLOCK", "DROP_OLDEST"])
def test_forks_in_c_beside_a_publisher_at_work_hurt_neither_side(policy: str) -> None:
    """Whatever they interrupt; twenty of them."""
    end = run(f"""
import logging
logging.disable()  # what is dropped
bus = bus_of(workers=2, queue_size=20, policy=BackpressurePolicy.{policy})
handled = []
bus.subscribe("a", handled.append)
enough, published = threading.Event(), []
def publish():
    while not enough.is_set():
        published.append(bus.publish(Event("a")))
publisher = threading.Thread(target=publish)
publisher.start()
for _ in range(20):
    code = in_child(use)
    if code:
        say(code)
        break
enough.set()
publisher.join()
assert bus.flush(20)
stats = bus.stats()
assert len(handled) == stats.processed and sum(published) <= stats.published
say(stats.published == stats.processed + stats.dropped, stats.dropped == 0 or "{policy}" != "BLOCK")
""")
    assert (end.code, end.err) == (0, "")
    assert end.lines == ["True True"]


def test_several_threads_of_the_child_may_be_the_first_to_publish() -> None:
    """One of them starts the workers."""
    end = run("""
bus = bus_of(workers=2, queue_size=500)
bus.subscribe("a", lambda event: None)
def child():
    barrier = threading.Barrier(4)
    def publish():
        barrier.wait()
        for _ in range(50):
            assert bus.publish(Event("a"), timeout=20)
    bus.flush(0)  # tells Python of the fork, before it starts threads
    threads = [threading.Thread(target=publish) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert bus.flush(20)
    assert bus.stats().processed == 200
    assert bus.workers == 2
for _ in range(5):
    say(in_child(child))
""")
    assert (end.code, end.err) == (0, "")
    assert end.lines == ["0"] * 5


def test_a_child_that_ends_as_a_program_handles_what_it_has() -> None:
    """It neither flushes nor stops."""
    end = run("""
bus = bus_of(workers=2, queue_size=100)
bus.subscribe("a", lambda event: say(event.data))
pid = fork()
if pid:
    say("code", wait_for(pid))
else:
    for number in range(50):
        bus.publish(Event("a", number))
""")
    assert (end.code, end.err) == (0, "")
    assert end.lines[-1] == "code 0"
    assert sorted(map(int, end.lines[:-1])) == list(range(50))


def test_a_handler_may_fork_in_c() -> None:
    """The child is no handler of its own bus; the parent's handler continues."""
    end = run("""
bus = bus_of(workers=2)
bus.subscribe("fork", lambda event: say(in_child(use)))
bus.publish(Event("fork"))
assert bus.flush(30)
say(bus.stop(timeout=20))
""")
    assert (end.code, end.err) == (0, "")
    assert end.lines == ["0", "True"]


def test_children_of_forks_in_c_may_fork_in_turn() -> None:
    """In C again, or by Python."""
    end = run("""
import warnings
warnings.simplefilter("ignore", DeprecationWarning)
bus = bus_of(workers=2)
def child():
    bus.publish(Event("nobody"))
    assert in_child(use) == 0
    pid = os.fork()
    if not pid:
        use()
        os._exit(0)
    assert wait_for(pid) == 0
    use()
say(in_child(child))
use()
""")
    assert (end.code, end.err) == (0, "")
    assert end.lines == ["0"]
