"""The child of a fork amid chaos: its bus is empty, and works."""

import os
import signal
import traceback
from collections.abc import Callable
from time import monotonic, sleep

from chaos_ledger import check_counts

from brummerbus import BusClosed, Event, EventBus, QueueFull

HANG = 30.0
EVENTS = 20


def fork_and_check(bus: EventBus, handled: Callable[[], int]) -> None:
    """Fork; the child publishes and stops, the parent waits for it and goes on.

    Args:
        bus: The bus, in whatever state.
        handled: Says how many deliveries its notes have.
    """
    pid = os.fork()
    if not pid:
        code = 1
        try:
            _child(bus, handled, handled())
            code = 0
        except BaseException:  # noqa: BLE001, RUF100
            os.write(2, traceback.format_exc().encode())
        finally:
            os._exit(code)
    deadline = monotonic() + HANG
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            break
        if monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise AssertionError("the child of a fork hangs")
        sleep(0.001)
    assert os.waitstatus_to_exitcode(status) == 0, "the child of a fork failed"


def _child(bus: EventBus, handled: Callable[[], int], before: int) -> None:
    stats = bus.stats()
    counts = stats.published, stats.processed, stats.dropped, stats.queued, stats.running
    assert counts == (0, 0, 0, 0, 0), counts
    for number in range(EVENTS):
        try:
            bus.publish(Event("a", (-1, number)), timeout=0.01)
        except QueueFull:
            pass  # counted as refused
        except BusClosed:
            assert bus.closed
            break
    assert bus.flush(HANG), "the child's bus does not come to rest"
    stats = bus.stats()
    check_counts(stats)
    assert stats.processed == handled() - before
    assert stats.published >= EVENTS or bus.closed
    assert bus.stop(timeout=HANG)
