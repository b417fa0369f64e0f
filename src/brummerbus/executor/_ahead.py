"""What `BusExecutor.map` has submitted ahead of its results."""

import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from time import monotonic
from typing import Any

from brummerbus import QueueFull
from brummerbus._arguments import shown
from brummerbus._text import counted

MAX_TIMEOUT = threading.TIMEOUT_MAX / 2
"""Seconds; more is no limit."""


class Ahead:
    """The calls of one `map` that were submitted, and whose results were not taken yet."""

    def __init__(
        self,
        submit: Callable[..., "Future[Any]"],
        fn: Callable[..., Any],
        calls: Iterator[tuple[Any, ...]],
        buffersize: int | None,
    ) -> None:
        self._submit = submit
        self._fn = fn
        self._calls = calls
        self._buffersize = buffersize
        self._futures: deque[Future[Any]] = deque()
        self._refused: list[tuple[Any, ...]] = []

    def submit_first(self) -> None:
        """Submit as many as the buffer holds, or all."""
        try:
            self._submit_up_to(sys.maxsize if self._buffersize is None else self._buffersize)
        except BaseException:
            self._cancel()
            raise
        if self._buffersize is None:
            del self._submit  # results that were not taken do not keep a forgotten executor

    def _submit_up_to(self, n: int) -> None:
        futures = self._futures
        while len(futures) < n:
            call = self._refused.pop() if self._refused else next(self._calls, None)
            if call is None:
                return
            try:
                futures.append(self._submit(self._fn, *call))
            except QueueFull as full:
                if self._buffersize is None:
                    raise QueueFull(
                        f"{full}; {counted(len(futures), 'call')} of map() had been submitted and "
                        "were cancelled: with map(..., buffersize=n) it submits n ahead"
                    ) from None
                if not futures:
                    raise
                self._refused.append(call)  # it comes next, once a result was taken
                return

    def results(self, end: float | None) -> Iterator[Any]:
        """Yield the results in order; no reference to one is kept."""
        futures = self._futures
        try:
            while True:
                if self._buffersize is not None:
                    self._submit_up_to(self._buffersize + 1)
                if not futures:
                    return
                yield _result(futures.popleft(), end)
        finally:
            self._cancel()

    def _cancel(self) -> None:
        for future in self._futures:
            future.cancel()


def _result(future: "Future[Any]", end: float | None) -> Any:
    """Return the result of a future, or raise; a future that has not ended in time is cancelled."""
    try:
        return future.result(None if end is None else end - monotonic())
    finally:
        future.cancel()
        del future  # what it raises refers to this frame


def end_of(timeout: Any) -> float | None:
    """Return when a time-out is over, by the monotonic clock; None: never.

    Raises:
        TypeError: It is no number. A negative one is over already, as for `Executor.map`.
    """
    if timeout is None:
        return None
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)):
        raise TypeError(f"timeout must be a number of seconds or None, got {shown(timeout)}")
    return monotonic() + timeout if timeout < MAX_TIMEOUT else None


def check_buffersize(buffersize: Any) -> None:
    """As `Executor.map` of Python 3.14 does, in its words."""
    if buffersize is None:
        return
    if not isinstance(buffersize, int) or isinstance(buffersize, bool):
        raise TypeError(f"buffersize must be an integer or None, got {shown(buffersize)}")
    if buffersize < 1:
        raise ValueError(f"buffersize must be None or > 0, got {shown(buffersize)}")
