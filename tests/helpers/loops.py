"""Event loops, in this thread or one of their own."""

import asyncio
from typing import Any

from helpers.threads import InThread
from helpers.waiting import HANG


def run(main: Any) -> Any:
    """Run a coroutine in a new event loop, and not for ever."""
    return asyncio.run(asyncio.wait_for(main, HANG))


class LoopThread:
    """An event loop that runs in a thread of its own until it is closed."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = InThread(self.loop.run_forever)
        self.calls: list[Any] = []
        self.most = 0
        self._running = 0
        self._open: asyncio.Event = self.run(self._new_event())

    async def _new_event(self) -> asyncio.Event:
        return asyncio.Event()

    def run(self, coroutine: Any) -> Any:
        """Run a coroutine in the loop, and return its result."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(HANG)

    async def gate(self, event: Any) -> None:
        """Be a handler that waits until it is allowed to return."""
        self.calls.append(event.data)
        self._running += 1
        self.most = max(self.most, self._running)
        try:
            await self._open.wait()
        finally:
            self._running -= 1

    def open(self) -> None:
        """Let all calls of `gate` return, now and later."""
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self._open.set)

    def stop(self) -> None:
        """Stop the loop; tasks stay as they are."""
        if self.thread.running:
            self.loop.call_soon_threadsafe(self.loop.stop)
            self.thread.result()

    def close(self) -> None:
        """Stop and close the loop."""
        self.stop()
        for task in asyncio.all_tasks(self.loop):
            task._log_destroy_pending = False  # type: ignore[attr-defined]
        self.loop.close()


async def coroutine(event: Any) -> None:
    """Be a handler."""
