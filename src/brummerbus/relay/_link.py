"""The thread of a relay: one event loop, which connects for ever, sends and receives.

It is a daemon thread: a program that ends without stopping its relay is not held up by a network
that is gone; the relay's hook of `atexit` sends what is left first.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from brummerbus.relay._broker import Broker, BrokerError, Lost, Session
from brummerbus.relay._receiver import Receiver
from brummerbus.relay._report import Reporter
from brummerbus.relay._sender import Sender
from brummerbus.relay._tasks import end_all
from brummerbus.relay._tuning import Tuning

JOIN = 5.0
"""Seconds that the end of the thread may take."""


class Link:
    """Connects a sender and, if anything is received, a receiver to the broker.

    Args:
        name: That of the thread.
        broker: Where sessions come from.
        sender: Runs on each session.
        receiver: Likewise, or None.
        tuning: The times.
        reporter: Where failures go.
    """

    def __init__(
        self,
        name: str,
        broker: Broker,
        sender: Sender,
        receiver: Receiver | None,
        tuning: Tuning,
        reporter: Reporter,
    ) -> None:
        self._broker = broker
        self._sender = sender
        self._receiver = receiver
        self._tuning = tuning
        self._reporter = reporter
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ending: asyncio.Event | None = None
        self._end_asked = False
        self.connected_since: float | None = None
        self.connects = 0
        self.ready = threading.Event()
        """Set while there is a connection, and the receiver, if any, receives."""
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def end(self) -> bool:
        """Close the connection and end the thread; return whether it has ended."""
        self._end_asked = True
        loop, ending = self._loop, self._ending
        if loop is not None and ending is not None:
            with suppress(RuntimeError):  # it has ended
                loop.call_soon_threadsafe(ending.set)
        self._thread.join(JOIN)
        return not self._thread.is_alive()

    # ---- in the thread -----------------------------------------------------------------------

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as error:
            self._reporter.bug("the relay's thread", error)
        finally:
            self.connected_since = None
            self.ready.clear()

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._ending = asyncio.Event()
        self._loop.set_exception_handler(self._note)
        if self._end_asked:
            return
        publishing = None
        if self._receiver is not None:
            publishing = asyncio.ensure_future(self._receiver.publish())
        try:
            while not self._ending.is_set():
                delay = await self._connect_once()
                with suppress(TimeoutError, asyncio.TimeoutError):
                    await asyncio.wait_for(self._ending.wait(), delay)
        finally:
            if publishing is not None:
                await end_all([publishing])

    def _note(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Log what a task of the client died of: that the connection is lost is noticed anyway."""
        message, error = context.get("message"), context.get("exception")
        self._reporter.log(logging.DEBUG, "%s: %r", message, error)

    async def _connect_once(self) -> float:
        """Connect, and use the connection until it is lost; return how long to wait then."""
        try:
            session = await self._broker.connect()
        except Lost as error:
            self._reporter.once("connection", error)
            return self._tuning.retry
        except BrokerError as error:
            self._reporter.once("connection", error)
            return self._tuning.refused
        except Exception as error:
            self._reporter.bug("connecting", error, "connection")
            return self._tuning.refused
        return await self._use(session)

    async def _use(self, session: Session) -> float:
        self.connects += 1
        self.connected_since = time.time()
        if self._receiver is None:
            self.ready.set()
        if self._reporter.over("connection"):
            self._reporter.log(logging.WARNING, "connected to %s again", session.server)
        try:
            error = await self._until_one_ends(session)
        finally:
            self.ready.clear()
            self.connected_since = None
            await session.close()
        if error is None:
            return 0.0
        if isinstance(error, BrokerError):
            self._reporter.once("connection", error)
            return 0.0 if isinstance(error, Lost) else self._tuning.refused
        self._reporter.bug("the connection", error, "connection")
        return self._tuning.refused

    async def _until_one_ends(self, session: Session) -> BaseException | None:
        """Send and receive until something fails, or the end is asked for; return what failed."""
        assert self._ending is not None
        work: list[Coroutine[Any, Any, object]] = [
            self._sender.run(session),
            self._check(session),
            self._wait_lost(session),
            self._ending.wait(),
        ]
        if self._receiver is not None:
            work.append(self._receiver.run(session, self.ready.set))
        tasks = [asyncio.ensure_future(one) for one in work]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await end_all(tasks)
        return next((task.exception() for task in done if task.exception()), None)

    async def _check(self, session: Session) -> None:
        while True:
            await asyncio.sleep(self._tuning.check_interval)
            await session.check()

    async def _wait_lost(self, session: Session) -> None:
        raise await session.wait_lost()
