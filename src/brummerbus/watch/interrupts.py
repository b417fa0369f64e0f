"""Ctrl-C and other stop signals, counted instead of raised."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread
from types import FrameType, TracebackType
from typing import Any

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")


class Interrupts:
    """While entered, signals that request a stop are only counted.

    The handler only sets two attributes: it runs between any two bytecodes of the main thread,
    which may hold any lock at that moment. The main loop reads them.
    """

    def __init__(self) -> None:
        self.count = 0
        self.first = int(signal.SIGINT)
        """The first signal; it is forwarded to the processes."""
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Interrupts":
        if current_thread() is main_thread():
            for name in _NAMES:
                number = getattr(signal, name, None)
                # An ignored signal stays ignored, as in a program started with nohup.
                if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        if self.count == 0:
            self.first = number
        self.count += 1


@contextmanager
def ending_at_once() -> Iterator[None]:
    """While entered, Ctrl-C ends the process at once, as one without a handler.

    For the time before anything is started that would be left behind: SQLite may wait for a lock
    for half a minute, and no exception interrupts that.
    """
    ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not ours or current_thread() is not main_thread():
        yield
        return
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
