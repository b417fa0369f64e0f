"""Spans of OpenTelemetry: one for each publish, and one for each delivery, which links to it."""

from collections.abc import Callable
from contextvars import Context, copy_context
from functools import partial
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, Status, StatusCode, Tracer

from brummerbus import Event
from brummerbus._core.admission import Gone, NoRoom
from brummerbus._core.hooks import Runs
from brummerbus._core.weak import WeakHandler
from brummerbus._text import utf8
from brummerbus.otel._metrics import SYSTEM

Attributes = dict[str, str | int]


class Spans:
    """Makes the spans of one bus. Without `propagate` each delivery begins a trace of its own."""

    def __init__(self, bus: str, tracer: Tracer, *, propagate: bool) -> None:
        self.tracer = tracer
        self.propagate = propagate
        self._bus = utf8(bus)

    def publish(self, event: Any, publish: Callable[[Runs | None], bool]) -> bool:
        """Publish an event in a span; an event that was dropped has failed."""
        attributes = self.attributes("publish", "send", event)
        name = f"publish {attributes['messaging.destination.name']}"
        span = self.tracer.start_span(name, kind=SpanKind.PRODUCER, attributes=attributes)
        try:
            with trace.use_span(span, record_exception=False, set_status_on_exception=False):
                accepted = publish(_Traced(self, event, span.get_span_context()))
        except (Gone, NoRoom) as error:
            if isinstance(error, NoRoom) and error.turn is not None:
                span.end()  # it waits for its turn
            raise  # otherwise it is tried again: a span that does not end is not exported
        except BaseException as error:
            _fail(span, type(error).__qualname__, str(error))
            span.end()
            raise
        if not accepted:
            _fail(span, "dropped", "the queue is full")
        span.end()
        return accepted

    def attributes(self, operation: str, kind: str, event: Any) -> Attributes:
        """Return what a span says of an event."""
        is_event = isinstance(event, Event)
        attributes: Attributes = {
            "messaging.system": SYSTEM,
            "messaging.operation.name": operation,
            "messaging.operation.type": kind,
            "messaging.destination.name": utf8(
                event.type if is_event else type(event).__qualname__
            ),
            "brummerbus.bus": self._bus,
        }
        if is_event:
            attributes["messaging.message.id"] = str(event.id)
        return attributes


class _Traced:
    """What handlers of an event run in, in place of a context: a span each."""

    __slots__ = ("_context", "_event", "_link", "_spans")

    def __init__(self, spans: Spans, event: Any, publisher: SpanContext) -> None:
        self._spans = spans
        self._event = event
        self._link = Link(publisher)
        self._context = copy_context() if spans.propagate else None

    def copy(self) -> "_Traced":
        """Return what one handler runs in: `run` makes its context."""
        return self

    def run(self, handler: Callable[[Any], Any], argument: Any) -> Any:
        """Call a handler in a span, with the event, or with the batch that it is the first of."""
        context = Context() if self._context is None else self._context.copy()
        return context.run(partial(self._handle, handler, argument))

    def _handle(self, handler: Callable[[Any], Any], argument: Any) -> Any:
        spans = self._spans
        attributes = spans.attributes("process", "process", self._event)
        attributes["messaging.destination.subscription.name"] = _name(handler)
        if argument is not self._event:
            attributes["messaging.batch.message_count"] = len(argument)
        span = spans.tracer.start_span(
            f"process {attributes['messaging.destination.name']}",
            context=None if spans.propagate else otel_context.Context(),
            kind=SpanKind.CONSUMER,
            attributes=attributes,
            links=[self._link],
        )
        with trace.use_span(
            span, end_on_exit=True, record_exception=False, set_status_on_exception=False
        ):
            try:
                return handler(argument)
            except BaseException as error:
                span.record_exception(error)
                _fail(span, type(error).__qualname__, str(error))
                raise


def _fail(span: Span, kind: str, description: str) -> None:
    span.set_attribute("error.type", kind)
    span.set_status(Status(StatusCode.ERROR, description))


def _name(handler: Any) -> str:
    if isinstance(handler, WeakHandler):
        handler = handler.method()
    while isinstance(handler, partial):
        handler = handler.func
    return str(getattr(handler, "__qualname__", type(handler).__qualname__))
