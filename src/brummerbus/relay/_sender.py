"""From the spool to the broker, in the relay's loop.

Guarantees
- At most a window of events is unanswered at a time.
- After a connection was lost, everything from the first unacknowledged event on is sent again, in
  order. What the broker had stored of it, it recognises by its id, so the order that it stores is
  that of the spool, whatever was under way on the old connection.
- Events that the broker cannot store now (no space) are kept; sending goes on from the first of
  them once the others are answered. Those that it will never store are dropped, and reported.
- The client's own time-outs are not relied on: when the oldest event was not answered for
  `ack_timeout`, the connection counts as lost.
"""

import asyncio
from contextlib import suppress
from time import monotonic

from brummerbus._arguments import shown
from brummerbus.relay._broker import BrokerError, Lost, Message, Rejected, Session
from brummerbus.relay._report import RelayError, Reporter
from brummerbus.relay._spool import Spool
from brummerbus.relay._tuning import Tuning


class Sender:
    """Sends the events of a spool. Belongs to one event loop, except `wake`."""

    def __init__(self, spool: Spool, tuning: Tuning, reporter: Reporter) -> None:
        self._spool = spool
        self._tuning = tuning
        self._reporter = reporter
        self._loop: asyncio.AbstractEventLoop | None = None
        self._changed: asyncio.Event | None = None
        self._sleeps = False
        self._refused: BrokerError | None = None
        spool.on_put = self.wake

    def wake(self) -> None:
        """There is something in the spool; from any thread."""
        if self._sleeps:
            self._sleeps = False
            loop, changed = self._loop, self._changed
            assert loop is not None
            assert changed is not None
            with suppress(RuntimeError):  # the loop is closed: the relay was stopped
                loop.call_soon_threadsafe(changed.set)

    async def run(self, session: Session) -> None:
        """Send on one connection, until it is lost.

        Raises:
            BrokerError: It is lost, or counts as lost.
        """
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._refused = None
        self._spool.rewind()
        try:
            while True:
                await self._step(session)
        finally:
            self._sleeps = False

    async def _step(self, session: Session) -> None:
        """Send what can be sent now, then wait for something new."""
        assert self._changed is not None
        if self._refused is not None and not self._spool.unanswered:
            await asyncio.sleep(self._tuning.refused)
            self._refused = None
            self._spool.rewind()
        self._changed.clear()
        if self._refused is not None:
            await self._wait()
            return
        entries, is_full = self._spool.take(self._tuning.window, self._tuning.window_bytes)
        if entries:
            await session.send([entry.message for entry in entries], self._answered)
            # The client writes in a task of its own, and reads the answers in another.
            await asyncio.sleep(0)
            return
        self._sleeps = not is_full
        if is_full or not self._spool.has_next:  # else it was put in between
            await self._wait()
        self._sleeps = False

    async def _wait(self) -> None:
        """Wait for an answer or for something to send; raise if the oldest event waits too long."""
        assert self._changed is not None
        oldest = self._spool.oldest_unanswered()
        left = None if oldest is None else oldest + self._tuning.ack_timeout - monotonic()
        if left is not None and left <= 0:
            seconds = self._tuning.ack_timeout
            raise Lost(f"the broker has not acknowledged an event for {seconds:g} s")
        with suppress(
            TimeoutError, asyncio.TimeoutError
        ):  # the next round looks what is oldest then
            await asyncio.wait_for(self._changed.wait(), left)

    def _answered(self, message: Message, error: Exception | None) -> None:
        """The broker has answered for an event."""
        if error is None:
            self._spool.answer(message)
            if self._refused is None:
                self._reporter.over("store")
        elif isinstance(error, Rejected):
            self._spool.answer(message, dropped="rejected")
            text = f"an event of type {shown(message.type)} was dropped: {error}"
            self._reporter.error(RelayError(text, message.type))
        else:
            self._spool.defer(message)
            self._refused = error if isinstance(error, BrokerError) else Lost(str(error))
            self._reporter.once("store", self._refused)
        if self._changed is not None:
            self._changed.set()
