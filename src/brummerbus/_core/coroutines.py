"""Coroutine handlers: an event loop runs them, and no worker waits.

A worker takes the delivery and hands it to the loop; it is running until the coroutine has ended
(`csrc/python/detached.c`).

Guarantees
- What a loop has not ended when it is closed is dropped (`SHUTDOWN`), by the next worker that hands
  it something, or the next thread that waits for the bus: a loop notifies nobody that it is closed.
  It may even accept a callback while it is being closed, and never call it.
- The worker's thread sees no exception of a closed loop; the subscription ends.
"""

import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from brummerbus._core import deferred
from brummerbus._core._ext import Call
from brummerbus._core.handling import Handling, handling

Lost = Callable[[list[Any]], object]


class CoroutineHandler:
    """What a worker calls in place of a coroutine function.

    Attributes:
        function: The coroutine function.
        loop: The event loop that runs it.
    """

    __slots__ = ("__weakref__", "_calls", "_subscription", "_tasks", "function", "loop", "lost")

    def __init__(
        self, function: Callable[[Any], Any], loop: Any, lost: Lost, subscription: Any
    ) -> None:
        self.function: Callable[[Any], Any] = function
        self.loop: Any = loop
        self.lost: Lost = lost
        """Called in C with the list of what was dropped."""
        self._subscription = weakref.ref(subscription)
        self._calls: dict[int, Call] = {}  # by address: all that have not ended
        self._tasks: dict[Any, Any] = {}  # and their coroutines; a loop keeps no task alive

    def __call__(self, call: Call) -> None:
        """Have the loop run the coroutine; in a worker."""
        context = call.context  # of the publisher; else that of the worker, which is empty
        self._calls[id(call)] = call
        try:
            self.loop.call_soon_threadsafe(self._begin, call, context=context)
        except BaseException:
            if not self.loop.is_closed():
                del self._calls[id(call)]
                raise
        if self.loop.is_closed():
            self.end()

    def _begin(self, call: Call) -> None:
        coroutine = self._run(call)
        task = self.loop.create_task(coroutine)
        self._tasks[task] = coroutine
        task.add_done_callback(self._tasks.pop)

    async def _run(self, call: Call) -> None:
        this = Handling(call.address)
        handling.set(this)  # in the context of the task
        try:
            await self.function(call.event)
        except GeneratorExit:  # the task was thrown away by a loop that is closed
            self._calls.pop(id(call), None)
            call.drop()
            raise
        except Exception as error:
            self._finish(call, error)
        except BaseException as error:  # cancelled, or an interrupt, which ends the loop
            self._finish(call, error)
            raise
        else:
            self._finish(call, None)
        finally:
            this.runs = False

    def _finish(self, call: Call, error: BaseException | None) -> None:
        self._calls.pop(id(call), None)
        call.finish(error)

    def end(self) -> None:
        """The loop is closed: end the subscription, and drop what its tasks were at."""
        subscription = self._subscription()
        if subscription is not None:
            subscription.cancel()
        while self._tasks:
            with suppress(KeyError):
                task, coroutine = self._tasks.popitem()
                # Counted and reported as dropped: asyncio need not say that it was destroyed.
                task._log_destroy_pending = False  # noqa: SLF001, as asyncio's own helpers do
                if deferred.inspect.getcoroutinestate(coroutine) == deferred.inspect.CORO_CREATED:
                    coroutine.close()  # else Python warns that it was never awaited
        while self._calls:
            with suppress(KeyError):
                self._calls.popitem()[1].drop()
