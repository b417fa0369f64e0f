"""How long the objects of a delivery live."""

import weakref

from brummerbus import Event
from helpers.buses import BusFactory
from helpers.internals import forget_routes
from helpers.interpreter import needs_immediate_release
from helpers.waiting import HANG, poll


def test_a_cancelled_subscription_lives_until_its_last_delivery_is_counted(
    factory: BusFactory,
) -> None:
    """The queue writes into its account when the delivery is finished."""
    bus = factory.bus()
    gate = factory.gate()
    running: list[int] = []
    subscription = bus.subscribe("a", gate)
    weakref.finalize(subscription, lambda: running.append(bus.stats().running))
    assert bus.publish(Event("a"))
    gate.wait_entered()
    subscription.cancel()
    forget_routes(bus)
    del subscription
    assert running == []
    gate.open()
    assert bus.flush(HANG)
    poll(lambda: bool(running))
    assert running == [0]


@needs_immediate_release
def test_an_idle_worker_keeps_nothing_of_its_last_delivery(factory: BusFactory) -> None:
    """Neither the event, whose finalizer runs inside the delivery, nor the subscription."""
    bus = factory.bus()

    class Payload:
        pass

    gate = factory.gate()

    def handler(event: Event) -> None:
        gate(event)

    payload = Payload()
    kept = [weakref.ref(payload), weakref.ref(handler)]
    running: list[int] = []
    weakref.finalize(payload, lambda: running.append(bus.stats().running))
    subscription = bus.subscribe("a", handler)
    assert bus.publish(Event("a", payload))
    del payload
    subscription.cancel()
    forget_routes(bus)
    del subscription, handler
    gate.open()  # not earlier: this thread would be the last that has the payload
    assert bus.flush(HANG)
    poll(lambda: not any(ref() for ref in kept))
    assert running == [1]
