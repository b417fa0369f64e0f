"""Observable instruments of OpenTelemetry, which read `stats()` when they are collected."""

import weakref
from collections.abc import Callable, Iterable, Iterator

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation

from brummerbus import EventBus
from brummerbus._exported import Exported, Figures

SYSTEM = "brummerbus"
"""`messaging.system`."""

SCHEMA = "https://opentelemetry.io/schemas/1.37.0"
"""The version of the conventions, which are in development."""

Observe = Callable[[str, Figures], Iterable[Observation]]


def _sent(bus: str, figures: Figures) -> Iterator[Observation]:
    for event_type, (published, _, _) in figures.counters.by_type.items():
        yield Observation(published, _operation(bus, "publish", event_type))


def _consumed(bus: str, figures: Figures) -> Iterator[Observation]:
    for event_type, (_, processed, failed) in figures.counters.by_type.items():
        attributes = _operation(bus, "process", event_type)
        yield Observation(processed - failed, attributes)
        yield Observation(failed, {**attributes, "error.type": "_OTHER"})


def _operation(bus: str, operation: str, event_type: str) -> dict[str, str]:
    return {
        "messaging.system": SYSTEM,
        "messaging.operation.name": operation,
        "messaging.destination.name": event_type,
        "brummerbus.bus": bus,
    }


def _dropped(bus: str, figures: Figures) -> Iterator[Observation]:
    for (reason, level), number in figures.counters.dropped.items():
        attributes: dict[str, str | int] = {"brummerbus.bus": bus, "brummerbus.reason": reason}
        yield Observation(number, {**attributes, "brummerbus.level": level})


def _busy_time(bus: str, figures: Figures) -> Iterator[Observation]:
    if figures.counters.is_timed:
        yield Observation(figures.counters.busy_time, {"brummerbus.bus": bus})


def _depth(bus: str, figures: Figures) -> Iterator[Observation]:
    if figures.gauges is not None:
        for level, depth in figures.gauges.queue_depth.items():
            yield Observation(depth, {"brummerbus.bus": bus, "brummerbus.level": level})


def _capacity(bus: str, figures: Figures) -> Iterator[Observation]:
    if figures.gauges is not None:
        yield Observation(figures.gauges.capacity, {"brummerbus.bus": bus})


def _oldest(bus: str, figures: Figures) -> Iterator[Observation]:
    if figures.gauges is not None and figures.counters.is_timed:
        yield Observation(figures.gauges.oldest, {"brummerbus.bus": bus})


def _workers(bus: str, figures: Figures) -> Iterator[Observation]:
    if figures.gauges is not None:
        for state, number in (("busy", figures.gauges.busy), ("idle", figures.gauges.idle)):
            yield Observation(number, {"brummerbus.bus": bus, "brummerbus.state": state})


class Instruments:
    """The instruments of one meter provider, for all buses that are instrumented with it.

    There is one set for each provider, as instruments cannot be taken back.
    """

    def __init__(self, provider: MeterProvider | None) -> None:
        self._exported: Exported | None = None
        meter = metrics.get_meter(SYSTEM, meter_provider=provider, schema_url=SCHEMA)
        counter, gauge = meter.create_observable_counter, meter.create_observable_gauge
        message = "{message}"
        for create, name, observe, unit, text in (
            (counter, "messaging.client.sent.messages", _sent, message, "Deliveries published."),
            (counter, "messaging.client.consumed.messages", _consumed, message, "Handled."),
            (counter, "brummerbus.dropped", _dropped, message, "Deliveries dropped."),
            (counter, "brummerbus.workers.busy_time", _busy_time, "s", "Time in handlers."),
            (gauge, "brummerbus.queue.depth", _depth, message, "Deliveries that wait."),
            (gauge, "brummerbus.queue.capacity", _capacity, message, "Slots for publishers."),
            (gauge, "brummerbus.queue.oldest", _oldest, "s", "How long the oldest has waited."),
            (gauge, "brummerbus.workers", _workers, "{thread}", "Worker threads."),
        ):
            create(name, [self._callback(observe)], unit, text)

    def _callback(self, observe: Observe) -> Callable[[CallbackOptions], list[Observation]]:
        def callback(_options: CallbackOptions) -> list[Observation]:
            figures = {} if self._exported is None else self._exported.read()
            return [one for bus, figure in figures.items() for one in observe(bus, figure)]

        return callback

    def add(self, bus: EventBus) -> None:
        """Observe a bus."""
        if self._exported is None:
            self._exported = Exported(bus)
        else:
            self._exported.add(bus)

    def remove(self, bus: EventBus) -> None:
        """Observe a bus no more."""
        if self._exported is not None:
            self._exported.remove(bus)


_global: list[Instruments] = []
_of_providers: "weakref.WeakKeyDictionary[MeterProvider, Instruments]" = weakref.WeakKeyDictionary()


def instruments(provider: MeterProvider | None) -> Instruments:
    """Return the instruments of a provider; None: the global one, also if it is set later."""
    if provider is None:
        if not _global:
            _global.append(Instruments(None))
        return _global[0]
    found = _of_providers.get(provider)
    if found is None:
        found = _of_providers[provider] = Instruments(provider)
    return found
