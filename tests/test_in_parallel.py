"""What holds although threads run at the same time, without a GIL: no step of Python is one step.

With a GIL these tests pass in any case.
"""

import threading
from abc import ABC
from contextlib import suppress

from brummerbus import BackpressurePolicy, Event
from brummerbus._core.taps import Tap
from helpers.buses import BusFactory
from helpers.handlers import Recorder
from helpers.threads import run_together
from helpers.waiting import HANG

THREADS = 4


def test_subscriptions_that_threads_make_together_are_all_there(factory: BusFactory) -> None:
    bus = factory.bus()
    run_together(THREADS, lambda _: [bus.subscribe("a", print) for _ in range(100)])
    assert len(bus.subscriptions()) == THREADS * 100


def test_a_subscription_gets_what_is_published_after_it_while_others_come_and_go(
    factory: BusFactory,
) -> None:
    """No route of before is stored afterwards, or found."""
    bus = factory.bus(queue_size=1000)
    lost = []

    def work(number: int) -> None:
        for turn in range(100):
            recorder, event = Recorder(), Event(f"t{turn % 3}", number)
            with bus.subscribe(event.type, recorder):
                bus.publish(event)
            assert bus.flush(HANG)
            if event not in recorder.events:
                lost.append(event)

    run_together(THREADS, work)
    assert lost == []


def test_a_class_is_received_once_it_is_adopted_whoever_else_finds_that_out(
    factory: BusFactory,
) -> None:
    """The cache is emptied before another thread can take it for current."""

    class Adopter(ABC):  # noqa: B024
        pass

    bus, recorder = factory.bus(queue_size=100_000), Recorder()
    bus.subscribe(Adopter, recorder)
    classes = [type(f"C{n}", (), {}) for n in range(200)]
    over = threading.Event()

    def work(number: int) -> None:
        if number:
            while not over.is_set():
                bus.publish(Event("other"))
            return
        for cls in classes:
            bus.publish(cls())  # its route is cached now
            Adopter.register(cls)
            bus.publish(cls())
        over.set()

    run_together(THREADS, work)
    assert bus.flush(HANG)
    assert [type(one) for one in recorder.events] == classes


def test_a_listener_holds_no_more_than_it_may_while_another_thread_takes() -> None:
    tap, over = Tap(2, BackpressurePolicy.DROP_NEWEST), threading.Event()
    held = []

    def work(number: int) -> None:
        if number:
            for _ in range(3000):
                tap.give(number, None, may_wait=True)
            over.set()
        while not over.is_set():
            held.append(len(tap))
            with suppress(TimeoutError):
                tap.take(0)

    run_together(THREADS, work)
    assert max(held, default=0) <= 2
