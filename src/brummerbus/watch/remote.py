"""Watchers of several machines in one picture: what each finds is sent to all others.

Events travel on a bus of their own, so that a network that is gone holds up nothing here. What
comes is published on the bus of the watcher, with the type `remote.<type>`, and with the names of
processes as `name@host`. Such events are stored, shown and counted, and not searched or sent again.
"""

import socket
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable
from dataclasses import asdict, replace
from typing import Any

from brummerbus import BackpressurePolicy, Event, EventBus, EventType
from brummerbus.watch.payloads import (
    BuildEvent,
    ErrorFound,
    LogLines,
    ProcessExited,
    ProcessStarted,
    TestResult,
)

LOCAL = "local"
"""In place of an address: the server of this machine."""

PREFIX = "remote."
NAMESPACE = "brummerbus-watch"

CLOCKS = 60.0
"""Seconds by which clocks of machines may differ. What was sent earlier, before this watcher began,
is of no interest."""

_PATIENCE = 5.0
"""Seconds that the end of the watcher waits for the broker, at most."""

_BATCH = 16
"""Reads of a pipe that are sent or handled at once."""

_PAYLOADS = (BuildEvent, ErrorFound, LogLines, ProcessExited, ProcessStarted, TestResult)
_BY_NAME: dict[str, Any] = {each.__name__: each for each in _PAYLOADS}
Handler = Callable[[Event], object]
BatchHandler = Callable[[list[Event]], object]
Payload = BuildEvent | ErrorFound | LogLines | ProcessExited | ProcessStarted | TestResult


class Remote:
    """A watcher's link to others, until `stop`. Thread-safe.

    Args:
        bus: The watcher's.
        url: The broker's address, or `LOCAL`.
        note: Called with what goes wrong.

    Raises:
        ImportError: The client of the broker is not installed.
        ValueError: The address is not understood.
        BusError: The server of this machine cannot be started.
    """

    def __init__(self, bus: EventBus, url: str, note: Callable[[str], object]) -> None:
        from brummerbus.relay import Relay, RelayedEvent  # noqa: PLC0415, for those who ask for it

        self._bus = bus
        self._relayed = RelayedEvent
        self._host = socket.gethostname() or "localhost"
        self._began = time.time()
        self._names: dict[str, dict[str, str]] = {}
        """What is behind the names of processes, by host and watcher."""
        self.lines = 0
        """How many lines have come from others."""
        self._between = EventBus(name="watch", workers=1, policy=BackpressurePolicy.DROP_OLDEST)
        self._between.subscribe("watch.*", self._receive)
        try:
            self._relay = Relay(
                self._between,
                None if url == LOCAL else url,
                send=["watch.*"],
                receive=["watch.*"],
                namespace=NAMESPACE,
                spool_policy=BackpressurePolicy.DROP_OLDEST,
                on_error=lambda error: note(f"relay: {error}"),
            )
        except BaseException:
            self._between.stop()
            raise
        for type in EventType:
            if type is not EventType.LOG_LINE:
                bus.subscribe(type, self.send, batch=_BATCH, max_concurrency=1)

    def show(
        self,
        *,
        lines: Iterable[BatchHandler],
        errors: Iterable[BatchHandler],
        processes: Iterable[Handler],
        found: Handler,
    ) -> None:
        """Subscribe handlers to what comes from others; `found` to all but lines."""
        for handle in lines:
            self._subscribe(EventType.LOG_LINE, handle)
        for handle in errors:
            self._subscribe(EventType.ERROR_DETECTED, handle)
        for handler in processes:
            self._bus.subscribe(f"{PREFIX}process.*", handler)
        for type in EventType:
            if type is not EventType.LOG_LINE:
                self._bus.subscribe(f"{PREFIX}{type.value}", found)

    def _subscribe(self, type: EventType, handler: BatchHandler) -> None:
        self._bus.subscribe(f"{PREFIX}{type.value}", handler, batch=_BATCH, max_concurrency=1)

    def stop(self) -> int:
        """Send what is left, receive no more; return how much was not sent."""
        self._between.flush(_PATIENCE)
        self._relay.stop(timeout=_PATIENCE)
        self._between.stop()
        return self._relay.stats().dropped + self._between.stats().dropped

    def send(self, events: list[Event]) -> None:
        """Send a batch to all others: of all types but lines, which are to be subscribed."""
        for event in events:
            kind = type(event.data).__name__
            data = {"host": self._host, "kind": kind, "payload": _plain(event.data)}
            self._between.publish(Event(f"watch.{event.type}", data, source=event.source))

    def _receive(self, event: Event) -> None:
        if not isinstance(event, self._relayed) or event.timestamp < self._began - CLOCKS:
            return
        data = event.data
        where = self._place(str(data["host"]), event.origin)
        payload = _payload(_BY_NAME[data["kind"]], data["payload"])
        named = replace(payload, process=f"{payload.process}@{where}")
        if isinstance(named, LogLines):
            self.lines += named.count
        type = event.type.removeprefix("watch.")
        self._bus.publish(Event(f"{PREFIX}{type}", named, source=named.process))

    def _place(self, host: str, origin: str) -> str:
        """Return what a watcher's processes are at: its host, with a number from the second on.

        Their lines are numbered from 0 again, and must not be taken for those of the first.
        """
        known = self._names.setdefault(host, {})
        return known.setdefault(origin, host if not known else f"{host}.{len(known) + 1}")


def _plain(payload: Payload) -> dict[str, Any]:
    """Return a payload as JSON has it."""
    data = asdict(payload)
    if isinstance(payload, LogLines):
        data["endings"] = list(payload.endings)
        data["raws"] = {str(n): b64encode(raw).decode() for n, raw in payload.raws.items()}
    return data


def _payload(kind: Any, data: dict[str, Any]) -> Payload:
    """Return a payload again; fields that this version does not know are left out."""
    if kind is LogLines:
        raws = {int(n): b64decode(raw) for n, raw in data["raws"].items()}
        data = {**data, "raws": raws, "endings": data["endings"] or ()}
    known = {name: data[name] for name in kind.__dataclass_fields__ if name in data}
    payload: Payload = kind(**known)
    return payload
