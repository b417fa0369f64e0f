"""The trace context of an event, in programs that use OpenTelemetry."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def publishing_in(traceparent: str | None) -> Iterator[None]:
    """Make a remote trace context the current one, if the program has OpenTelemetry loaded."""
    propagate = sys.modules.get("opentelemetry.propagate")
    context = sys.modules.get("opentelemetry.context")
    if traceparent is None or propagate is None or context is None:
        yield
        return
    token = context.attach(propagate.extract({"traceparent": traceparent}))
    try:
        yield
    finally:
        context.detach(token)


def traceparent() -> str | None:
    """Return the trace context here, if the program has OpenTelemetry loaded."""
    propagate = sys.modules.get("opentelemetry.propagate")
    if propagate is None:
        return None
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return carrier.get("traceparent")
