"""OpenTelemetry in memory: what its tests share."""

from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind


class Telemetry:
    """Providers whose metrics and spans are kept in memory."""

    def __init__(self) -> None:
        self._reader = InMemoryMetricReader()
        self._exporter = InMemorySpanExporter()
        self.providers: dict[str, Any] = {
            "meter_provider": MeterProvider([self._reader], shutdown_on_exit=False),
            "tracer_provider": TracerProvider(shutdown_on_exit=False),
        }
        processor = SimpleSpanProcessor(self._exporter)
        self.providers["tracer_provider"].add_span_processor(processor)
        self.tracer = self.providers["tracer_provider"].get_tracer("test")

    def metrics(self) -> dict[str, dict[frozenset[tuple[str, Any]], Any]]:
        """Collect the metrics; return their values by name and attributes."""
        data = self._reader.get_metrics_data()
        return {
            metric.name: {
                frozenset(point.attributes.items()): point.value
                for point in metric.data.data_points
            }
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }

    def value(self, name: str, **attributes: Any) -> Any:
        """Return the value of the point that has at least these attributes; `_` is a dot."""
        wanted = {key.replace("__", "."): value for key, value in attributes.items()}
        points = self.metrics().get(name, {})
        [found] = [value for key, value in points.items() if wanted.items() <= dict(key).items()]
        return found

    def spans(self, kind: SpanKind) -> list[ReadableSpan]:
        """Return the spans of a kind that have ended, in that order."""
        return [span for span in self._exporter.get_finished_spans() if span.kind is kind]

    def producers(self) -> list[ReadableSpan]:
        return self.spans(SpanKind.PRODUCER)

    def consumers(self) -> list[ReadableSpan]:
        return self.spans(SpanKind.CONSUMER)
