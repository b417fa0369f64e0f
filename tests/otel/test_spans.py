"""Spans of publishing and handling by OpenTelemetry."""

import contextvars
from typing import Any

import pytest

pytest.importorskip("opentelemetry.sdk", reason="needs opentelemetry-sdk")

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode

from brummerbus import Event, EventBus, QueueFull
from brummerbus.otel import instrument
from helpers.buses import BusFactory
from helpers.handlers import Recorder
from helpers.internals import overdue
from helpers.telemetry import Telemetry
from helpers.waiting import HANG, poll


def traced(factory: BusFactory, telemetry: Telemetry, **settings: Any) -> EventBus:
    """Return a bus with spans."""
    bus = factory.bus(**{"name": "traced", **settings})
    instrument(bus, spans=True, **telemetry.providers)
    return bus


def linked(span: ReadableSpan) -> list[int]:
    """Return the spans that a span has links to."""
    return [link.context.span_id for link in span.links]


def test_a_publish_is_a_producer_and_each_delivery_a_consumer_with_a_link(
    factory: BusFactory, telemetry: Telemetry
) -> None:
    """With the names of the conventions for messaging."""
    bus = factory.bus(name="shop")

    def confirm(event: Event) -> None:
        pass

    def index(event: Event) -> None:
        pass

    bus.subscribe("order.placed", confirm)
    instrument(bus, spans=True, **telemetry.providers)
    bus.subscribe("order.*", index)
    event = Event("order.placed", 17)
    with telemetry.tracer.start_as_current_span("request") as request:
        bus.publish(event)
    assert bus.flush(HANG)
    [producer], consumers = telemetry.producers(), telemetry.consumers()
    common = {
        "messaging.system": "brummerbus",
        "messaging.destination.name": "order.placed",
        "messaging.message.id": str(event.id),
        "brummerbus.bus": "shop",
    }
    assert producer.name == "publish order.placed"
    assert producer.parent == request.get_span_context()
    assert producer.attributes == {
        **common,
        "messaging.operation.name": "publish",
        "messaging.operation.type": "send",
    }
    assert [span.name for span in consumers] == ["process order.placed"] * 2
    for span, handler in zip(consumers, (confirm, index), strict=True):
        assert linked(span) == [producer.context.span_id]
        assert span.parent is None
        assert span.attributes == {
            **common,
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.destination.subscription.name": handler.__qualname__,
        }


def test_with_propagate_context_a_consumer_is_a_child_of_its_producer(
    factory: BusFactory, telemetry: Telemetry
) -> None:
    """And handlers have the publisher's context variables."""
    bus = traced(factory, telemetry, propagate_context=True)
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")
    seen = []
    bus.subscribe("a", lambda _: seen.append(variable.get()))
    token = variable.set("mine")
    bus.publish(Event("a"))
    variable.reset(token)
    assert bus.flush(HANG)
    [producer], [consumer] = telemetry.producers(), telemetry.consumers()
    assert consumer.parent == producer.context
    assert linked(consumer) == [producer.context.span_id]
    assert seen == ["mine"]


def test_spans_of_a_handler_are_children_of_its_consumer(
    factory: BusFactory, telemetry: Telemetry
) -> None:
    """What it publishes, too."""
    bus = traced(factory, telemetry)
    bus.subscribe("first", lambda _: bus.publish(Event("second")))
    bus.subscribe("second", lambda _: None)
    bus.publish(Event("first"))
    assert bus.flush(HANG)
    first = next(span for span in telemetry.consumers() if span.name == "process first")
    second = next(span for span in telemetry.producers() if span.name == "publish second")
    assert second.parent == first.context
    assert not trace.get_current_span().get_span_context().is_valid


def test_a_handler_that_raises_has_an_error_in_its_consumer(
    factory: BusFactory, telemetry: Telemetry
) -> None:
    """Each attempt has one; and the failure is reported as without spans."""
    errors: list[Any] = []
    bus = traced(factory, telemetry, on_error=lambda *failure: errors.append(failure))
    bus.subscribe("a", lambda _: 1 // 0, retries=1, backoff=0)
    bus.publish(Event("a"))
    assert bus.flush(HANG)
    consumers = telemetry.consumers()
    assert len(consumers) == 2
    for span in consumers:
        assert span.status.status_code is StatusCode.ERROR
        assert span.attributes is not None
        assert span.attributes["error.type"] == "ZeroDivisionError"
        assert [event.name for event in span.events] == ["exception"]
    assert [type(error) for _, _, error in errors] == [ZeroDivisionError]
    assert telemetry.producers()[0].status.status_code is StatusCode.UNSET


@pytest.mark.parametrize(("policy", "error"), [("reject", "QueueFull"), ("drop_newest", "dropped")])
def test_an_event_that_was_not_accepted_has_an_error_in_its_producer(
    factory: BusFactory, telemetry: Telemetry, policy: str, error: str
) -> None:
    bus = traced(factory, telemetry, queue_size=1, policy=policy)
    factory.hold(bus)
    bus.subscribe("a", Recorder())
    assert bus.publish(Event("a", 1))
    try:
        assert not bus.publish(Event("a", 2))
    except QueueFull:
        assert policy == "reject"
    last = telemetry.producers()[-1]
    assert last.attributes is not None
    assert (last.status.status_code, last.attributes["error.type"]) == (StatusCode.ERROR, error)


def test_a_batch_is_one_consumer_with_its_size(factory: BusFactory, telemetry: Telemetry) -> None:
    """It has a link to the first event only."""
    bus = traced(factory, telemetry)
    gate = factory.hold(bus)
    sizes: list[int] = []
    bus.subscribe("row", lambda rows: sizes.append(len(rows)), batch=10)
    for number in range(3):
        bus.publish(Event("row", number))
    gate.open()
    assert bus.flush(HANG)
    consumer = next(span for span in telemetry.consumers() if span.name == "process row")
    first = next(span for span in telemetry.producers() if span.name == "publish row")
    assert sizes == [3]
    assert consumer.attributes is not None
    assert consumer.attributes["messaging.batch.message_count"] == 3
    assert linked(consumer) == [first.context.span_id]


def test_options_and_other_objects_have_spans_too(
    factory: BusFactory, telemetry: Telemetry
) -> None:
    class Order:
        def confirm(self, event: object) -> None:
            pass

    bus, order, ended = traced(factory, telemetry), Order(), []
    bus.subscribe(Order, order.confirm, weak=True, key=lambda _: 1)
    bus.publish(order, on_done=ended.append, expires=HANG)
    bus.publish_many([order, order])
    bus.publish_after(0, order)
    poll(lambda: len(telemetry.consumers()) == 4)
    assert {span.name for span in telemetry.producers()} == {f"publish {Order.__qualname__}"}
    key = "messaging.destination.subscription.name"
    names = [(span.attributes or {}).get(key) for span in telemetry.consumers()]
    assert names == [Order.confirm.__qualname__] * 4
    assert [outcome.handled for outcome in ended] == [1]


def test_names_that_utf_8_cannot_say_are_shown_with_escapes(
    factory: BusFactory, telemetry: Telemetry
) -> None:
    """An exporter could not send them, nor what goes with them."""
    bus = traced(factory, telemetry)
    bus.subscribe("*", Recorder())
    bus.publish(Event("\udcff.txt"))
    [producer] = telemetry.producers()
    assert producer.name == r"publish \udcff.txt"
    assert (producer.attributes or {})["messaging.destination.name"] == r"\udcff.txt"


def test_a_scheduled_event_that_has_to_wait_is_one_producer(
    factory: BusFactory, telemetry: Telemetry
) -> None:
    """However often it is tried."""
    bus = traced(factory, telemetry, queue_size=1, policy="block")
    gate = factory.hold(bus)
    bus.subscribe("a", Recorder())
    bus.publish(Event("a", 1))
    bus.publish_after(0, Event("a", 2))
    poll(lambda: overdue(bus) == 1)
    gate.open()
    poll(lambda: bus.stats().by_type["a"].processed == 2)
    assert bus.flush(HANG)
    assert [span.name for span in telemetry.producers()].count("publish a") == 2


def test_in_the_publishing_thread_a_consumer_is_the_same(
    factory: BusFactory, telemetry: Telemetry
) -> None:
    """`CALLER_RUNS`, at a full queue."""
    bus = traced(factory, telemetry, queue_size=1, policy="caller_runs")
    factory.hold(bus)
    bus.subscribe("a", Recorder())
    bus.publish(Event("a", 1))
    bus.publish(Event("a", 2))
    [consumer] = [span for span in telemetry.consumers() if span.name == "process a"]
    producer = telemetry.producers()[-1]
    assert linked(consumer) == [producer.context.span_id]


def test_an_event_without_a_subscription_has_no_span(
    factory: BusFactory, telemetry: Telemetry
) -> None:
    """It makes no delivery; publishing it stays as quick as it was."""
    bus = traced(factory, telemetry)
    bus.publish(Event("nobody"))
    assert telemetry.producers() == []
