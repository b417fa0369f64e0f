"""What a relay has in one process: identity, spool, connection. A forked child makes its own."""

import math
import os
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import Any
from urllib.parse import quote

from brummerbus import BackpressurePolicy, BusError, EventBus
from brummerbus.relay._adapters import broker_for, leave
from brummerbus.relay._broker import Broker
from brummerbus.relay._codec import Codec
from brummerbus.relay._envelope import escape
from brummerbus.relay._link import Link
from brummerbus.relay._outgoing import Outgoing
from brummerbus.relay._receiver import Receiver, Subscribed
from brummerbus.relay._report import Reporter
from brummerbus.relay._sender import Sender
from brummerbus.relay._slot import Slot, host, safe
from brummerbus.relay._spool import Spool
from brummerbus.relay._stats import RelayStats
from brummerbus.relay._subjects import Globs
from brummerbus.relay._tuning import Tuning

SLICE = 0.05
"""Seconds between two looks whether something has moved."""

_NOTHING = dict.fromkeys(("received", "handled", "in_flight", "duplicates", "redeliver", "dead"), 0)
"""The figures of a receiver, where there is none."""


@dataclass(frozen=True)
class Settings:
    """What a relay was asked for, checked."""

    bus: EventBus
    url: str | None
    send: Sequence[str]
    receive: Sequence[str]
    group: str | None
    namespace: str
    codec: Codec
    spool: int
    policy: BackpressurePolicy
    options: Mapping[str, Any]
    reporter: Reporter
    tuning: Tuning


class Process:
    """The parts of a relay, put together.

    Raises:
        As `broker_for`.
    """

    def __init__(self, settings: Settings, *, receives: bool) -> None:
        self.pid = os.getpid()
        self._settings = settings
        bus, tuning, reporter = settings.bus, settings.tuning, settings.reporter
        self.instance = secrets.token_hex(6)
        name = quote(bus.name, safe="")
        self.source = f"brummerbus://{quote(host(), safe='')}/{name}/{self.instance}"
        self._broker: Broker = broker_for(settings.url, settings.namespace, settings.options)
        self.spool = Spool(settings.spool, tuning.spool_bytes, settings.policy)
        self._sender = Sender(self.spool, tuning, reporter)
        self.outgoing = Outgoing(
            bus,
            self.spool,
            Globs(settings.send),
            settings.codec,
            source=escape(self.source),
            instance=self.instance,
            max_hops=tuning.max_hops,
            reporter=reporter,
        )
        self._slot: Slot | None = None
        self.receiver = self._make_receiver() if receives and settings.receive else None
        self.link = Link(
            f"{bus.name}-relay", self._broker, self._sender, self.receiver, tuning, reporter
        )
        self._start = threading.Lock()
        self._started = False

    def _make_receiver(self) -> Receiver:
        settings = self._settings
        if settings.group is None:
            self._slot = Slot(settings.namespace, settings.bus.name)
            name = self._slot.name
        else:
            name = safe(settings.group)
        wanted = Subscribed(settings.receive, name, shared=settings.group is not None)
        own = settings.bus, wanted, self.source, settings.tuning, settings.reporter
        return Receiver(*own)

    def start(self) -> None:
        """Start the thread, once."""
        with self._start:
            if not self._started:
                self._started = True
                self.link.start()

    # ---- the end -----------------------------------------------------------------------------

    def drain(self, patience: "Patience", stop_sending: Callable[[], object]) -> None:
        """Finish what is in hand, and send what is spooled, as long as the patience lasts."""
        receiver, bus = self.receiver, self._settings.bus
        if receiver is not None:
            receiver.closed = True
            patience.wait(lambda: not receiver.in_flight, receiver.figures)
        stop_sending()
        with suppress(BusError):  # in a handler, or where one would wait for itself
            if not bus.closed:
                patience.wait(lambda: bus.barrier(SLICE), lambda: bus.stats().processed, pause=0.0)
        spool = self.spool
        patience.wait(lambda: not len(spool), lambda: spool.figures()["acked"])

    def close(self) -> int:
        """Close the connection, and drop what is spooled; return how much that is."""
        self.link.end()
        left = self.spool.close()
        if self._slot is not None:
            self._slot.release()
        leave(self._broker)
        return left

    def stats(self) -> RelayStats:
        """Return the figures."""
        receiver, link = self.receiver, self.link
        received: dict[str, Any] = _NOTHING if receiver is None else receiver.figures()
        figures: dict[str, Any] = self.spool.figures()
        return RelayStats(
            **figures,
            **received,
            lag=None if receiver is None else receiver.lag,
            connected_since=link.connected_since,
            connects=link.connects,
        )


class Patience:
    """How long a stop waits: up to a time, or as long as something moves.

    Args:
        timeout: Seconds in all, or None.
        standstill: Without a time-out: seconds in which nothing moves, after which it is given up.
    """

    def __init__(self, timeout: float | None, standstill: float) -> None:
        self._until = math.inf if timeout is None else monotonic() + timeout
        self._standstill = standstill if timeout is None else math.inf
        self._pause = threading.Event()

    def wait(
        self,
        is_done: Callable[[], bool],
        progress: Callable[[], object],
        *,
        pause: float = SLICE / 5,
    ) -> bool:
        """Wait until something is done; return whether it is."""
        last, since = progress(), monotonic()
        while not is_done():
            now = monotonic()
            if (seen := progress()) != last:
                last, since = seen, now
            if now >= self._until or now - since >= self._standstill:
                return False
            self._pause.wait(min(pause, max(0.0, self._until - now)))
        return True
