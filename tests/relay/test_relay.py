"""What a relay does while nothing fails, with real brokers."""

import gc
import threading
import weakref
from typing import Any

import pytest

from brummerbus import BackpressurePolicy, BusClosed, BusError, Event, EventBus, Priority
from brummerbus.relay import Relay, RelayedEvent, RelayError
from brummerbus.relay._subjects import Globs
from helpers.buses import BusFactory, inside
from helpers.handlers import Logged, Recorder
from helpers.processes import modules_after, run_python
from helpers.waiting import HANG, poll
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


@pytest.mark.parametrize("policy", [BackpressurePolicy.BLOCK, BackpressurePolicy.CALLER_RUNS])
def test_the_priority_of_each_publish_travels_also_of_those_that_are_encoded_at_once(
    scene: Scene, factory: BusFactory, policy: BackpressurePolicy
) -> None:
    here = factory.bus(workers=1, queue_size=3, policy=policy, priorities={"t": Priority.HIGH})
    there = factory.bus()
    got = Recorder()
    there.subscribe("t", got)
    scene.relay(there, receive=["t"])
    gate = factory.hold(here)
    scene.relay(here, send=["t"])
    for priority in (Priority.LOW, Priority.LOW, None):
        here.publish(Event("t"), priority=priority)
    if policy is BackpressurePolicy.CALLER_RUNS:
        here.publish(Event("t"), priority=Priority.MEDIUM)  # the queue is full: encoded here
    gate.open()
    got.wait_for(4 if policy is BackpressurePolicy.CALLER_RUNS else 3)
    by_level = {level: stats.published for level, stats in there.stats().by_level.items()}
    assert by_level == {1: 2, 2: int(policy is BackpressurePolicy.CALLER_RUNS), 3: 1}


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


def test_a_stop_sends_what_was_published_before(scene: Scene, factory: BusFactory) -> None:
    here, there = factory.bus(queue_size=500), factory.bus(queue_size=500)
    got = Recorder()
    there.subscribe("t", got)
    scene.relay(there, receive=["t"])
    sender = scene.relay(here, send=["t"])
    publish_all(here, "t", range(400))
    assert sender.stop()
    assert sender.stats().acked == 400
    assert here.publish(Event("t"))
    assert sender.stats().spooled == 400
    got.wait_for(400)


def test_a_stop_in_a_handler_begins_it_and_does_not_wait(scene: Scene, factory: BusFactory) -> None:
    bus = factory.bus()
    relay = scene.relay(bus, send=["t"], receive=["u"])
    assert inside(bus, relay.stop) is False
    assert relay.stop()
    assert not relay.connected


def test_a_relay_runs_although_the_program_has_forgotten_it_until_it_is_stopped(
    scene: Scene, factory: BusFactory
) -> None:
    bus = factory.bus()
    relay = scene.relay(bus, send=["t"])
    alive = weakref.ref(relay)
    scene.relays.clear()
    del relay
    gc.collect()
    publish_all(bus, "t", range(3))
    _stop_when_sent(alive(), 3)
    publish_all(bus, "t", range(3))
    assert bus.flush(HANG)
    assert bus.stats().failed == 0
    gc.collect()
    assert alive() is None


def _stop_when_sent(relay: Relay | None, count: int) -> None:
    assert relay is not None
    poll(lambda: relay.stats().acked == count)
    assert relay.stop()


def test_a_bus_that_starts_again_may_receive_other_types(scene: Scene, factory: BusFactory) -> None:
    here = factory.bus()
    scene.relay(here, send=["*"])
    for event_types, size in ((["a"], 10), (["a", "b.*"], 20), (["b.x", "c"], 5)):
        there, got = factory.bus(name="there", queue_size=size), Recorder()
        there.subscribe("*", got)
        receiver = scene.relay(there, receive=event_types)
        for event_type in ("c", "b.x", "a", "b.x"):  # in the end, one that the next one knows
            publish_all(here, event_type, [event_type])
        wanted = Globs(event_types)
        expected = [one for one in ("c", "b.x", "a", "b.x") if wanted.first(one) is not None]
        got.wait_for(len(expected))
        assert receiver.stop()
        assert got.data[-len(expected) :] == expected


def test_without_a_broker_the_program_runs_and_the_relay_says_so_once(
    scene: Scene, factory: BusFactory
) -> None:
    bus = factory.bus()
    scene.server.kill()
    relay = scene.begin(bus, send=["t"])
    publish_all(bus, "t", range(5))
    assert bus.flush(HANG)
    poll(lambda: bool(scene.errors))
    assert not relay.wait_connected(0.3)
    assert not relay.connected
    assert len(scene.errors) == 1
    assert str(scene.server.port) in str(scene.errors[0])
    assert relay.stats().queued == 5
    assert relay.stats().connected_since is None
    scene.server.start()
    poll(lambda: relay.stats().acked == 5)
    assert relay.stats().connected_since


def test_a_full_spool_that_blocks_holds_a_worker_and_no_publisher(
    scene: Scene, factory: BusFactory
) -> None:
    scene.server.kill()
    bus = factory.bus(queue_size=500)
    relay = scene.begin(bus, send=["t"], spool=3)
    publish_all(bus, "t", range(200))
    poll(lambda: relay.stats().queued == 3)
    assert bus.stats().queued + bus.stats().running == 200
    scene.server.start()
    poll(lambda: relay.stats().acked == 200)
    assert_books(relay)


@pytest.mark.parametrize("policy", ["drop_oldest", "drop_newest", "reject", "drop_lowest"])
def test_other_policies_drop_and_count(scene: Scene, factory: BusFactory, policy: str) -> None:
    scene.server.kill()
    here, there = factory.bus(queue_size=50), factory.bus()
    relay = scene.begin(here, send=["t"], spool=3, spool_policy=policy)
    publish_all(here, "t", range(10))
    poll(lambda: relay.stats().spooled == 10)
    stats = relay.stats()
    assert (stats.queued, stats.dropped, stats.dropped_by) == (3, 7, {"full": 7})
    assert_books(relay)
    scene.server.start()
    got = Recorder()
    there.subscribe("t", got)
    scene.relay(there, receive=["t"], group="g")
    got.wait_for(3)
    assert got.data == ([7, 8, 9] if policy == "drop_oldest" else [0, 1, 2])
    full = [error for error in scene.errors if "the spool is full" in str(error)]
    assert len(full) == (7 if policy == "reject" else 1)


# ---- without a broker ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"send": "process.*"}, TypeError, "send must be a list of event types, got 'process.*'"),
        ({"receive": [int]}, TypeError, "receive must have strings only"),
        ({"send": [""]}, ValueError, "send must have non-empty strings"),
        ({"send": 3}, TypeError, "send must be a list"),
        ({"group": "a b"}, ValueError, "group must be 1 to 64 letters"),
        ({"group": 1}, TypeError, "group must be a string or None"),
        ({"namespace": "a..b"}, ValueError, "namespace must be letters"),
        ({"namespace": None}, TypeError, "namespace must be a string"),
        ({"codec": "pickle"}, ValueError, "codec must be 'json' or 'msgpack', got 'pickle'"),
        ({"spool": 0}, ValueError, "spool must be an int from 1"),
        ({"spool_policy": "caller_runs"}, ValueError, "spool_policy must be one of"),
        ({"on_error": 1}, TypeError, "on_error must be callable"),
        ({"url": "http://user:secret@x"}, ValueError, "url must begin with one of nats://"),
        ({"url": 1}, TypeError, "url must be a string or None"),
    ],
)
def test_a_wrong_argument_is_named(
    factory: BusFactory, arguments: dict[str, Any], error: type[Exception], text: str
) -> None:
    before = threading.active_count()
    with pytest.raises(error, match=text) as raised:
        Relay(factory.bus(), **{"url": "nats://127.0.0.1:1", **arguments})
    assert "secret" not in str(raised.value)
    assert threading.active_count() <= before + 1


def test_a_relay_needs_a_bus_that_is_open() -> None:
    with pytest.raises(TypeError, match="bus must be an EventBus"):
        Relay(None)  # type: ignore[arg-type]
    bus = EventBus(workers=1)
    bus.stop()
    with pytest.raises(BusClosed):
        Relay(bus, "nats://127.0.0.1:1")


def test_the_end_of_a_with_block_does_not_wait_for_a_broker_that_never_was(
    factory: BusFactory, logged: Logged
) -> None:
    bus = factory.bus(shutdown_timeout=0.1)
    with Relay(bus, "nats://127.0.0.1:1", send=["t"]) as relay:
        publish_all(bus, "t", range(3))
    assert relay.stats().dropped_by == {"shutdown": 3}
    assert "3 events that the broker has not acknowledged" in logged.text
    assert relay.stop() is False


def test_a_failing_on_error_is_logged(factory: BusFactory, logged: Logged) -> None:
    def fail(error: BusError) -> None:
        raise ValueError("oops")

    bus = factory.bus(shutdown_timeout=0.0)
    with Relay(bus, "nats://127.0.0.1:1", send=["t"], on_error=fail):
        poll(lambda: "oops" in logged.text)


def test_policies_are_accepted_by_name_and_as_such(factory: BusFactory) -> None:
    for policy in (BackpressurePolicy.REJECT, "REJECT", "reject"):
        bus = factory.bus(shutdown_timeout=0.0)
        Relay(bus, "nats://127.0.0.1:1", spool_policy=policy).stop()


@pytest.mark.parametrize(
    ("url", "client", "extra"),
    [("nats://127.0.0.1:1", "nats", "relay"), ("redis://127.0.0.1:1", "redis", "redis")],
)
def test_without_the_client_the_message_names_the_extra(url: str, client: str, extra: str) -> None:
    without = f"import sys; sys.modules['{client}'] = None"
    end = run_python(
        f"from brummerbus.relay import Relay; Relay(EventBus(), {url!r})", first=without
    )
    assert end.code == 1
    assert "ImportError" in end.err
    assert f"pip install 'brummerbus[{extra}]'" in end.err


def test_importing_the_relay_imports_no_client() -> None:
    loaded = modules_after("import brummerbus.relay")
    assert loaded.isdisjoint({"nats", "redis", "msgspec", "opentelemetry"})


# ---- extensions ----------------------------------------------------------------------------------


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
