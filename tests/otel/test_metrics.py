"""Metrics of buses by OpenTelemetry."""

import gc
import logging
import weakref
from typing import Any

import pytest

pytest.importorskip("opentelemetry.sdk", reason="needs opentelemetry-sdk")


from brummerbus import Event, EventBus
from brummerbus.otel import instrument
from helpers.buses import BusFactory
from helpers.handlers import Recorder
from helpers.internals import cached_route
from helpers.processes import modules_after, run_python
from helpers.telemetry import Telemetry
from helpers.waiting import HANG, poll

# ---- metrics -------------------------------------------------------------------------------------


def test_the_metrics_are_what_the_bus_has_counted(
    factory: BusFactory, telemetry: Telemetry
) -> None:
    options: Any = {"queue_size": 4, "policy": "drop_newest", "on_error": lambda *_: None}
    bus = factory.bus(name="shop", workers=2, **options)
    bus.subscribe("good", Recorder())
    bus.subscribe("bad", lambda _: 1 // 0)
    instrument(bus, **telemetry.providers)
    for event_type in ("good", "good", "bad"):
        bus.publish(Event(event_type))
        assert bus.flush(HANG)
    factory.hold(bus)
    for _ in range(5):
        bus.publish(Event("good"), priority=1)
    poll(lambda: bus.stats().oldest_queued > 0)

    def value(name: str, **attributes: Any) -> Any:
        return telemetry.value(name, brummerbus__bus="shop", **attributes)

    sent, consumed = "messaging.client.sent.messages", "messaging.client.consumed.messages"
    common = {"messaging__system": "brummerbus", "messaging__destination__name": "good"}
    assert value(sent, messaging__operation__name="publish", **common) == 7
    points = telemetry.metrics()[consumed]
    assert {
        (dict(key)["messaging.destination.name"], dict(key).get("error.type")): number
        for key, number in points.items()
    } == {
        ("good", None): 2,
        ("good", "_OTHER"): 0,
        ("bad", None): 0,
        ("bad", "_OTHER"): 1,
        ("gate", None): 0,
        ("gate", "_OTHER"): 0,
    }
    assert value("brummerbus.dropped", brummerbus__reason="refused", brummerbus__level=1) == 1
    assert value("brummerbus.queue.depth", brummerbus__level=1) == 4
    assert value("brummerbus.queue.capacity") == 4
    assert value("brummerbus.queue.oldest") > 0
    assert value("brummerbus.workers.busy_time") > 0
    assert value("brummerbus.workers", brummerbus__state="busy") == 2
    assert value("brummerbus.workers", brummerbus__state="idle") == 0


def test_metrics_leave_the_path_of_a_publish_as_it_is(
    factory: BusFactory, telemetry: Telemetry
) -> None:
    """The route needs no plan, so C alone does it."""
    bus = factory.bus()
    bus.subscribe("a", Recorder())
    instrument(bus, **telemetry.providers)
    bus.publish(Event("a"))
    route = cached_route(bus, Event("a"))
    assert route is not None
    assert route.plan is None


def test_several_buses_share_the_instruments(
    factory: BusFactory, telemetry: Telemetry, caplog: pytest.LogCaptureFixture
) -> None:
    """A second set would be duplicates, of which the SDK warns."""
    with caplog.at_level(logging.WARNING):
        for name in ("one", "two"):
            instrument(factory.bus(name=name, queue_size=7), **telemetry.providers)
        points = telemetry.metrics()["brummerbus.queue.capacity"]
    assert {dict(key)["brummerbus.bus"]: value for key, value in points.items()} == {
        "one": 7,
        "two": 7,
    }
    assert caplog.records == []


def test_an_uninstrumented_bus_is_not_observed_and_can_be_instrumented_again(
    factory: BusFactory, telemetry: Telemetry
) -> None:
    bus = factory.bus(name="bus")
    bus.subscribe("a", Recorder())
    for _ in range(2):
        instrumentation = instrument(bus, spans=True, **telemetry.providers)
        bus.publish(Event("a"))
        assert bus.flush(HANG)
        assert telemetry.value("brummerbus.queue.capacity", brummerbus__bus="bus") == 10
        instrumentation.uninstrument()
        instrumentation.uninstrument()
        assert telemetry.metrics() == {}
        bus.publish(Event("a"))
        assert bus.flush(HANG)
        route = cached_route(bus, Event("a"))
        assert route is not None
        assert route.plan is None
    assert len(telemetry.producers()) == len(telemetry.consumers()) == 2


def test_instrumenting_keeps_no_bus(telemetry: Telemetry) -> None:
    with EventBus(workers=1) as bus:
        instrumentation = instrument(bus, spans=True, **telemetry.providers)
    reference = weakref.ref(bus)
    del bus
    gc.collect()
    assert reference() is None
    instrumentation.uninstrument()


def test_what_cannot_be_instrumented_is_refused(factory: BusFactory, telemetry: Telemetry) -> None:
    with pytest.raises(TypeError, match="bus must be an EventBus, got 'bus'"):
        instrument("bus")  # type: ignore[arg-type]
    bus = factory.bus()
    with pytest.raises(TypeError, match="spans must be True or False, got 1"):
        instrument(bus, spans=1)  # type: ignore[arg-type]
    for name, kind in (("meter_provider", "MeterProvider"), ("tracer_provider", "TracerProvider")):
        with pytest.raises(TypeError, match=f"{name} must be a {kind} or None, got 3"):
            instrument(bus, **{**telemetry.providers, name: 3})  # type: ignore[arg-type]
    instrument(bus, **telemetry.providers)
    with pytest.raises(ValueError, match="bus must not be instrumented already, got <EventBus"):
        instrument(bus, **telemetry.providers)


def test_what_ended_once_does_not_end_what_began_after_it(
    factory: BusFactory, telemetry: Telemetry
) -> None:
    bus = factory.bus(name="bus")
    first = instrument(bus, **telemetry.providers)
    first.uninstrument()
    second = instrument(bus, **telemetry.providers)
    first.uninstrument()
    assert telemetry.value("brummerbus.queue.capacity", brummerbus__bus="bus") == 10
    second.uninstrument()
    assert telemetry.metrics() == {}


# ---- what it needs -------------------------------------------------------------------------------


def test_the_package_does_not_import_opentelemetry() -> None:
    assert modules_after("import brummerbus").isdisjoint({"opentelemetry", "brummerbus.otel"})


def test_without_the_api_the_message_names_the_extra() -> None:
    without = "import sys; sys.modules['opentelemetry'] = None"
    ended = run_python("import brummerbus.otel", first=without)
    assert ended.code == 1
    assert "brummerbus.otel needs opentelemetry-api: pip install 'brummerbus[otel]'" in ended.err
