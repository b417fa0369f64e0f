"""Ctrl-C in calls that block, and in handlers that run in the publishing thread."""

import signal
import sys
import threading
from functools import partial
from time import monotonic
from typing import Any

import pytest

from brummerbus import BackpressurePolicy, Event
from helpers.buses import BusFactory, Turnstile
from helpers.checks import assert_at_rest
from helpers.processes import ended, start_python


@pytest.mark.parametrize("whose", ["handler", "signal"])
def test_what_is_no_exception_reaches_the_publisher_that_runs_the_handler(
    factory: BusFactory, whose: str
) -> None:
    """A KeyboardInterrupt is meant for this thread, whatever raised it; it is counted first."""
    bus = factory.bus(queue_size=1, policy=BackpressurePolicy.CALLER_RUNS)

    def handler(event: Any) -> None:
        if whose == "handler":
            raise KeyboardInterrupt
        signal.raise_signal(signal.SIGINT)

    bus.subscribe("fill", lambda event: None)
    bus.subscribe("a", handler)
    turnstile = Turnstile(bus, factory.gate())
    turnstile.hold(1)
    assert threading.current_thread() is threading.main_thread()
    with pytest.raises(KeyboardInterrupt):
        bus.publish(Event("a"))
    turnstile.let_go()
    assert_at_rest(bus)
    assert bus.stats().failed == 1


def test_ctrl_c_by_a_handler_of_the_program_reaches_the_publisher_too(factory: BusFactory) -> None:
    """A program may raise KeyboardInterrupt in its own handler of the signal."""
    bus = factory.bus(queue_size=1, policy=BackpressurePolicy.CALLER_RUNS)
    bus.subscribe("fill", lambda event: None)
    bus.subscribe("a", lambda event: signal.raise_signal(signal.SIGINT))
    turnstile = Turnstile(bus, factory.gate())
    turnstile.hold(1)

    def own(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGINT, partial(own))
    try:
        with pytest.raises(KeyboardInterrupt):
            bus.publish(Event("a"))
    finally:
        signal.signal(signal.SIGINT, previous)
    turnstile.assert_whole()


SIGINT = """
    import logging
    logging.disable()
    bus, gate = bus_of(queue_size=3, policy=BackpressurePolicy.{policy}, publish_timeout=60), Gate()
    bus.subscribe("gate", gate)
    bus.subscribe("a", lambda event: None)
    bus.publish(Event("gate"))
    gate.entered.acquire()
    for _ in range(3):
        bus.publish(Event("a"))
    when_main_is_in("admit", "wait_idle", call=lambda: say("blocked"))
    try:
        {call}
        say("not interrupted")
    except KeyboardInterrupt:
        say(time.monotonic())
    gate.opened.set()
    assert bus.flush(60)
    if not bus.closed:
        gate.opened.clear()
        bus.publish(Event("gate"))
        gate.entered.acquire()
        for _ in range(5):
            try:
                bus.publish(Event("a"), timeout=0)
            except QueueFull:
                pass
        say(bus.depth)
        gate.opened.set()
    assert bus.stop() == (not bus.stats().dropped_by[DropReason.SHUTDOWN][2])
    stats = bus.stats()
    say(stats.published == stats.processed + stats.dropped)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals are not sent there")
@pytest.mark.parametrize(
    ("policy", "call"),
    [
        ("BLOCK", 'bus.publish(Event("a"))'),
        ("DROP_OLDEST", 'bus.publish(Event("a"))'),
        ("REJECT", 'bus.publish_many([Event("a")] * 500)'),
        ("REJECT", "bus.flush()"),
        ("REJECT", "bus.stop(timeout=60)"),
    ],
)
def test_real_ctrl_c_is_answered_promptly(policy: str, call: str) -> None:
    """Sent by another process to a main thread that sleeps in C; the promise is 0.1 s."""
    began = monotonic()
    process = start_python(SIGINT.format(policy=policy, call=call))
    assert process.stdout is not None
    assert process.stdout.readline() == "blocked\n"
    sent = monotonic()
    process.send_signal(signal.SIGINT)
    end = ended(process, began)
    assert (end.code, end.err) == (0, "")
    answered, *room, books = end.lines
    print("answered after", float(answered) - sent)
    assert float(answered) - sent < 10
    assert room == ([] if "stop" in call else ["3"])
    assert books == "True"
