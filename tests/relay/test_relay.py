"""What a relay does while nothing fails, with real brokers."""

from typing import Any

import pytest

from brummerbus import Event, EventBus, Priority
from brummerbus.relay import RelayedEvent, RelayError
from helpers.buses import BusFactory
from helpers.handlers import Recorder
from helpers.waiting import poll
from relay.scene import Scene, assert_books, foreign, publish_all, scene

__all__ = ["scene"]


def test_events_arrive_with_what_they_had(scene: Scene, factory: BusFactory) -> None:
    here, there = factory.bus(name="here"), factory.bus(name="there")
    got = Recorder()
    there.subscribe("t.*", got)
    scene.relay(there, receive=["t.*"])
    scene.relay(here, send=["t.*"])
    event = Event("t.a b/é", {"x": [1, None, "ü"]}, source="web é")
    here.publish(event)
    got.wait_for(1)
    arrived = got.events[0]
    assert (arrived.type, arrived.data, arrived.source) == (event.type, event.data, event.source)
    assert arrived.timestamp == pytest.approx(event.timestamp, abs=1e-5)
    assert arrived.id != event.id
    assert isinstance(arrived, RelayedEvent)
    assert arrived.origin.startswith("brummerbus://")
    assert "/here/" in arrived.origin
    assert (arrived.origin_id, arrived.hops, arrived.is_original) == (str(event.id), 1, True)
    assert not scene.errors


def test_events_of_one_publisher_keep_their_order_and_arrive_once(
    scene: Scene, factory: BusFactory
) -> None:
    here, there = factory.bus(workers=4, queue_size=100), factory.bus(queue_size=100)
    got = Recorder()
    there.subscribe("t.*", got)
    receiver = scene.relay(there, receive=["t.*"])
    sender = scene.relay(here, send=["t.*"])
    publish_all(here, "t.x", range(1000))
    got.wait_for(1000)
    assert got.data == list(range(1000))
    poll(lambda: sender.stats().acked == 1000)
    poll(lambda: receiver.stats().handled == 1000)
    assert_books(sender)
    stats = receiver.stats()
    assert (stats.received, stats.duplicates, stats.dead, stats.in_flight) == (1000, 0, 0, 0)
    assert receiver.stop()
    assert sender.stop()


def test_only_what_the_globs_match_travels(scene: Scene, factory: BusFactory) -> None:
    here, there = factory.bus(queue_size=50), factory.bus(queue_size=50)
    got = Recorder()
    there.subscribe("*", got)
    scene.relay(there, receive=["a.*", "b?c", "exact", "é.ü"])
    sender = scene.relay(here, send=["*", "a.*"])
    for event_type in ("a", "a.b.c", "a..b", "abc", "bxc", "b.c", "bc", "exact", "exact.x", "é.ü"):
        here.publish(Event(event_type, event_type))
    poll(lambda: sender.stats().acked == 10)
    got.wait_for(6)
    here.publish(Event("exact", "last"))
    got.wait_for(7)
    assert sorted(got.data) == sorted(["a.b.c", "a..b", "bxc", "b.c", "exact", "last", "é.ü"])


def test_each_event_goes_to_one_of_a_group_and_to_every_other_bus(
    scene: Scene, factory: BusFactory
) -> None:
    here = factory.bus(queue_size=100)
    members = [Recorder(), Recorder(), Recorder()]
    for number, got in enumerate(members):
        bus = factory.bus(name=f"member{number}")
        bus.subscribe("t", got)
        scene.relay(bus, receive=["t"], group="workers" if number < 2 else None)
    scene.relay(here, send=["t"])
    publish_all(here, "t", range(60))
    members[2].wait_for(60)
    poll(lambda: len(members[0].data) + len(members[1].data) >= 60)
    assert sorted(members[0].data + members[1].data) == list(range(60))
    assert members[2].data == list(range(60))


def test_two_processes_may_call_their_bus_alike(scene: Scene, factory: BusFactory) -> None:
    here = factory.bus()
    both = [Recorder(), Recorder()]
    for got in both:
        bus = factory.bus(name="bus")
        bus.subscribe("t", got)
        scene.relay(bus, receive=["t"])
    scene.relay(here, send=["t"])
    publish_all(here, "t", range(5))
    for got in both:
        got.wait_for(5)
        assert got.data == list(range(5))


def test_a_group_gets_what_was_sent_before_its_first_member_came(
    scene: Scene, factory: BusFactory
) -> None:
    here, there = factory.bus(), factory.bus()
    sender = scene.relay(here, send=["t"])
    publish_all(here, "t", range(5))
    poll(lambda: sender.stats().acked == 5)
    got = Recorder()
    there.subscribe("t", got)
    scene.relay(there, receive=["t"], group="workers")
    got.wait_for(5)
    assert got.data == list(range(5))


def test_two_buses_that_send_and_receive_the_same_make_no_loop(
    scene: Scene, factory: BusFactory
) -> None:
    buses = [factory.bus(name=name, queue_size=100) for name in ("a", "b")]
    got = [Recorder(), Recorder()]
    relays = [scene.relay(bus, send=["t"], receive=["t"]) for bus in buses]
    for bus, recorder in zip(buses, got, strict=True):
        bus.subscribe("t", recorder)
    for bus in buses:
        publish_all(bus, "t", range(50))
    for recorder in got:
        recorder.wait_for(100)
    for relay in relays:
        poll(lambda relay=relay: relay.stats().acked == 50)  # type: ignore[misc]
    for bus, recorder in zip(buses, got, strict=True):  # what came last shows what came before
        publish_all(bus, "t", ["end"])
        recorder.wait_for(101)
    poll(lambda: all(len(recorder.data) == 102 for recorder in got))
    assert [relay.stats().spooled for relay in relays] == [51, 51]


def test_what_a_handler_derives_is_sent_until_it_has_passed_too_often(
    scene: Scene, factory: BusFactory
) -> None:
    buses = [factory.bus(name=name, queue_size=100) for name in ("a", "b")]
    relays = [scene.relay(bus, send=["t"], receive=["t"]) for bus in buses]
    for bus in buses:

        def reply(event: Event, bus: EventBus = bus) -> None:
            if isinstance(event, RelayedEvent) and event.is_original:
                bus.publish(event.replace(data=event.data + 1))

        bus.subscribe("t", reply)
    buses[0].publish(Event("t", 0))
    poll(lambda: bool(scene.errors))
    (error,) = scene.errors
    assert isinstance(error, RelayError)
    assert "16 times from bus to bus" in str(error)
    assert sum(relay.stats().dropped_by.get("hops", 0) for relay in relays) == 1
    assert sum(relay.stats().sent for relay in relays) == 16


def test_the_priority_of_a_type_travels(scene: Scene, factory: BusFactory) -> None:
    here = factory.bus(priorities={"t": Priority.HIGH})
    there = factory.bus()
    got = Recorder()
    there.subscribe("t", got)
    scene.relay(there, receive=["t"])
    scene.relay(here, send=["t"])
    here.publish(Event("t"))
    got.wait_for(1)
    assert there.stats().by_level[3].published == 1


def test_the_priority_of_each_publish_travels_also_of_those_that_are_encoded_at_once(
    scene: Scene, factory: BusFactory
) -> None:
    here = factory.bus(workers=1, queue_size=3, priorities={"t": Priority.HIGH})
    there = factory.bus()
    got = Recorder()
    there.subscribe("t", got)
    scene.relay(there, receive=["t"])
    gate = factory.hold(here)
    scene.relay(here, send=["t"])
    for priority in (Priority.LOW, Priority.LOW, None):
        here.publish(Event("t"), priority=priority)
    gate.open()
    got.wait_for(3)
    by_level = {level: counts.published for level, counts in there.stats().by_level.items()}
    assert by_level == {1: 2, 2: 0, 3: 1}


def test_what_cannot_be_encoded_is_counted_and_reported_and_nothing_else_is_held_up(
    scene: Scene, factory: BusFactory
) -> None:
    here, there = factory.bus(), factory.bus()
    got = Recorder()
    there.subscribe("t", got)
    scene.relay(there, receive=["t"])
    sender = scene.relay(here, send=["t"])
    for data in (object(), 1, float("nan"), "x" * (2 << 20), 2):
        here.publish(Event("t", data))
    got.wait_for(2)
    poll(lambda: sender.stats().acked == 2)
    assert got.data == [1, 2]
    assert sender.stats().dropped_by == {"encoding": 2, "rejected": 1}
    assert_books(sender)
    texts = [str(error) for error in scene.errors]
    assert len(texts) == 3
    assert all("'t'" in text for text in texts)
    assert "object" in texts[0]
    assert all(getattr(error, "event_type", None) == "t" for error in scene.errors)


def test_bytes_and_messagepack_arrive_too(scene: Scene, factory: BusFactory) -> None:
    pytest.importorskip("msgspec")
    here, there = factory.bus(), factory.bus()
    got = Recorder()
    there.subscribe("t", got)
    scene.relay(there, receive=["t"])
    scene.relay(here, send=["t"], codec="msgpack")
    data = [b"\0\xff", {"x": b"\0", "y": 1.5}, None, "text"]
    publish_all(here, "t", data)
    got.wait_for(4)
    assert got.data == data


def test_what_is_no_cloudevent_becomes_a_dead_letter(scene: Scene, factory: BusFactory) -> None:
    there = factory.bus()
    got = Recorder()
    there.subscribe("t.x", got)
    receiver = scene.relay(there, receive=["t.x"])
    bad = foreign(1)
    scene.inject(
        type(bad)(bad.type, {}, b"?", "bad.1"),
        type(bad)(bad.type, {**bad.headers, "ce-specversion": "0.3"}, b"1", "bad.2"),
        type(bad)(bad.type, bad.headers, b"{", "bad.3"),
        foreign(2),
    )
    got.wait_for(1)
    poll(lambda: receiver.stats().dead == 3)
    assert got.data == [2]


class Keyed(Event):
    """An event with a partition key."""

    @property
    def partition_key(self) -> str:
        return f"key {self.data}"


def test_a_partition_key_travels(scene: Scene, factory: BusFactory) -> None:
    here, there = factory.bus(), factory.bus()
    got = Recorder()
    there.subscribe("t", got)
    scene.relay(there, receive=["t"])
    scene.relay(here, send=["t"])
    here.publish(Keyed("t", 7))
    here.publish(Event("t", 8))
    got.wait_for(2)
    assert [event.partition_key for event in got.events] == ["key 7", None]


def test_a_trace_goes_on_in_the_other_bus(scene: Scene, factory: BusFactory) -> None:
    trace = pytest.importorskip("opentelemetry.trace")
    sdk = pytest.importorskip("opentelemetry.sdk.trace")
    pytest.importorskip("opentelemetry.propagate")
    tracer = sdk.TracerProvider().get_tracer("test")
    here, there = factory.bus(propagate_context=True), factory.bus(propagate_context=True)
    seen: list[Any] = []
    got = Recorder()

    def handle(event: RelayedEvent) -> None:
        seen.append(trace.get_current_span().get_span_context())
        got(event)

    there.subscribe("t", handle)
    scene.relay(there, receive=["t"])
    scene.relay(here, send=["t"])
    with tracer.start_as_current_span("outer") as span:
        here.publish(Event("t"))
    got.wait_for(1)
    outer = span.get_span_context()
    assert (seen[0].trace_id, seen[0].span_id) == (outer.trace_id, outer.span_id)
    assert f"{outer.trace_id:032x}" in got.events[0].traceparent
    here.publish(Event("t"))
    got.wait_for(2)
    assert not seen[1].is_valid
    assert got.events[1].traceparent is None
