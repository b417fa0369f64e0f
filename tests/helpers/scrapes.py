"""What a scrape of a collector says, as the client's own parser reads it."""

from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from brummerbus import Event, EventBus
from brummerbus.prometheus import BusCollector
from helpers.waiting import HANG


class Scraper:
    """A collector, and what a scrape of it says."""

    def __init__(self, *buses: EventBus) -> None:
        self.collector = BusCollector(*buses)
        self.registry = CollectorRegistry(auto_describe=True)
        self.registry.register(self.collector)

    def families(self) -> list[Any]:
        """Return the metrics, written by the client and read again by its own parser."""
        return list(text_string_to_metric_families(generate_latest(self.registry).decode()))

    def samples(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        """Return the values by name and labels."""
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in self.families()
            for sample in family.samples
        }

    def value(self, name: str, **labels: str) -> float | None:
        """Return one value; None if there is no such series."""
        return self.samples().get((f"brummerbus_{name}", frozenset(labels.items())))


def counters(samples: dict[Any, float]) -> dict[Any, float]:
    """Return those that must not fall."""
    ends = ("_total", "_bucket", "_sum", "_count")
    return {key: value for key, value in samples.items() if key[0].endswith(ends)}


def assert_none_fell(before: dict[Any, float], after: dict[Any, float]) -> None:
    assert {
        key: (value, after.get(key))
        for key, value in counters(before).items()
        if after.get(key, -1) < value
    } == {}


def handle(bus: EventBus, *event_types: str) -> None:
    """Publish events, and wait until they were handled."""
    for event_type in event_types:
        assert bus.publish(Event(event_type), timeout=HANG)
    assert bus.flush(HANG)
