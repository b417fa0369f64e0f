"""`propagate_context`: handlers run in the context that the publisher had at `publish`."""

import contextvars
import os
import threading
from contextvars import ContextVar, copy_context
from typing import Any

import pytest

from brummerbus import BackpressurePolicy, Event, EventBus, EventBusConfig, Retry
from helpers.buses import BusFactory
from helpers.checks import assert_at_rest
from helpers.processes import in_child
from helpers.threads import run_together
from helpers.waiting import HANG, poll

who: ContextVar[Any] = ContextVar("who", default="nobody")

KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "keyed": {"key": lambda event: 0},
    "limited": {"max_concurrency": 1},
    "retried": {"retries": 1},
    "once": {"once": True},
}


class Seen:
    """A handler that notes what the variable is, and then sets it."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self.threads: set[int] = set()

    def __call__(self, event: Any) -> None:
        """Note the value, and leave another one behind."""
        self.values.append(who.get())
        self.threads.add(threading.get_ident())
        who.set("left behind")


def publish_as(bus: EventBus, value: object, event: Any, **options: Any) -> bool:
    """Publish an event while the variable has a value."""

    def publish() -> bool:
        who.set(value)
        return bus.publish(event, **options)

    return bool(copy_context().run(publish))


@pytest.fixture
def bus(factory: BusFactory) -> EventBus:
    """Make a bus that propagates contexts."""
    return factory.bus(queue_size=100, propagate_context=True)


def test_without_it_a_handler_has_none(factory: BusFactory) -> None:
    """Neither the publisher's nor that of the thread that made the bus."""
    token = who.set("the maker")
    bus, seen = factory.bus(), Seen()
    who.reset(token)
    bus.subscribe("a", seen)
    publish_as(bus, "the publisher", Event("a"))
    assert_at_rest(bus)
    assert seen.values == ["nobody"]
    assert not EventBusConfig().propagate_context


@pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)
def test_a_handler_has_the_publishers(bus: EventBus, options: dict[str, Any]) -> None:
    """As it was at `publish`, for each kind of subscription, and nothing of what it sets stays."""
    seen = Seen()
    for n in range(3):
        with bus.subscribe("a", seen, **options):
            publish_as(bus, n, Event("a"))
    publish_as(bus, 3, Event("a"))
    assert_at_rest(bus)
    assert seen.values == [0, 1, 2]


def test_what_the_publisher_sets_later_is_not_seen(factory: BusFactory) -> None:
    """The context is copied, also where the event waits."""
    bus = factory.bus(propagate_context=True)
    gate, seen = factory.hold(bus), Seen()
    bus.subscribe("a", seen)
    token = who.set("before")
    bus.publish(Event("a"))
    who.set("after")
    gate.open()
    assert_at_rest(bus)
    assert (seen.values, who.get()) == (["before"], "after")
    who.reset(token)


def test_several_handlers_of_one_event_run_in_it_at_once(factory: BusFactory) -> None:
    """Each in a copy of its own: a context can be entered once at a time."""
    bus = factory.bus(workers=3, propagate_context=True)
    together = threading.Barrier(3)
    values: list[Any] = []

    def handler(event: Event) -> None:
        together.wait(HANG)
        values.append(who.get())
        who.set("left behind")
        together.wait(HANG)

    for _ in range(3):
        bus.subscribe("a", handler)
    publish_as(bus, "one", Event("a"))
    assert_at_rest(bus)
    assert values == ["one"] * 3
    assert bus.stats().failed == 0


def test_nothing_leaks_to_the_next_delivery(bus: EventBus) -> None:
    """In the same worker, from a handler that sets the variable, returns or raises."""
    values: list[Any] = []

    def handler(event: Event) -> None:
        values.append(who.get())
        who.set("leaked")
        if event.data:
            raise Retry

    bus.subscribe("a", handler)
    for n in range(4):
        publish_as(bus, n, Event("a", n % 2))
    bus.publish(Event("a"))
    assert_at_rest(bus)
    assert values == [0, 1, 2, 3, "nobody"]


def test_a_retry_runs_in_the_context_as_it_was_at_publish(factory: BusFactory) -> None:
    """And not as the failed try left it."""
    bus, values = factory.bus(propagate_context=True), []

    def handler(event: Event) -> None:
        values.append(who.get())
        who.set("of the try before")
        if len(values) < 3:
            raise Retry(after=0)

    bus.subscribe("a", handler, retries=2)
    publish_as(bus, "one", Event("a"))
    assert_at_rest(bus)
    assert values == ["one"] * 3


def test_a_batch_runs_in_the_context_of_its_first_event(factory: BusFactory) -> None:
    """One call has one context."""
    bus = factory.bus(propagate_context=True, queue_size=100)
    gate, values = factory.hold(bus), []
    bus.subscribe("a", lambda events: values.append((who.get(), len(events))), batch=3)
    for n in range(5):
        publish_as(bus, n, Event("a"))
    gate.open()
    assert_at_rest(bus)
    assert values == [(0, 3), (3, 2)]


def test_a_handler_that_runs_in_the_caller_leaves_nothing_there(factory: BusFactory) -> None:
    """It has the publisher's context, but in a copy."""
    bus = factory.bus(propagate_context=True, queue_size=1, policy=BackpressurePolicy.CALLER_RUNS)
    gate, seen = factory.hold(bus), Seen()
    bus.subscribe("fill", lambda event: None)
    bus.publish(Event("fill"))
    bus.subscribe("a", seen)
    token = who.set("the publisher")
    assert bus.publish(Event("a"))
    assert who.get() == "the publisher"
    assert seen.values == ["the publisher"]
    assert seen.threads == {threading.get_ident()}
    who.reset(token)
    gate.open()
    assert_at_rest(bus)


def test_what_a_handler_publishes_has_the_handlers(bus: EventBus) -> None:
    """So a chain of events stays in the context of its cause."""
    values: list[Any] = []

    def handler(event: Event) -> None:
        values.append(who.get())
        if event.data < 3:
            who.set(f"{who.get()}.{event.data}")
            bus.publish(Event("a", event.data + 1))

    bus.subscribe("a", handler)
    publish_as(bus, "root", Event("a", 0))
    poll(lambda: len(values) == 4)
    assert_at_rest(bus)
    assert values == ["root", "root.0", "root.0.1", "root.0.1.2"]


def test_publish_many_copies_it_too(bus: EventBus) -> None:
    """Of a list and of an iterator."""
    seen = Seen()
    bus.subscribe("a", seen)
    token = who.set("all of them")
    bus.publish_many([Event("a")] * 3)
    bus.publish_many(iter([Event("a")] * 2), priority=3)
    who.reset(token)
    assert_at_rest(bus)
    assert seen.values == ["all of them"] * 5


def test_publishers_in_several_threads_have_their_own(
    factory: BusFactory, frequent_switches: None
) -> None:
    """No event has that of another."""
    bus = factory.bus(workers=3, queue_size=50, policy="block", propagate_context=True)
    wrong: list[Any] = []

    def handler(event: Event) -> None:
        if who.get() != event.data:
            wrong.append((who.get(), event.data))
        who.set("left behind")

    bus.subscribe("a", handler)
    bus.subscribe("a", handler, key="source")

    def publish(number: int) -> None:
        for n in range(200):
            who.set((number, n))
            bus.publish(Event("a", (number, n)))

    run_together(4, publish)
    assert_at_rest(bus)
    assert wrong == []


def test_a_result_that_nobody_awaits_is_a_failure_there_too(factory: BusFactory) -> None:
    """As outside of a context."""
    errors: list[BaseException] = []
    bus = factory.bus(
        propagate_context=True, on_error=lambda event, sub, error: errors.append(error)
    )
    bus.subscribe("a", lambda event: (n for n in ()))
    bus.publish(Event("a"))
    assert_at_rest(bus)
    assert [type(error) for error in errors] == [TypeError]


def test_an_event_that_nobody_receives_copies_nothing(bus: EventBus) -> None:
    """It is counted as unrouted, as without."""
    assert publish_as(bus, 1, Event("nobody"))
    assert bus.stats().unrouted == 1


def test_the_context_is_let_go_of_with_the_event(bus: EventBus) -> None:
    """What it holds is not kept."""

    class Held:
        gone = threading.Event()

        def __del__(self) -> None:
            self.gone.set()

    bus.subscribe("a", lambda event: None)
    contextvars.Context().run(lambda: (who.set(Held()), bus.publish(Event("a"))))
    assert_at_rest(bus)
    bus.publish(Event("a"))
    assert_at_rest(bus)
    assert Held.gone.wait(HANG)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_the_child_of_a_fork_propagates_its_own(bus: EventBus) -> None:
    """To its own workers."""
    seen = Seen()
    bus.subscribe("a", seen)

    def child() -> None:
        publish_as(bus, "the child", Event("a"))
        assert bus.flush(HANG)
        assert seen.values == ["the child"]

    assert in_child(child) == 0


@pytest.mark.parametrize("bad", [1, None, "yes"])
def test_what_is_neither_true_nor_false_is_refused(bad: Any) -> None:
    """The message names the field."""
    with pytest.raises(ValueError, match="propagate_context"):
        EventBusConfig(propagate_context=bad)
