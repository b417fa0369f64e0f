"""Handlers in progress and their stacks, for log messages."""

import sys
import threading
from contextlib import suppress
from typing import Any, NamedTuple

from brummerbus._core import deferred, threads
from brummerbus._core._ext import running_in
from brummerbus._core.log import shown_event
from brummerbus._core.queue import Queue

_STARTERS = (threading.__file__, threads.__file__)

CallId = tuple[int, int, int, int]
"""What distinguishes a call from all others that run: of coroutines, thread and number need not."""


class Running(NamedTuple):
    """A handler that runs now.

    Attributes:
        thread: The identifier of its thread.
        number: Distinguishes its call from others of the same thread.
        seconds: The time so far; 0 without monitoring.
        subscription: Its subscription.
        events: What it was called with: one, or a batch.
        where: Its thread, human-readable.
    """

    thread: int
    number: int
    seconds: float
    subscription: Any
    events: list[Any]
    where: str

    @property
    def call(self) -> CallId:
        """Which call it is."""
        return self.thread, self.number, id(self.subscription), id(self.events[0])

    @property
    def what(self) -> str:
        """Subscription, event and thread, human-readable."""
        event = shown_event(self.events[0])
        if len(self.events) > 1:
            event = f"a batch of {len(self.events)}, the first {event},"
        return f"{self.subscription!r} with {event} in {self.where}"

    def __str__(self) -> str:
        return f"{self.what} for {self.seconds:.1f} s" if self.seconds else self.what


def running(queue: Queue) -> list[Running]:
    """Return the handlers that run now, longest running first."""
    names = {t.ident: t.name for t in threading.enumerate()}
    found: list[Running] = []
    for thread, event, subscription, ns, number, index in running_in(queue.address):
        if index:  # of the same batch as the one before
            found[-1].events.append(event)
            continue
        where = names.get(thread, f"thread {thread}") if thread else "an event loop"
        found.append(Running(thread, number, ns * 1e-9, subscription, [event], where))
    return sorted(found, key=lambda one: -one.seconds)


def stack_of(thread: int) -> str:
    """Return a thread's stack, formatted as a traceback, without the frames that started it."""
    frame = sys._current_frames().get(thread)
    frames = list(deferred.traceback.walk_stack(frame)) if frame is not None else []
    while frames and frames[-1][0].f_code.co_filename in _STARTERS:
        frames.pop()  # only the outermost: a handler may wait inside `threading`
    return "".join(deferred.traceback.StackSummary.extract(iter(reversed(frames))).format())


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
