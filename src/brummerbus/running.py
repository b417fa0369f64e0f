"""Which handlers run now, and where in their code they are; for who waits for them.

Nothing is noted when a handler begins, for that would cost every event something. What runs is
found when somebody asks: the ring knows the open deliveries, and the frame of the thread that
runs one has its event and its subscription.
"""

import sys
import threading
import traceback
from types import FrameType
from typing import Any, NamedTuple

from brummerbus.arguments import shown
from brummerbus.deliveries import RUNS, Deliveries


class Running(NamedTuple):
    """A handler that runs now.

    Attributes:
        thread: Its thread, by identity.
        handle: Its delivery.
        seconds: For how long; 0 where nothing is timed.
        what: Subscription, event and thread, for people.
        stack: Where it is, formatted as in a traceback, the handler's own frames only.
    """

    thread: int
    handle: int
    seconds: float
    what: str
    stack: str

    def __str__(self) -> str:
        return f"{self.what} for {self.seconds:.1f} s" if self.seconds else self.what


def running(deliveries: Deliveries) -> list[Running]:
    """Return the handlers that run now, the longest first."""
    before = deliveries.open()
    frames = sys._current_frames()
    found = [
        Running(thread, handle, seconds, *_describe(thread, frames.get(thread)))
        for thread, (handle, seconds) in before.items()
    ]
    after = deliveries.open()  # a frame that was looked at later may be at something else already
    there = [one for one in found if after.get(one.thread, (0,))[0] == one.handle]
    return sorted(there, key=lambda one: -one.seconds)


def _describe(thread: int, innermost: FrameType | None) -> tuple[str, str]:
    # No generator: an exception that strikes it while it is closed early would get lost.
    name = {t.ident: t.name for t in threading.enumerate()}.get(thread, str(thread))
    frame, frames = innermost, []
    while frame is not None and frame.f_code not in RUNS:
        frames.append((frame, frame.f_lineno))
        frame = frame.f_back
    if frame is None:
        return f"a handler in {name}", ""
    stack = traceback.StackSummary.extract(iter(reversed(frames)))
    return f"{_delivery(frame)} in {name}", "".join(stack.format())


def _delivery(frame: FrameType) -> str:
    variables: Any = frame.f_locals
    what = f"{variables.get('subscription')!r} with {shown(variables.get('event'))}"
    # Before Python 3.13 this is a dict that the frame keeps, and it would keep the event.
    if isinstance(variables, dict):
        variables.clear()
    return what
