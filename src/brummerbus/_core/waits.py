"""Calls that wait, for tasks: in a thread of their own."""

from collections.abc import Callable
from typing import TypeVar

from brummerbus._core.loops import Loop, running_loop
from brummerbus._core.threads import PoolThread
from brummerbus._errors import BusError

T = TypeVar("T")


class _Answer:
    """What a call has returned or raised, for a task that waits for it."""

    def __init__(self, loop: Loop) -> None:
        self._waiter = loop.new_waiter()
        self.values: list[object] = []
        self.error: BaseException | None = None

    def woken(self) -> None:
        self._waiter.set()

    def loop_closed(self) -> None:
        """Its task is gone."""

    async def wait(self) -> None:
        await self._waiter.wait()


async def in_thread(name: str, call: Callable[[], T]) -> T:
    """Make a call in a new thread, and wait for it in a task. If that is cancelled, it goes on.

    Raises:
        BusError: The caller is no task.
        RuntimeError: The thread could not be started.
        BaseException: What the call raises.
    """
    loop = running_loop()
    if loop is None:
        raise BusError("this is for tasks of asyncio or trio")
    answer, results = _Answer(loop), list[T]()

    def run() -> None:
        try:
            results.append(call())
        except BaseException as error:
            answer.error = error
        loop.wake(answer)

    PoolThread(name, run).start()
    await answer.wait()
    if answer.error is not None:
        raise answer.error
    return results[0]
