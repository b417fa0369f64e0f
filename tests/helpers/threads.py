"""Calls in other threads."""

import threading
from collections.abc import Callable
from typing import Any

from brummerbus import EventBus
from helpers.waiting import HANG, poll


def run_together(count: int, work: Callable[[int], object]) -> None:
    """Run `work(0)` to `work(count - 1)` in threads that start together; raise the first error."""
    barrier = threading.Barrier(count)
    errors: list[BaseException] = []

    def run(number: int) -> None:
        try:
            barrier.wait(HANG)
            work(number)
        except BaseException as error:  # noqa: BLE001, RUF100
            errors.append(error)

    threads = [threading.Thread(target=run, args=(n,), daemon=True) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANG)
    assert not any(thread.is_alive() for thread in threads), "a thread hangs"
    if errors:
        raise errors[0]


class InThread:
    """A call in a new thread, and its result."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self._work = work
        self._result: Any = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._result = self._work()
        except BaseException as error:  # noqa: BLE001, RUF100
            self._error = error

    @property
    def running(self) -> bool:
        """Whether the call has not returned yet."""
        return self._thread.is_alive()

    def result(self) -> Any:
        """Return what the call returned, or raise what it raised."""
        self._thread.join(HANG)
        assert not self.running, "the call does not return"
        if self._error is not None:
            raise self._error
        return self._result

    def await_waiter(self, bus: EventBus, waiters: int = 1) -> None:
        """Return when that many publishers of the bus, this call among them, wait for slots."""
        poll(lambda: not self.running or bus.stats().waiting >= waiters)
        assert self.running, "the call did not wait"
