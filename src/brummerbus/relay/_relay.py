"""`Relay`: connects a bus to the buses of other processes and machines, through a broker.

The parts, each in a module: `_outgoing` (bus to spool), `_spool`, `_sender` (spool to broker),
`_receiver` (broker to bus), `_answers` (what the broker learns of what came), `_link` (the thread,
and connecting), `_process` (what belongs to one process), `_envelope`, `_codec`, `_subjects`; and
behind `_broker`, the interface, what knows a broker: `_nats*`, `_redis*`.
"""

import atexit
import logging
import os
import re
import threading
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, TypeVar

from brummerbus import BackpressurePolicy, BusClosed, EventBus
from brummerbus._arguments import check_int, check_timeout, shown
from brummerbus._core.callables import check_hook
from brummerbus._core.handlers import check_event_type
from brummerbus._text import counted
from brummerbus.relay import _tuning
from brummerbus.relay._codec import Codec
from brummerbus.relay._outgoing import subscribe
from brummerbus.relay._process import Patience, Process, Settings
from brummerbus.relay._report import OnError, RelayError, Reporter
from brummerbus.relay._stats import RelayStats
from brummerbus.relay._subjects import check_namespace

R = TypeVar("R", bound="Relay")

MAX_SPOOL = 16_777_216
_GROUP = re.compile(r"[A-Za-z0-9_-]{1,64}")

_running: "set[Relay]" = set()
"""Those that were not stopped: they run whether the program refers to them or not."""

_abandoned: list[Process] = []
"""Of parents of forks: freeing their event loops would disturb those of the parent."""


class Relay:
    """Sends events of a bus to other buses, and publishes theirs here, through a message broker.

    It runs from construction on, whether the broker is there or not: it connects for ever. As a
    context manager it is stopped at the end of the block, before its bus. One that is never stopped
    sends at interpreter exit, after the bus has drained.

    An event that was sent arrives at least once, also if the connection, the broker or a receiver
    fails on the way, unless the broker loses what it has stored, or the sender ends before the
    broker has stored it. Copies are recognised by the receiver, as long as it runs. Events that one
    entry of `send` matches keep their order, but for those that were given back.

    `publish` never waits for the network. What is sent is encoded in a worker and put into the
    spool; what comes is published by the relay's own thread, only into free slots.

    In the child of a fork it sends on a connection and with a spool of its own, from the first such
    event on, and receives nothing. All methods can be called from any thread.

    Args:
        bus: The bus.
        url: The broker: `nats://host:4222`, `tls://...`, several with commas between; or
            `redis://...`. None: this machine's own nats-server, which is started if it does not
            run; loopback only, with a token that only this user can read.
        send: Event types and globs of what other buses get. Only events, no other objects.
        receive: Event types and globs of what comes from other buses.
        group: None: this bus gets each event. A name: each event goes to one of the buses that
            give this name. Letters, digits, `-` and `_`.
        namespace: Buses with the same one are connected.
        codec: "json" or, with msgspec installed, "msgpack"; what comes is decoded by what it says.
        spool: How many events wait for the broker, 1 to 16,777,216; at most 64 MiB of them.
        spool_policy: What is dropped if there are more: a `BackpressurePolicy`, or its name.
            `BLOCK`: nothing, a worker of the bus waits. With `REJECT` each is reported. Not
            `CALLER_RUNS`.
        on_error: Called as `on_error(error)`, in any thread, with a `BusError` for each event that
            cannot be sent or handled, and once when the connection fails, or fails for another
            reason. Default: the logger `brummerbus`.
        connect: Further arguments of the client's own connect function: `tls`, `user_credentials`,
            `nkeys_seed` and so on.

    Raises:
        TypeError, ValueError: An argument is of the wrong type or out of range.
        ImportError: The client is not installed; the message names the extra.
        BusClosed: The bus is stopped.
        BusError: The embedded server cannot be started.
    """

    def __init__(
        self,
        bus: EventBus,
        url: str | None = None,
        *,
        send: Iterable[str] = (),
        receive: Iterable[str] = (),
        group: str | None = None,
        namespace: str = "brummer",
        codec: str = "json",
        spool: int = 10_000,
        spool_policy: BackpressurePolicy | str = BackpressurePolicy.BLOCK,
        on_error: OnError | None = None,
        connect: Mapping[str, Any] | None = None,
    ) -> None:
        if not isinstance(bus, EventBus):
            raise TypeError(f"bus must be an EventBus, got {shown(bus)}")
        if bus.closed:
            raise BusClosed(f"{bus.name}: the bus is stopped")
        check_hook("on_error", on_error, ("error",))
        self._bus = bus
        self._settings = Settings(
            bus=bus,
            url=url,
            send=_event_types("send", send),
            receive=_event_types("receive", receive),
            group=_check_group(group),
            namespace=check_namespace(namespace),
            codec=Codec(codec),
            spool=check_int("spool", spool, 1, MAX_SPOOL),
            policy=_policy(spool_policy),
            options=_options(connect),
            reporter=Reporter(f"{bus.name}: relay", on_error),
            tuning=_tuning.TUNING,
        )
        self._stopped: bool | None = None
        self._stopping = threading.Lock()
        process = Process(self._settings, receives=True)
        self._processes = {process.pid: process}
        process.start()
        self._subscriptions = subscribe(bus, self._settings.send, self._take)
        _running.add(self)
        atexit.register(self._stop_at_exit)

    def _here(self) -> Process:
        """Return what belongs to this process; in the child of a fork, something new."""
        pid = os.getpid()
        process = self._processes.get(pid)
        if process is None:
            _abandoned.extend(self._processes.values())
            self._stopping = threading.Lock()
            process = self._processes.setdefault(pid, Process(self._settings, receives=False))
        process.start()
        return process

    def _take(self, position: int, events: Sequence[Any]) -> None:
        """Spool events, in a worker of the bus."""
        try:
            process = self._here()
        except Exception as error:  # in the child of a fork, without an embedded server
            text = f"{counted(len(events), 'event')} not sent: {error}"
            self._settings.reporter.error(RelayError(text))
            return
        process.outgoing.take(position, events)

    @property
    def bus(self) -> EventBus:
        """The bus."""
        return self._bus

    @property
    def connected(self) -> bool:
        """Whether there is a connection, and what is to be received is."""
        return self._here().link.ready.is_set()

    def wait_connected(self, timeout: float | None = None) -> bool:
        """Wait until there is a connection, and the broker keeps what is to be received.

        Events that other buses send from then on come here. Not needed before publishing.

        Returns:
            Whether there is; False: the time was over.

        Raises:
            TypeError, ValueError: `timeout` is no number of seconds.
        """
        limit = None if timeout is None else check_timeout("timeout", timeout)
        if limit == float("inf"):
            limit = None
        return self._here().link.ready.wait(limit)

    def stats(self) -> RelayStats:
        """Return all figures, of this process. Costs some microseconds."""
        return self._here().stats()

    def stop(self, *, timeout: float | None = None) -> bool:
        """Stop receiving, finish what came, send what is spooled, disconnect. Idempotent.

        Events that were published before are sent. Handlers of this bus may still publish while
        what came is handled. In a handler of the bus it begins the stop and returns False.

        Args:
            timeout: Seconds for all of that, at most. None: as long as handlers end and the broker
                acknowledges; it is given up once nothing has for the `shutdown_timeout` of the bus.

        Returns:
            Whether nothing was left. What is left is dropped, counted, and logged.

        Raises:
            TypeError, ValueError: `timeout` is no number of seconds.
            BusError: It receives, and this is the thread of an event loop that runs coroutine
                handlers of its bus, for which it would wait: `await asyncio.to_thread(relay.stop)`.
                Nothing has changed. With a `timeout` of 0 it may be called there.
        """
        limit = None if timeout is None else check_timeout("timeout", timeout)
        if self._bus._here().queue.is_inside():  # noqa: SLF001
            threading.Thread(
                target=self._stop, args=(limit,), name=f"{self._bus.name}-relay-stop", daemon=True
            ).start()
            return False
        if self._settings.receive and self._stopped is None:
            wait = 1.0 if limit is None else limit
            self._bus._check_not_in_loop("relay.stop", wait, "asyncio.to_thread(relay.stop)")  # noqa: SLF001
        return self._stop(limit)

    def _stop(self, timeout: float | None) -> bool:
        process = self._here()
        with self._stopping:
            if self._stopped is None:
                self._stopped = False
                self._stopped = self._stop_once(process, timeout)
            return self._stopped

    def _stop_once(self, process: Process, timeout: float | None) -> bool:
        standstill = self._bus.config.shutdown_timeout
        patience = Patience(timeout, float("inf") if standstill is None else standstill)
        try:
            process.drain(patience, self._stop_sending)
        finally:
            self._stop_sending()
            in_hand = process.stats().in_flight
            left = process.close()
            atexit.unregister(self._stop_at_exit)
            _running.discard(self)
        if left or in_hand:
            self._settings.reporter.log(
                logging.WARNING,
                "stopped with %s that the broker has not acknowledged, which are dropped, "
                "and %s in hand, which the broker delivers again",
                counted(left, "event"),
                in_hand,
            )
        return not left and not in_hand

    def _stop_at_exit(self) -> None:
        if os.getpid() in self._processes:  # else this is a fork, which has sent nothing
            self.stop()

    def _stop_sending(self) -> None:
        for subscription in self._subscriptions:
            subscription.cancel()

    def __enter__(self: R) -> R:  # noqa: PYI019 - `Self` came with Python 3.11
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        process = self._processes.get(os.getpid())
        state = "stopped" if self._stopped is not None else "not connected"
        if self._stopped is None and process is not None and process.link.ready.is_set():
            state = "connected"
        return f"<Relay of {self._bus.name!r}, {self._settings.namespace!r}, {state}>"


Relay.__module__ = "brummerbus.relay"


def _event_types(name: str, values: Iterable[str]) -> tuple[str, ...]:
    if isinstance(values, str):
        raise TypeError(f"{name} must be a list of event types, got {shown(values)}")
    try:
        found = tuple(values)
    except TypeError:
        raise TypeError(f"{name} must be a list of event types, got {shown(values)}") from None
    for value in found:
        if not isinstance(value, str):
            raise TypeError(
                f"{name} must have strings only, as only events travel, got {shown(value)}"
            )
        try:
            check_event_type(value)
        except ValueError:
            raise ValueError(f"{name} must have non-empty strings, got ''") from None
    return tuple(dict.fromkeys(map(str.__str__, found)))


def _options(connect: object) -> dict[str, Any]:
    if connect is None:
        return {}
    if not isinstance(connect, Mapping) or not all(isinstance(name, str) for name in connect):
        message = "connect must be a dict of arguments of the client's connect function, or None"
        raise TypeError(f"{message}, got <{type(connect).__name__}>")
    return dict(connect)


def _check_group(value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise TypeError(f"group must be a string or None, got {shown(value)}")
    if value is not None and not _GROUP.fullmatch(value):
        raise ValueError(
            f"group must be 1 to 64 letters, digits, '-' and '_', or None, got {shown(value)}"
        )
    return value


def _policy(value: object) -> BackpressurePolicy:
    policies = [one for one in BackpressurePolicy if one is not BackpressurePolicy.CALLER_RUNS]
    name = value.lower() if isinstance(value, str) else value
    for policy in policies:
        if name in (policy, policy.value):
            return policy
    names = ", ".join(repr(policy.value) for policy in policies)
    raise ValueError(f"spool_policy must be one of {names}, got {shown(value)}")
