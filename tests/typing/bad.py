# pyright: strict
"""Mistakes: type checkers find one in each line marked `E`, and in no other.

Not run: `tests/test_typing.py` compares the marks with what mypy and pyright report.
"""

import functools
import logging
from abc import ABC, abstractmethod
from typing import Any

from good import Express, LogLine, Order, Refund, Shape, Shop, logged, on_event, on_line, on_order

from brummerbus import Event, EventBus, EventBusConfig, Retry, Subscription
from brummerbus.executor import BusExecutor
from brummerbus.loghandler import BusHandler
from brummerbus.relay import Relay
from brummerbus.ringqueue import RingQueue
from brummerbus.testing import TestBus

bus = EventBus()
shop = Shop()


class Other(ABC):
    """An abstract class that is not `Shape`."""

    @abstractmethod
    def area(self) -> float:
        """Return the area."""


def on_express(order: Express) -> None:
    """Take a subclass of `Order`."""


def on_other(other: Other) -> None:
    """Take an abstract class."""


def on_two(order: Order, refund: Refund) -> None:
    """Take too much."""


def tagged(tag: str, order: Order) -> None:
    """Take the event as the second argument, for a partial."""


@logged
def on_wrapped(order: Order) -> None:
    """Take an `Order`, decorated."""


# ---- subscribe: a handler that takes another class --------------------------------------------

bus.subscribe(Refund, on_order)  # E: another class
bus.subscribe(Order, on_express)  # E: only some of the orders
bus.subscribe(Order, on_event)  # E: an order is no Event
bus.subscribe(object, on_order)  # E: anything may come
bus.subscribe(Refund, on_wrapped)  # E: through functools.wraps
bus.subscribe(Refund, shop.on_order)  # E: a bound method
bus.subscribe(Refund, Shop.count)  # E: a class method
bus.subscribe(Refund, shop)  # E: an object that can be called
bus.subscribe(Shape, on_other)  # E: another abstract class
bus.subscribe(Order, on_other)  # E: an abstract class instead of an order
bus.subscribe(Shape, on_order)  # E: the other way about
bus.subscribe(Event, on_line)  # E: not every event is a line
bus.subscribe(Order, lambda order: order.amount)  # E: an order has none
bus.subscribe(Order, on_two)  # E: two arguments
bus.subscribe(Order, Shop.on_order)  # E: not bound
bus.subscribe(Order, lambda: None)  # E: no argument
bus.subscribe(Refund, functools.partial(tagged, 1))  # E: the partial itself is wrong

# ---- a string, a glob: an `Event` -------------------------------------------------------------

bus.subscribe("order", on_order)  # E: an order is published as itself
bus.subscribe("log.*", on_line)  # E: not every event is a line
bus.subscribe("order", lambda event: event.number)  # E: an Event has `data`
bus.subscribe(on_event, "order")  # E: the wrong way round
bus.subscribe(17, on_event)  # E: no type
bus.subscribe(Order(1), on_order)  # E: an object instead of its class
bus.subscribe("order")  # E: no handler
bus.subscribe("order", None)  # E: no handler either

# ---- on ---------------------------------------------------------------------------------------


@bus.on(Refund)  # E: another class
def first(order: Order) -> None:
    """Take an `Order`."""


@bus.on(Order, Refund)  # E: only one of the two
def second(order: Order) -> None:
    """Take an `Order`."""


@bus.on("order", Order)  # E: events, too
def third(order: Order) -> None:
    """Take an `Order`."""


@bus.on("order", "refund")  # E: an order is no Event
def fourth(order: Order) -> None:
    """Take an `Order`."""


@bus.on(Order, Express, Refund, Shape, LogLine)  # E: the fifth is missing
def fifth(event: Order | Refund | Shape) -> None:
    """Take all but one."""


@bus.on(Shape)  # E: another abstract class
def sixth(event: Other) -> None:
    """Take an abstract class."""


@bus.on(Order)  # E: two arguments
def seventh(order: Order, refund: Refund) -> None:
    """Take too much."""


@bus.on  # E: no type
def eighth(event: Event) -> None:
    """Take an `Event`."""


@bus.on(Order)
def ninth(order: Order, *, loudly: bool = False) -> int:
    """Keep the type."""
    return order.number


ninth(Refund(1.0))  # E: what is decorated keeps its parameters,
ninth(Order(1), loudly="very")  # E: all of them,
text: str = ninth(Order(1))  # E: and its result

bus.on(Refund)(shop.on_order)  # E: a bound method
bus.on(Order, 17)  # E: no type

# ---- settings ---------------------------------------------------------------------------------

EventBus(wrokers=4)  # E: no field
EventBus(workers="4")  # E: a string
EventBus(workers=(4, 32, 64))  # E: a pair
EventBus(policy=1)  # E: no policy
EventBus(queue_size=1.5)  # E: no int
EventBus(publish_timeout=None)  # E: what cannot be without
EventBus(monitoring="yes")  # E: no bool
EventBus({"workers": 4})  # E: no configuration
EventBus(config=EventBusConfig())  # E: positional only
EventBusConfig(wrokers=4)  # E: no field
EventBusConfig(policy=None)  # E: no policy
EventBusConfig().queue_size = 3  # E: frozen


def failed(event: Any, error: BaseException) -> None:
    """Take too little."""


def dropped(event: Any, subscription: Subscription, reason: int) -> None:
    """Take a reason that is none."""


EventBus(on_error=failed)  # E: three arguments
EventBus(on_drop=dropped)  # E: a DropReason

# ---- the rest of the bus ----------------------------------------------------------------------

bus.publish(Event("order"), priority="high")  # E: an int
bus.publish(Event("order"), timeout="1")  # E: seconds
bus.publish(Event("order"), 3)  # E: keywords only
bus.publish_many(Event("order"))  # E: an iterable
bus.stats().publish  # E: no such figure
bus.stop(False)  # E: keyword only
bus.depth = 3  # E: read-only
bus.on_error = None  # E: given at construction
Event()  # E: no type
Event("order", 1, "shop")  # E: source is a keyword
Event("order").type = "refund"  # E: immutable


# ---- hooks -------------------------------------------------------------------------------------

EventBus(on_unrouted=lambda: None)  # E: it gets the event
EventBus(on_worker_start=lambda event: None)  # E: it gets nothing

# ---- later, and in the calling thread ------------------------------------------------------------

bus.publish_after("1", Event("a"))  # E: no number
bus.publish_after(1, Event("a"), expires=1)  # E: no such option
bus.wait_for(Order, lambda order: order.amount)  # E: no attribute of an order
bus.wait_for("a", timeout="1")  # E: no number
bus.listen("a", maxsize="1")  # E: no number
bus.listen(3)  # E: neither string nor class
bus.subscribe(Order, shop.on_order, weak="yes")  # E: neither True nor False

# ---- options of a subscription -------------------------------------------------------------------


def on_orders(orders: list[Order]) -> None:
    """Take a batch."""


async def refunded(refund: Refund) -> None:
    """Be a coroutine function."""


def done(outcome: int) -> None:
    """Take no `Outcome`."""


bus.subscribe(Order, on_order, batch=3)  # E: a batch is a list
bus.subscribe(Order, on_orders)  # E: no batch without `batch`
bus.subscribe("order", on_orders, batch=3)  # E: a list of events
bus.subscribe(Order, on_orders, batch="3")  # E: an int
bus.subscribe(Order, on_order, batch_wait=1.0)  # E: only with `batch`
bus.on(Order, batch=3)(on_order)  # E: a batch is a list
bus.on("order", batch=3)(on_orders)  # E: a list of events
bus.subscribe(Order, on_order, key=lambda order: order.amount)  # E: an order has none
bus.subscribe(Order, on_order, key=3)  # E: a callable or a name
bus.subscribe(Order, on_order, max_concurrency="2")  # E: an int
bus.subscribe(Order, on_order, retries="2")  # E: an int
bus.subscribe(Order, on_order, retry=2)  # E: no such option
bus.on("order", max_concurency=3)  # E: no such option
bus.subscribe(Order, refunded, loop=None)  # E: another class
Retry(after="1")  # E: seconds

# ---- an event's end ------------------------------------------------------------------------------

bus.publish(Order(1), on_done=done)  # E: it gets an `Outcome`
bus.publish(Order(1), expires="1")  # E: seconds
bus.barrier("1")  # E: seconds
bus.unsubscribe("order")  # E: a handler
bus.stats().queue_wait.p90  # E: no such percentile
bus.publish_after(1, Event("a")).stop()  # E: no such method

# ---- tasks ---------------------------------------------------------------------------------------


async def task() -> None:
    """Publish and take in an event loop."""
    await bus.publish(Event("a"))  # E: True or False
    async with bus.stream(Order) as orders:
        async for order in orders:
            print(order.amount)  # E: an order has none
    async for _ in bus.listen("a"):  # E: for a thread
        pass
    await bus.stop()  # E: True or False


for _ in bus.stream("a"):  # E: for a task
    pass

# ---- beside the bus ------------------------------------------------------------------------------

BusExecutor(max_workers="4")  # E: an int
BusExecutor(4).submit(on_order)  # E: an argument is missing
BusExecutor(4).submit(on_order, Refund(1.0))  # E: another class
BusExecutor(4).with_priority("high")  # E: an int
numbers: RingQueue[int] = RingQueue()
numbers.put("1")  # E: an int
word: str = numbers.get()  # E: an int
BusHandler(bus, [logging.INFO])  # E: no handler
TestBus(seed="x")  # E: an int
TestBus().advance("1")  # E: seconds
Relay(bus, 3)  # E: a URL
Relay(bus, sned=["a"])  # E: no such argument
