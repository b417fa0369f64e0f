"""In which `contextvars.Context` handlers and hooks run: a worker's own, which starts empty."""

import os
import threading
from collections.abc import Iterator
from contextvars import ContextVar, copy_context
from typing import Any

import pytest

from brummerbus import BackpressurePolicy, Event
from helpers.buses import BusFactory, Turnstile
from helpers.handlers import Recorder
from helpers.processes import in_child
from helpers.waiting import HANG

span: ContextVar[str] = ContextVar("span", default="none")


@pytest.fixture(autouse=True)
def span_of_the_maker() -> Iterator[None]:
    """Set the variable in the thread that creates the buses."""
    token = span.set("of the maker")
    yield
    span.reset(token)


def test_a_worker_begins_in_an_empty_context(factory: BusFactory) -> None:
    """It has no variable at all, not only none of the creator's."""
    bus, found = factory.bus(workers=3, queue_size=100), Recorder()
    bus.subscribe("a", lambda _: found(Event("found", list(copy_context().items()))))
    assert bus.publish_many([Event("a")] * 30) == 30
    assert bus.flush(HANG)
    assert found.data == [[]] * 30


def test_publishing_takes_no_context_along(factory: BusFactory) -> None:
    """Whatever thread publishes: a handler runs in its worker's."""
    bus, found = factory.bus(), Recorder()
    bus.subscribe("a", lambda _: found(Event("found", span.get())))

    def publish() -> None:
        span.set("of the publisher")
        assert bus.publish(Event("a"))

    copy_context().run(publish)
    assert bus.flush(HANG)
    assert found.data == ["none"]


@pytest.mark.parametrize("how", ["resize", "elastic"])
def test_workers_that_are_started_later_begin_in_an_empty_context_too(
    factory: BusFactory, how: str
) -> None:
    """Whether a call or the pool itself has started them."""
    bus, found, gate = factory.bus(workers=(1, 2), queue_size=4), Recorder(), factory.gate()

    def handle(event: Any) -> None:
        found(Event("found", list(copy_context().items())))
        gate(event)

    bus.subscribe("a", handle)
    if how == "resize":
        bus.resize(2)
    assert bus.publish_many([Event("a")] * 4) == 4
    gate.wait_entered(2)  # in two workers at once
    gate.open()
    assert bus.flush(HANG)
    assert found.data == [[]] * 4


def test_each_worker_has_a_context_of_its_own(factory: BusFactory) -> None:
    """What a handler sets in one is not visible in another."""
    bus, both, found = factory.bus(workers=2), threading.Barrier(2), Recorder()

    def handle(event: Any) -> None:
        both.wait(HANG)  # one in each worker
        before = span.get()
        span.set(event.data)
        both.wait(HANG)
        found(Event("found", (before, span.get() == event.data)))

    bus.subscribe("a", handle)
    for data in ("one", "two"):
        assert bus.publish(Event("a", data))
    assert bus.flush(HANG)
    assert found.data == [("none", True)] * 2


def test_a_hook_runs_in_the_context_of_the_worker_whose_handler_failed(factory: BusFactory) -> None:
    """It sees what the handler has set."""
    found = Recorder()

    def fail(event: Any) -> None:
        span.set("of the handler")
        raise LookupError

    bus = factory.bus(on_error=lambda *_: found(Event("found", span.get())))
    bus.subscribe("a", fail)
    assert bus.publish(Event("a"))
    assert bus.flush(HANG)
    assert found.data == ["of the handler"]


def test_what_the_publisher_runs_itself_runs_in_its_context(factory: BusFactory) -> None:
    """CALLER_RUNS: an ordinary call, which sees and changes the caller's variables."""
    bus, found = factory.bus(queue_size=1, policy=BackpressurePolicy.CALLER_RUNS), Recorder()

    def handle(event: Any) -> None:
        found(Event("found", span.get()))
        span.set("of the handler")

    bus.subscribe("fill", lambda event: None)
    bus.subscribe("a", handle)
    turnstile = Turnstile(bus, factory.gate())
    turnstile.hold(1)

    def publish() -> str:
        assert bus.publish(Event("a"))
        return span.get()

    assert copy_context().run(publish) == "of the handler"
    assert found.data == ["of the maker"]
    turnstile.let_go()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_workers_of_a_forked_child_begin_in_an_empty_context(factory: BusFactory) -> None:
    """The first publish starts them, in whatever context that is."""
    bus, found = factory.bus(workers=2), Recorder()
    bus.subscribe("a", lambda _: found(Event("found", list(copy_context().items()))))

    def child() -> None:
        assert span.get() == "of the maker"
        assert bus.publish_many([Event("a")] * 8) == 8
        assert bus.flush(HANG)
        assert found.data == [[]] * 8

    assert in_child(child) == 0
