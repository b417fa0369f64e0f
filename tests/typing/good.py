# pyright: strict
"""A program that uses the bus as it may be used: type checkers find nothing in it.

Not run: `tests/test_typing.py` has it checked by mypy and pyright, both strict.
"""

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ParamSpec, Protocol, TypeVar, runtime_checkable

from typing_extensions import assert_type

from brummerbus import (
    Advice,
    BackpressurePolicy,
    BusStats,
    DropReason,
    Event,
    EventBus,
    EventBusConfig,
    EventType,
    Listener,
    Priority,
    QueueFull,
    Scheduled,
    Stream,
    Subscription,
    sizing,
)

P = ParamSpec("P")
R = TypeVar("R")


@dataclass
class Order:
    """An event class of the program's own."""

    number: int


@dataclass
class Express(Order):
    """A subclass: subscriptions to `Order` receive it."""

    hours: int


@dataclass
class Refund:
    """Another class, which has nothing to do with `Order`."""

    amount: float


class LogLine(Event):
    """A subclass of `Event` with an attribute of its own."""

    level: int = 0


class Shape(ABC):
    """An abstract class can be subscribed to."""

    @abstractmethod
    def area(self) -> float:
        """Return the area."""


@runtime_checkable
class Named(Protocol):
    """So can a protocol that can be asked for subclasses."""

    def name(self) -> str:
        """Return the name."""
        ...


class Meta(type):
    """A metaclass makes no difference."""


class Odd(metaclass=Meta):
    """Its class."""


def on_order(order: Order) -> int:
    """Take an `Order`."""
    return order.number


def on_either(event: Order | Refund) -> None:
    """Take one of two classes."""


def on_event(event: Event) -> None:
    """Take an `Event`."""
    print(event.type, event.data, event.id, event.timestamp, event.source)


def on_line(line: LogLine) -> None:
    """Take a subclass of `Event`."""
    print(line.level)


def on_shape(shape: Shape) -> None:
    """Take an abstract class."""
    print(shape.area())


def on_named(named: Named) -> None:
    """Take a protocol."""
    print(named.name())


def on_anything(event: Any) -> None:
    """Take whatever is published."""


def on_object(event: object) -> None:
    """Take whatever is published."""


def with_more(order: Order, *, retries: int = 3) -> None:
    """Take more than the event, with a default."""


def tagged(tag: str, order: Order) -> None:
    """Take the event as the second argument, for a partial."""


def logged(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a handler."""

    @functools.wraps(function)
    def inner(*args: P.args, **kwargs: P.kwargs) -> R:
        return function(*args, **kwargs)

    return inner


@logged
def on_wrapped(order: Order) -> None:
    """Take an `Order`, decorated."""


class Shop:
    """Handlers that belong to an object."""

    def on_order(self, order: Order) -> None:
        """Take an `Order`."""

    @classmethod
    def count(cls, order: Order) -> None:
        """Take an `Order`."""

    @staticmethod
    def note(event: Event) -> None:
        """Take an `Event`."""

    def __call__(self, order: Order) -> None:
        """Take an `Order`."""


shop = Shop()
bus = EventBus()

# ---- subscribe: a handler takes its class, a base class, or anything --------------------------

assert_type(bus.subscribe(Order, on_order), Subscription)
bus.subscribe(Express, on_order)
bus.subscribe(Order, on_either)
bus.subscribe(Order, on_anything)
bus.subscribe(Order, on_object)
bus.subscribe(Order, with_more)
bus.subscribe(Order, on_wrapped)
bus.subscribe(Order, shop)
bus.subscribe(Order, shop.on_order)
bus.subscribe(Order, Shop.count)
bus.subscribe(Order, functools.partial(tagged, "a"))
bus.subscribe(Order, lambda order: order.number)
bus.subscribe(Order, print)
orders: list[Order] = []
bus.subscribe(Order, orders.append)
bus.subscribe(Shape, on_shape)
bus.subscribe(Shape, lambda shape: shape.area())
bus.subscribe(Named, on_named)
bus.subscribe(Odd, on_object)
bus.subscribe(Event, on_event)
bus.subscribe(LogLine, on_line)
bus.subscribe(LogLine, on_event)
bus.subscribe(LogLine, lambda line: line.level)
bus.subscribe(object, on_object)

# ---- a string, a glob: an `Event` -------------------------------------------------------------

assert_type(bus.subscribe("order", on_event), Subscription)
bus.subscribe("process.*", Shop.note)
bus.subscribe(EventType.LOG_LINE, on_event)
bus.subscribe("*", on_anything)
bus.subscribe("*", lambda event: event.type.upper())
either: type[Order] | str = "order"
bus.subscribe(either, on_anything)

with bus.subscribe("order", on_event) as subscription:
    print(subscription.label, subscription.event_type, subscription.handler)
    subscription.cancel()

# ---- on: the same, and the function is what it was --------------------------------------------


@bus.on(Order)
def first(order: Order, *, loudly: bool = False) -> int:
    """Keep names, defaults and result."""
    return order.number + loudly


assert_type(first(order=Order(1), loudly=True), int)


@bus.on(Express)
def second(order: Order) -> None:
    """Keep the wider parameter."""


second(Order(1))


@bus.on("order", "process.*", EventType.LOG_LINE)
def third(event: Event) -> str:
    """Take the events of several strings."""
    return event.type


assert_type(third(event=Event("order")), str)


@bus.on(Order, Refund)
def fourth(event: Order | Refund) -> None:
    """Take either class."""


@bus.on("order", Order)
def fifth(event: Event | Order) -> None:
    """Take an event or an object."""


@bus.on("order")
@bus.on(Order, LogLine, Refund)
@logged
def sixth(event: object) -> None:
    """Be decorated several times."""


@bus.on(Shape)
def seventh(shape: Shape) -> None:
    """Take an abstract class."""


@bus.on("order", "refund", batch=50, batch_wait=0.1, key="shop")
def in_batches(events: list[Event]) -> int:
    """Take a list."""
    return len(events)


assert_type(in_batches([]), int)


@bus.on(Order, batch=50, retries=3)
def orders_in_batches(orders: Sequence[Order], *, loudly: bool = False) -> int:
    """Take anything that a list is."""
    return len(orders) + loudly


assert_type(orders_in_batches([], loudly=True), int)


@bus.on(Order, "refund", batch=50)
def both_in_batches(events: list[Any]) -> None:
    """Take lists of one kind or the other."""


@bus.on(Order, Express, Refund, Shape, LogLine)
def eighth(event: Order | Refund | Shape | LogLine) -> None:
    """Take one of five."""


@bus.on(Order, Express, Refund, Shape, LogLine, "order", "refund")
def ninth(event: Any) -> None:
    """Take one of more than five."""


@bus.on(Order)
def tenth(event: Any) -> None:
    """Take anything."""


take_orders = bus.on(Order)  # known types: what is not given is not in the union
take_both = bus.on("order", Order)
take_orders(shop.on_order)
take_both(on_object)
bus.on(Order)(shop)
bus.on("order")(Shop.note)

# ---- settings ---------------------------------------------------------------------------------

EventBus(workers=None, queue_size=None, policy="block", shutdown_timeout=None)
EventBus(workers=(4, 32), policy=BackpressurePolicy.REJECT, publish_timeout=1, monitoring=False)
EventBus(EventBusConfig.for_environment(), name="mine", workers=2)
EventBus(priority_levels=5, handler_reserve=0, starvation_after=1, slow_handler_after=None)
EventBus(thread_stack_size=262_144, priorities={"order": 3, Order: Priority.HIGH})
config = EventBusConfig(workers=None, policy="reject", priorities={EventType.LOG_LINE: 1})
EventBus(replace(config, queue_size=10), queue_size=None)
assert_type(config.policy, BackpressurePolicy)
assert_type(config.workers, int | tuple[int, int])
assert_type(config.queue_size, int)


def failed(event: Any, subscription: Subscription, error: BaseException) -> None:
    """Receive a handler that raised."""


def dropped(event: object, subscription: Subscription, reason: DropReason) -> None:
    """Receive a dropped delivery."""


# ---- the rest of the bus ----------------------------------------------------------------------

with EventBus(on_error=failed, on_drop=dropped) as other:
    assert_type(other, EventBus)
    try:
        assert_type(other.publish(Event("order", data=1, source="shop"), timeout=0.5), bool)
        other.publish(Order(1), priority=Priority.HIGH)
    except QueueFull as full:
        print(full.accepted)
    assert_type(other.publish_many((Order(n) for n in range(3)), priority=1), int)
    assert_type(other.flush(1), bool)
    assert_type(other.stats(), BusStats)
    assert_type(other.stats().queue_wait.p99, float)
    assert_type(other.advise(), Advice)
    other.resize(sizing.calculate_optimal_workers(workload="io"))
    assert_type(other.config, EventBusConfig)
    assert_type(other.stop(drain=False), bool)

assert_type(LogLine("log.line").replace(data=1), LogLine)


# ---- hooks -------------------------------------------------------------------------------------

EventBus(on_unrouted=print, on_worker_start=list, on_worker_stop=lambda: None)

# ---- later, and in the calling thread ------------------------------------------------------------

assert_type(bus.publish_after(1, Event("a"), priority=3), Scheduled)
assert_type(bus.publish_after(0.5, Order(1)).cancel(), bool)
assert_type(bus.wait_for("a"), Event)
assert_type(bus.wait_for(Order, lambda order: order.number == 1, 0.5), Order)
assert_type(bus.wait_for("a", where=lambda event: event.type == "a", timeout=1), Event)
assert_type(bus.listen("a", "b.*"), Listener[Event])
assert_type(bus.listen(Order), Listener[Order])
assert_type(bus.stream(Order, maxsize=3), Stream[Order])
assert_type(bus.stream("a", "b.*"), Stream[Event])
assert_type(bus.listen(Order, Refund, maxsize=10, policy="block"), Listener[Order | Refund])
for order in bus.listen(Order, policy=BackpressurePolicy.DROP_NEWEST):
    assert_type(order, Order)
with bus.listen("a", Order) as listener:
    assert_type(listener.dropped, int)
assert_type(bus.unsubscribe(on_order), int)
assert_type(bus.subscriptions(), tuple[Subscription, ...])
bus.subscribe(Order, shop.on_order, weak=True)
