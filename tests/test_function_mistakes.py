"""Functions that cannot be meant: handlers, hooks, keys and conditions are checked when given."""

import functools
from typing import Any

import pytest

from brummerbus import Event, EventBus
from helpers.buses import BusFactory
from helpers.handlers import Recorder
from helpers.internals import subscriptions_of
from helpers.waiting import HANG

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


def as_method_with_an_attribute(function: Any) -> Any:
    """Mark it, as decorators of frameworks do, under the name that a partial uses."""
    method = lambda_with_self(function)
    method.func = print
    return type("Own", (), {"method": method})().method


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
    as_method_with_an_attribute,
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
        Service.__init__,
        Recorder(),
    ],
)
def test_handler_that_can_take_the_event_is_accepted(factory: BusFactory, handler: Any) -> None:
    """Builtins with unknown signatures, among them."""
    assert factory.bus().subscribe("a", handler).handler == handler


# ---- hooks, keys, conditions -----------------------------------------------------------------

HOOKS = {
    "on_error": "3 arguments, the event, subscription and exception",
    "on_drop": "3 arguments, the event, subscription and reason",
    "on_unrouted": "one argument, the event",
    "on_worker_start": "no argument",
    "on_worker_stop": "no argument",
}


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("kind", KINDS)
def test_hook_that_would_not_do_its_work_is_refused(hook: str, kind: str) -> None:
    """Whatever it was to report would be lost."""
    wrong: Any = {hook: functools.partial(KINDS[kind])}
    with pytest.raises(TypeError, match=f"{hook} must do its work .*calling an? {kind} only"):
        EventBus(workers=1, **wrong)


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("function", [lambda one, two: None, lambda *, key: None])
def test_hook_that_cannot_be_called_is_refused(hook: str, function: Any) -> None:
    """With what it is called with, and its signature. Else it would fail when it is needed."""
    wrong: Any = {hook: function}
    with pytest.raises(TypeError, match=rf"{hook} must take {HOOKS[hook]}, got .*\("):
        EventBus(workers=1, **wrong)


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("function", [lambda *args: None, functools.partial(max, 1), dict.update])
def test_hook_that_can_be_called_is_accepted(factory: BusFactory, hook: str, function: Any) -> None:
    """Also what takes any arguments, or has no signature that says."""
    assert getattr(factory.bus(**{hook: function}), hook) == function


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("wrap", [lambda function: function, as_partial, as_bound])
def test_completion_hook_that_would_not_do_its_work_is_refused(
    factory: BusFactory, wrap: Any, kind: str
) -> None:
    """Each time, and nothing is published."""
    bus, recorder = factory.bus(), Recorder()
    bus.subscribe("a", recorder)
    for _ in range(2):
        with pytest.raises(TypeError, match="on_done must do its work when called"):
            bus.publish(Event("a"), on_done=wrap(KINDS[kind]))
        with pytest.raises(TypeError, match="on_done must do its work when called"):
            bus.publish_many([Event("a")], on_done=wrap(KINDS[kind]))
    assert bus.stats().published == 0


@pytest.mark.parametrize("kind", KINDS)
def test_key_or_condition_that_computes_nothing_is_refused(factory: BusFactory, kind: str) -> None:
    """All its coroutines would be different keys, and all would be true."""
    bus = factory.bus()
    with pytest.raises(TypeError, match="key must do its work when called"):
        bus.subscribe("a", print, key=KINDS[kind])
    with pytest.raises(TypeError, match="where must do its work when called"):
        bus.wait_for("a", KINDS[kind], timeout=0)


@pytest.mark.parametrize("function", [lambda: None, lambda one, two: None])
def test_key_or_condition_that_cannot_take_the_event_is_refused(
    factory: BusFactory, function: Any
) -> None:
    """Before it is needed."""
    bus = factory.bus()
    with pytest.raises(TypeError, match="key must take one argument, the event, got"):
        bus.subscribe("a", print, key=function)
    with pytest.raises(TypeError, match="where must take one argument, the event, got"):
        bus.wait_for("a", function, timeout=0)
