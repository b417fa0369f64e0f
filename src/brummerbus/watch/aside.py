"""Threads for what may take long, or stand still: the main thread never waits for it without limit.

All are daemons, so the interpreter does not wait for them at its exit.
"""

from collections.abc import Callable
from concurrent.futures import Future, wait
from threading import Event as Flag
from threading import Thread
from typing import TypeVar

_Result = TypeVar("_Result")


def run_aside(name: str, function: Callable[[], _Result]) -> "Future[_Result]":
    """Call a function in a thread of its own; the future has its result or exception."""
    future: Future[_Result] = Future()

    def call() -> None:
        try:
            future.set_result(function())
        except BaseException as error:
            future.set_exception(error)

    Thread(target=call, name=name, daemon=True).start()
    return future


class Ticker:
    """Calls a function again and again in a thread of its own, until it is stopped.

    Args:
        name: The name of the thread.
        every: Seconds between two calls.
        function: What to call; if it raises, it is not called again.
    """

    def __init__(
        self,
        name: str,
        every: float,
        function: Callable[[], None],
    ) -> None:
        self._name = name
        self._every = every
        self._function = function
        self._stopped = Flag()
        self._ended: Future[None] | None = None

    def start(self) -> None:
        """Begin; once only."""
        self._ended = run_aside(self._name, self._run)

    def stop(self, timeout: float | None = None) -> bool:
        """Call the function no more; return whether its last call ended within that many seconds.

        Raises:
            Exception: What the function has raised.
        """
        self._stopped.set()
        if self._ended is None:
            return True
        ended = wait([self._ended], timeout).done
        for future in ended:
            future.result()
        return bool(ended)

    def _run(self) -> None:
        while not self._stopped.wait(self._every):
            self._function()
