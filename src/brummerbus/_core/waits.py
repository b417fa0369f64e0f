"""Answers for tasks that wait, and calls in a thread of their own, which give one."""

from collections.abc import Callable
from typing import Generic, TypeVar

from brummerbus._core.loops import Loop, running_loop
from brummerbus._core.threads import PoolThread
from brummerbus._errors import BusError

T = TypeVar("T")


class Answer(Generic[T]):
    """What a call has returned or raised, for a task that waits for it."""

    __slots__ = ("_loop", "_waiter", "error", "results")

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._waiter = loop.new_waiter()
        self.results: list[T] = []
        self.error: BaseException | None = None

    def report(self) -> None:
        """Wake the task."""
        self._loop.wake(self)

    def woken(self) -> None:
        """Let the task go on, in its loop."""
        self._waiter.set()

    def loop_closed(self) -> None:
        """Its task is gone."""

    async def wait(self) -> T:
        """Return the result, or raise the error; in the task."""
        await self._waiter.wait()
        try:
            if self.error is not None:
                raise self.error
        finally:
            self.error = None  # its traceback refers to this frame
        return self.results[0]


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
    answer = Answer[T](loop)

    def run() -> None:
        try:
            answer.results.append(call())
        except BaseException as error:
            answer.error = error
        answer.report()

    PoolThread(name, run).start()
    return await answer.wait()
