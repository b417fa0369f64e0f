"""Metrics and spans for OpenTelemetry: `instrument(bus)`.

The names are those of the conventions for messaging, which are in development; they may change.
"""

import threading
import weakref
from collections.abc import Callable

try:
    from opentelemetry import trace
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider
except ImportError as _missing:
    raise ImportError(
        "brummerbus.otel needs opentelemetry-api: pip install 'brummerbus[otel]'"
    ) from _missing

from brummerbus import EventBus
from brummerbus._arguments import check_bool, shown
from brummerbus.otel._metrics import SCHEMA, SYSTEM, instruments
from brummerbus.otel._spans import Spans

__all__ = ["Instrumentation", "instrument"]

_lock = threading.Lock()
_instrumented: "weakref.WeakKeyDictionary[EventBus, Instrumentation]" = weakref.WeakKeyDictionary()


def instrument(
    bus: EventBus,
    *,
    spans: bool = False,
    meter_provider: MeterProvider | None = None,
    tracer_provider: TracerProvider | None = None,
) -> "Instrumentation":
    """Show what a bus counts to OpenTelemetry, and with `spans` trace each publish and delivery.

    The metrics are observable counters and gauges, which read `stats()` when they are collected:
    publishing costs nothing more. Histograms cannot be handed to OpenTelemetry from outside;
    `brummerbus.prometheus` has them.

    With `spans`, each publish that makes deliveries is a producer span, and each call of a handler
    a consumer span with a link to it; handlers run in a context of their own. Spans take locks of
    the SDK: do not publish in signal handlers and finalizers then.

    From any thread. The bus is not kept.

    Args:
        bus: The bus.
        spans: Whether to make spans.
        meter_provider: Where the metrics go; None: the global one, which may be set later.
        tracer_provider: Where the spans go; the same.

    Returns:
        What ends it again.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: The bus is instrumented already.
    """
    if not isinstance(bus, EventBus):
        raise TypeError(f"bus must be an EventBus, got {shown(bus)}")
    check_bool("spans", spans)
    _check_provider("meter_provider", meter_provider, MeterProvider)
    _check_provider("tracer_provider", tracer_provider, TracerProvider)
    traced = None
    if spans:
        tracer = trace.get_tracer(SYSTEM, tracer_provider=tracer_provider, schema_url=SCHEMA)
        propagate = bus.config.propagate_context
        traced = Spans(bus.name, tracer, propagate=propagate).publish
    with _lock:
        if bus in _instrumented:
            raise ValueError(f"bus must not be instrumented already, got {shown(bus)}")
        found = instruments(meter_provider)
        found.add(bus)
        made = _instrumented[bus] = Instrumentation(bus, found.remove)
        if traced is not None:
            bus._set_trace(traced)
    return made


def _check_provider(name: str, value: object, kind: type) -> None:
    if value is not None and not isinstance(value, kind):
        raise TypeError(f"{name} must be a {kind.__name__} or None, got {shown(value)}")


class Instrumentation:
    """An instrumented bus; created by `instrument`."""

    def __init__(self, bus: EventBus, remove: Callable[[EventBus], object]) -> None:
        self._bus = weakref.ref(bus)
        self._remove = remove

    def uninstrument(self) -> None:
        """End metrics and spans of the bus; idempotent. From any thread.

        The instruments stay, without values: OpenTelemetry cannot take them back. Deliveries that
        are queued still have their spans.
        """
        bus = self._bus()
        with _lock:
            if bus is None or _instrumented.get(bus) is not self:
                return  # it may be instrumented again
            del _instrumented[bus]
            self._remove(bus)
            bus._set_trace(None)
