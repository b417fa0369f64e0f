"""With `propagate_context`, handlers have the publisher's span; without it, none.

With tracers that also patch `threading.Thread`; `make proofs` has an environment that has them.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any, Protocol

import pytest

from brummerbus import Event, EventBus

HANG = 30.0


class Tracer(Protocol):
    """What the proofs need of a tracer."""

    def span(self, name: str) -> AbstractContextManager[Any]:
        """Begin a span, in which the block runs."""

    def current(self) -> str | None:
        """Return the name of the current span, if there is one."""


class OpenTelemetry:
    """OpenTelemetry, with its instrumentation of threads."""

    def __init__(self) -> None:
        trace = pytest.importorskip("opentelemetry.trace")
        sdk = pytest.importorskip("opentelemetry.sdk.trace")
        threads = pytest.importorskip("opentelemetry.instrumentation.threading")
        self._trace = trace
        self._tracer = sdk.TracerProvider().get_tracer("proof")
        self._instrumentor = threads.ThreadingInstrumentor()
        self._instrumentor.instrument()

    def span(self, name: str) -> AbstractContextManager[Any]:
        """Begin a span."""
        return self._tracer.start_as_current_span(name)  # type: ignore[no-any-return]

    def current(self) -> str | None:
        """Return the name of the current span."""
        return getattr(self._trace.get_current_span(), "name", None)

    def end(self) -> None:
        """Leave threads alone again."""
        self._instrumentor.uninstrument()


class Sentry:
    """Sentry, with its integrations, of which one is for threads."""

    def __init__(self) -> None:
        self._sdk = pytest.importorskip("sentry_sdk")
        self._sdk.init(traces_sample_rate=1.0)

    def span(self, name: str) -> AbstractContextManager[Any]:
        """Begin a transaction."""
        return self._sdk.start_transaction(name=name)  # type: ignore[no-any-return]

    def current(self) -> str | None:
        """Return the name of the current transaction."""
        transaction = self._sdk.get_current_scope().transaction
        return None if transaction is None else str(transaction.name)

    def end(self) -> None:
        """Nothing can be taken back."""


@pytest.fixture(params=[OpenTelemetry, Sentry])
def tracer(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Return a tracer that is in use."""
    tracer = request.param()
    yield tracer
    tracer.end()


def handled(tracer: Tracer, **options: Any) -> list[str | None]:
    """Publish in spans, and return in which the handlers ran."""
    seen: list[str | None] = []
    propagates = options.pop("propagate_context")
    with tracer.span("the maker"):
        bus = EventBus(workers=1, queue_size=100, propagate_context=propagates)
    with bus:
        bus.subscribe("a", lambda event: seen.append(tracer.current()), **options)
        for name in ("first", "second"):
            with tracer.span(name):
                bus.publish(Event("a"))
                # Within the span, which sentry_sdk takes from a shared scope when it ends.
                assert bus.flush(HANG)
        bus.publish(Event("a"))
        assert bus.flush(HANG)
    return seen


@pytest.mark.parametrize("options", [{}, {"key": "type"}, {"retries": 1}], ids=str)
def test_with_it_a_handler_has_the_publishers_span(tracer: Tracer, options: Any) -> None:
    """And none of the event before, nor of the thread that made the bus."""
    seen = handled(tracer, propagate_context=True, **options)
    assert seen == ["first", "second", None]


def test_without_it_a_handler_has_none(tracer: Tracer) -> None:
    """Neither that of the publisher nor that of the thread that made the bus."""
    assert handled(tracer, propagate_context=False) == [None] * 3
