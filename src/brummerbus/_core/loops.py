"""Event loops: which one runs in the calling thread, and how other threads wake its tasks.

Guarantees
- `asyncio` and `trio` are not imported: where one of them runs, it has been.
- One wake-up of a loop is in flight, whatever the number of tasks that it is for: to wake a loop
  costs 3 to 6 us, to add a task to a wake-up a tenth of that.
- A loop that is closed, or about to be, raises nothing in the thread that wakes it: what
  waits on it is notified (`loop_closed`).
- If an interrupt strikes in a thread that wakes, the loop is woken all the same.
"""

import sys
import threading
import weakref
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Protocol


class Woken(Protocol):
    """What waits for something on a loop."""

    def woken(self) -> None:
        """Called in the loop's thread after `wake`."""

    def loop_closed(self) -> None:
        """Called in any thread: `woken` will not be called any more."""


class Waiter(Protocol):
    """What one task awaits."""

    def set(self) -> None:
        """Let the task go on; in the loop's thread."""

    def wait(self) -> Awaitable[object]:
        """Wait for that."""


class Loop:
    """A loop, for the threads that wake it; there is one such object for each loop.

    Args:
        loop: A loop of asyncio, or the token of a run of trio; it is not kept alive by this.
    """

    __slots__ = ("__weakref__", "_in_flight", "_loop", "_ready")

    def __init__(self, loop: Any) -> None:
        self._loop: Callable[[], Any] = weakref.ref(loop)
        self._ready: deque[Woken] = deque()
        self._in_flight = False

    def wake(self, one: Woken) -> None:
        """Have something woken in the loop's thread. From any thread, also a signal handler."""
        self._ready.append(one)
        if not self._in_flight or self.is_closed():
            self._send()

    def _send(self) -> None:
        try:
            try:
                self._in_flight = True
                self._call(self._run)
            except Exception:
                self._closed()
        except BaseException:  # an interrupt, which is not to cost the wake-up
            with suppress(Exception):
                self._call(self._run)
            raise

    def _run(self) -> None:
        self._in_flight = False  # before the look: what is added from now on sends another
        # `popleft`, not a look at the length: it takes the deque's lock, as `append` does, so that
        # also without a GIL either this finds what was added or that finds the flag unset.
        while True:
            try:
                one = self._ready.popleft()
            except IndexError:
                return
            one.woken()

    def _closed(self) -> None:
        while self._ready:
            with suppress(IndexError):
                self._ready.popleft().loop_closed()

    def is_closed(self) -> bool:
        """Return whether the loop is known to run nothing any more."""
        raise NotImplementedError

    def _call(self, function: Callable[[], object]) -> None:
        """Have it called in the loop's thread; raises something if the loop is gone or closed."""
        raise NotImplementedError

    def new_waiter(self) -> Waiter:
        """Return what a task of the loop can await."""
        raise NotImplementedError

    async def pause(self) -> None:
        """Let the loop's other tasks run."""
        raise NotImplementedError


# ---- asyncio, and loops with its interface -------------------------------------------------------


class _Future:
    """A future of a loop of asyncio."""

    __slots__ = ("_future",)

    def __init__(self, future: Any) -> None:
        self._future = future

    def set(self) -> None:
        if not self._future.done():
            self._future.set_result(None)

    def wait(self) -> Awaitable[object]:
        return self._future  # type: ignore[no-any-return]


class AsyncioLoop(Loop):
    """A loop of asyncio or uvloop."""

    __slots__ = ()

    def is_closed(self) -> bool:
        loop = self._loop()
        return loop is None or bool(loop.is_closed())

    def _call(self, function: Callable[[], object]) -> None:
        self._loop().call_soon_threadsafe(function)

    def new_waiter(self) -> Waiter:
        return _Future(self._loop().create_future())

    async def pause(self) -> None:
        await sys.modules["asyncio"].sleep(0)


def running_asyncio() -> Any:
    """Return the loop of asyncio that runs in the calling thread, or None."""
    events = sys.modules.get("asyncio.events")
    running = getattr(events, "_get_running_loop", None)  # documented for authors of loops
    return None if running is None else running()


# ---- trio ---------------------------------------------------------------------------------------


class TrioLoop(Loop):
    """A run of trio."""

    __slots__ = ()

    def wake(self, one: Woken) -> None:
        self._ready.append(one)
        self._send()  # with `idempotent`, trio sees that one wake-up is in flight

    def is_closed(self) -> bool:
        return self._loop() is None  # or it is known when it is woken

    def _call(self, function: Callable[[], object]) -> None:
        self._loop().run_sync_soon(function, idempotent=True)

    def new_waiter(self) -> Waiter:
        event: Waiter = sys.modules["trio"].Event()
        return event

    async def pause(self) -> None:
        await sys.modules["trio"].lowlevel.checkpoint()


def _running_trio(what: str) -> Any:
    """Return what trio calls current in this thread; None: nothing, or trio is not imported."""
    lowlevel = getattr(sys.modules.get("trio"), "lowlevel", None)
    if lowlevel is None:
        return None
    try:
        return getattr(lowlevel, what)()
    except RuntimeError:
        return None


# ---- the running one ----------------------------------------------------------------------------

_loops: "weakref.WeakKeyDictionary[Any, Loop]" = weakref.WeakKeyDictionary()
_lock = threading.Lock()  # for tasks that begin to wait, never for publishers


def is_running() -> bool:
    """Return whether an event loop runs in the calling thread, which so must not sleep."""
    return running_asyncio() is not None or _running_trio("current_trio_token") is not None


def running_loop() -> Loop | None:
    """Return the loop whose task is the caller, if it is one."""
    in_trio = _running_trio("current_task") is not None  # perhaps as a guest of a loop of asyncio
    key = _running_trio("current_trio_token") if in_trio else running_asyncio()
    if key is None:
        return None
    with _lock:
        found = _loops.get(key)
        if found is None:
            found = _loops[key] = TrioLoop(key) if in_trio else AsyncioLoop(key)
        return found
