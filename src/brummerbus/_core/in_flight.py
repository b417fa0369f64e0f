"""Handlers in progress and their stacks, for log messages."""

import sys
import threading
import traceback
from contextlib import suppress
from typing import Any, NamedTuple

from brummerbus._core import threads
from brummerbus._core._ext import running_in
from brummerbus._core.log import shown_event
from brummerbus._core.queue import Queue

_STARTERS = (threading.__file__, threads.__file__)


class Running(NamedTuple):
    """A handler that runs now.

    Attributes:
        thread: The identifier of its thread.
        number: Distinguishes its delivery from others of the same thread.
        seconds: The time so far; 0 without monitoring.
        what: Subscription, event and thread, human-readable.
    """

    thread: int
    number: int
    seconds: float
    what: str

    def __str__(self) -> str:
        return f"{self.what} for {self.seconds:.1f} s" if self.seconds else self.what


def running(queue: Queue) -> list[Running]:
    """Return the handlers that run now, longest running first."""
    names = {t.ident: t.name for t in threading.enumerate()}
    found = []
    for thread, event, subscription, ns, number in running_in(queue.address):
        where = names.get(thread, f"thread {thread}") if thread else "an event loop"
        what = f"{subscription!r} with {shown_event(event)} in {where}"
        found.append(Running(thread, number, ns * 1e-9, what))
    return sorted(found, key=lambda one: -one.seconds)


def stack_of(thread: int) -> str:
    """Return a thread's stack, formatted as a traceback, without the frames that started it."""
    frame = sys._current_frames().get(thread)
    frames: list[Any] = []
    while frame is not None:
        frames.append((frame, frame.f_lineno))
        frame = frame.f_back
    while frames and frames[-1][0].f_code.co_filename in _STARTERS:
        frames.pop()  # only the outermost: a handler may wait inside `threading`
    return "".join(traceback.StackSummary.extract(iter(reversed(frames))).format())


def report_standstill(name: str, queue: Queue) -> None:
    """Write to standard error which handlers occupy the workers of a bus at a standstill.

    Not through logging: the handlers may wait for a logging lock that the publisher holds.
    """
    text = (
        f"brummerbus: {name}: a publisher has waited for free slots for 10 s, during which no "
        "worker has taken anything. If it holds a lock that handlers need, this is a deadlock."
    )
    lines = [text]
    for one in running(queue):
        lines += [f"  {one}, at", stack_of(one.thread).rstrip()]
    with suppress(Exception):
        sys.stderr.write("\n".join(lines) + "\n")
        sys.stderr.flush()
