"""Calls that can only be mistakes: each is refused, with a message that says what was meant."""

import functools
import json
from typing import Any, Protocol

import pytest

from brummerbus import BusClosed, Event, EventBus, EventType
from helpers.buses import BusFactory
from helpers.handlers import Recorder
from helpers.internals import subscriptions_of
from helpers.waiting import HANG

# ---- what is published -----------------------------------------------------------------------


class Job:
    """An object that a program publishes."""


PUBLISHED = [
    ("log.line", r"got 'log\.line'; did you mean Event\('log\.line'\)\?"),
    (EventType.LOG_LINE, r"did you mean Event\(.*LOG_LINE.*\)\?"),
    (Job, r"did you mean an object of Job\?"),
    (Event, r"did you mean an object of Event\?"),
    (json, r"did you mean one of the objects in json\?"),
]


@pytest.mark.parametrize(("wrong", "message"), PUBLISHED)
def test_published_string_class_or_module_is_refused(
    factory: BusFactory, wrong: Any, message: str
) -> None:
    """Also by `publish_many`, each time, and although there is a subscription to all objects."""
    bus = factory.bus()
    bus.subscribe(object, Recorder())
    for _ in range(2):
        with pytest.raises(TypeError, match=message):
            bus.publish(wrong)
        with pytest.raises(TypeError, match=message):
            bus.publish_many([wrong])
    stats = bus.stats()
    assert (stats.published, stats.unrouted, stats.queued) == (0, 0, 0)


def test_long_string_is_shown_shortened(factory: BusFactory) -> None:
    """The message is human-readable."""
    with pytest.raises(TypeError) as caught:
        factory.bus().publish("x" * 100_000)
    assert len(str(caught.value)) < 1000


def test_event_whose_constructor_was_forgotten_is_refused(factory: BusFactory) -> None:
    """It has no type by which it could be routed."""

    class Forgetful(Event):
        def __init__(self) -> None:
            pass

    bus = factory.bus()
    for _ in range(2):
        with pytest.raises(TypeError, match=r"Forgetful .*must call Event\.__init__"):
            bus.publish(Forgetful())
    with pytest.raises(TypeError, match=r"must call Event\.__init__"):
        bus.publish(Event.__new__(Event))


@pytest.mark.parametrize("wrong", ["abc", Event("a"), 5, None])
def test_publish_many_of_what_is_no_iterable_of_events_is_refused(
    factory: BusFactory, wrong: Any
) -> None:
    """One event is not many, and the characters of a string are not events."""
    with pytest.raises(TypeError, match="events must be an iterable"):
        factory.bus().publish_many(wrong)


@pytest.mark.parametrize(
    ("args", "options"),
    [((), {}), ((Event("a"), 3), {}), ((Event("a"),), {"prio": 3}), ((Event("a"),), {"event": 1})],
)
def test_publish_with_wrong_arguments_is_refused(
    factory: BusFactory, args: tuple[Any, ...], options: dict[str, Any]
) -> None:
    """As a `TypeError`, before anything changed."""
    bus = factory.bus()
    bus.subscribe("a", Recorder())
    for call in (bus.publish, bus.publish_many):
        with pytest.raises(TypeError):
            call(*args, **options)
    assert bus.stats().published == 0


# ---- event types -----------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [None, 1, b"a", ["a"], ("a", "b"), 1.5, Event("a")])
def test_event_type_must_be_a_string_or_a_class(factory: BusFactory, wrong: Any) -> None:
    """Anything else is a `TypeError` that shows it; nothing was subscribed."""
    bus = factory.bus()
    with pytest.raises(TypeError, match="event_type must be a string, a glob or a class, got"):
        bus.subscribe(wrong, print)
    with pytest.raises(TypeError, match="event_type must be"):
        bus.on("a", wrong)
    bus.publish(Event("a"))
    assert bus.stats().unrouted == 1


def test_event_type_must_not_be_empty(factory: BusFactory) -> None:
    """An empty string matches no event."""
    with pytest.raises(ValueError, match="event_type"):
        factory.bus().subscribe("", print)
    with pytest.raises(ValueError, match="event_type"):
        factory.bus().on("")


def test_on_without_a_type_is_refused(factory: BusFactory) -> None:
    """`@bus.on()` and `@bus.on` are detected immediately, and arguments in the wrong order too."""
    bus = factory.bus()
    with pytest.raises(TypeError, match="at least one event type"):
        bus.on()
    with pytest.raises(TypeError, match=r"did you mean bus\.on\('event.type'\) above it"):
        bus.on(print)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"subscribe\(event_type, handler\)\?"):
        bus.subscribe(lambda event: None, "a")  # type: ignore[call-overload]


class _NoSubclasses(type):
    def __subclasscheck__(cls, subclass: type) -> bool:
        raise TypeError("not this one")


class _Data(Protocol):
    size: int


@pytest.mark.parametrize("odd", [_NoSubclasses("odd", (), {}), _Data])
def test_class_that_cannot_be_asked_for_subclasses_is_refused(
    factory: BusFactory, odd: type
) -> None:
    """It would receive nothing, and every other publish would call it without success."""
    bus = factory.bus()
    with pytest.raises(TypeError, match="does not support issubclass"):
        bus.subscribe(odd, print)
    assert bus.publish(Event("a"))


# ---- handlers --------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [None, 1, "print", []])
def test_handler_must_be_callable(factory: BusFactory, wrong: Any) -> None:
    """Anything else is a `TypeError` that shows it."""
    with pytest.raises(TypeError, match="handler must be callable, got"):
        factory.bus().subscribe("a", wrong)
    with pytest.raises(TypeError, match="handler must be callable, got"):
        factory.bus().on("a", "b")(wrong)


async def _coroutine(event: Any) -> None:
    """Would never be awaited."""


async def _async_generator(event: Any) -> Any:
    yield


def _generator(event: Any) -> Any:
    yield


KINDS = {
    "coroutine function": _coroutine,
    "async generator function": _async_generator,
    "generator function": _generator,
}


def as_partial(function: Any) -> Any:
    return functools.partial(functools.partial(function))


def as_decorated(function: Any) -> Any:
    """Wrap it as decorators do."""

    @functools.wraps(function)
    def wrapper(event: Any) -> Any:
        return function(event)

    return functools.wraps(wrapper)(lambda event: wrapper(event))


def as_method(function: Any) -> Any:
    """Bind it to an object."""
    return type("Own", (), {"method": lambda_with_self(function)})().method


def lambda_with_self(function: Any) -> Any:
    """Give it the argument that a method has."""

    @functools.wraps(function)
    def method(self: Any, event: Any) -> Any:
        return function(event)

    return method


def as_bound(function: Any) -> Any:
    return function.__get__("the event is the object", str)


def as_callable_object(function: Any) -> Any:
    return type("Own", (), {"__call__": lambda_with_self(function)})()


def as_single_dispatch(function: Any) -> Any:
    """Make it the implementation for some events."""
    dispatcher = functools.singledispatch(lambda event: None)
    dispatcher.register(int)(function)
    return dispatcher


def as_partial_of_method(function: Any) -> Any:
    return functools.partial(as_method(function))


WRAPPERS = [
    lambda function: function,
    as_partial,
    as_decorated,
    as_method,
    as_bound,
    as_callable_object,
    as_single_dispatch,
    as_partial_of_method,
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("wrap", WRAPPERS)
def test_handler_that_would_not_do_its_work_is_refused(
    factory: BusFactory, wrap: Any, kind: str
) -> None:
    """Calling it would only return an object that nothing awaits, silently."""
    bus = factory.bus()
    with pytest.raises(TypeError, match=rf"calling an? {kind} only returns an object"):
        bus.subscribe("a", wrap(KINDS[kind]))
    assert subscriptions_of(bus) == []


@pytest.mark.parametrize("wrap", [w for w in WRAPPERS if w is not as_bound])
def test_handler_that_does_its_work_is_accepted_however_it_is_wrapped(
    factory: BusFactory, wrap: Any
) -> None:
    """The check looks through wrappers, and accepts all of them."""
    bus, recorder = factory.bus(), Recorder()

    def work(event: Any) -> None:
        recorder(event)

    bus.subscribe(int, wrap(work))
    assert bus.publish(7)
    assert bus.flush(HANG)
    assert recorder.events == [7]


def test_decorator_may_give_the_handler_more_than_the_event(factory: BusFactory) -> None:
    """What it wraps need not be callable with the event alone."""
    bus, recorder = factory.bus(), Recorder()

    def with_session(function: Any) -> Any:
        return functools.wraps(function)(lambda event: function("session", event))

    @bus.on(int)
    @with_session
    def work(session: str, event: Any) -> None:
        recorder((session, event))

    assert bus.publish(7)
    assert bus.flush(HANG)
    assert recorder.events == [("session", 7)]


class Service:
    def handle(self, event: Event) -> None:
        """Handle an event."""


@pytest.mark.parametrize(
    ("wrong", "signature"),
    [
        (lambda: None, r"\(\)"),
        (lambda one, two: None, r"\(one, two\)"),
        (lambda event, *, key: None, r"\(event, \*, key\)"),
        (lambda *, event: None, r"\(\*, event\)"),
        (functools.partial(lambda event: None, 1), r"\(\)"),
        (functools.partial(lambda one, two, three: None, 1), r"\(two, three\)"),
        (type("Own", (), {"__call__": lambda self: None})(), r"\(\)"),
    ],
)
def test_handler_that_cannot_take_the_event_is_refused(
    factory: BusFactory, wrong: Any, signature: str
) -> None:
    """With its signature, which shows what is missing or too much."""
    with pytest.raises(
        TypeError, match=rf"handler must take one argument, the event, got .*{signature}"
    ):
        factory.bus().subscribe("a", wrong)


def test_method_without_its_object_is_refused_with_what_was_meant(factory: BusFactory) -> None:
    """The usual mistake of `@bus.on` inside a class."""
    with pytest.raises(TypeError, match=r"subscribe a method .*object\.method"):
        factory.bus().subscribe("a", Service.handle)


@pytest.mark.parametrize(
    "handler",
    [
        print,
        [].append,
        Service().handle,
        lambda *events: None,
        lambda event, more=None, *, key=None: None,
        functools.partial(lambda one, event: None, 1),
        functools.partial(lambda event, key: None, key=1),
        Job.__init__,
        Recorder(),
    ],
)
def test_handler_that_can_take_the_event_is_accepted(factory: BusFactory, handler: Any) -> None:
    """Builtins with unknown signatures, among them."""
    assert factory.bus().subscribe("a", handler).handler == handler


def test_subscribing_to_a_stopped_bus_is_refused(factory: BusFactory) -> None:
    """It would never receive anything."""
    bus: EventBus = factory.bus(name="night")
    decorate = bus.on("a")
    bus.stop()
    with pytest.raises(BusClosed, match="night"):
        bus.subscribe("a", print)
    with pytest.raises(BusClosed, match="night"):
        decorate(print)
