"""`BusCollector`: what Prometheus scrapes is what the bus has counted, and never falls."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, build_opener

import pytest

pytest.importorskip("prometheus_client", reason="needs the extra 'prometheus'")

from prometheus_client import start_http_server
from prometheus_client.parser import text_string_to_metric_families

from brummerbus import Event, EventBus
from brummerbus._exported import EDGES, folded
from brummerbus._stats import Durations
from brummerbus.prometheus import BusCollector
from helpers.buses import BusFactory
from helpers.checks import assert_balance
from helpers.handlers import Recorder
from helpers.processes import modules_after, run_python
from helpers.scrapes import Scraper, handle
from helpers.waiting import HANG, poll

ROOT = Path(__file__).parent.parent
DASHBOARD = ROOT / "docs" / "grafana-dashboard.json"

FAMILIES = {
    "brummerbus_published": ("counter", {"bus", "type"}),
    "brummerbus_processed": ("counter", {"bus", "type"}),
    "brummerbus_failed": ("counter", {"bus", "type"}),
    "brummerbus_dropped": ("counter", {"bus", "reason", "level"}),
    "brummerbus_queue_depth": ("gauge", {"bus", "level"}),
    "brummerbus_queue_capacity": ("gauge", {"bus"}),
    "brummerbus_workers": ("gauge", {"bus", "state"}),
    "brummerbus_worker_busy_seconds": ("counter", {"bus"}),
    "brummerbus_oldest_queued_seconds": ("gauge", {"bus"}),
    "brummerbus_queue_wait_seconds": ("histogram", {"bus", "le"}),
    "brummerbus_handler_duration_seconds": ("histogram", {"bus", "le"}),
}
"""The names are fixed: dashboards and alerts refer to them."""


@pytest.fixture
def busy(factory: BusFactory) -> EventBus:
    """A bus whose figures all differ from 0, and from each other."""
    bus = factory.bus(
        name="busy", workers=2, queue_size=4, policy="drop_newest", on_error=lambda *_: None
    )
    bus.subscribe("good", Recorder())
    bus.subscribe("bad", lambda _: 1 // 0)
    handle(bus, "good", "good", "bad")
    factory.hold(bus)
    for number in range(5):
        bus.publish(Event("good", number), priority=1 + number % 2)
    poll(lambda: bus.stats().oldest_queued > 0)
    return bus


# ---- what a scrape says --------------------------------------------------------------------------


def test_a_scrape_over_http_says_what_the_bus_has_counted(busy: EventBus) -> None:
    """As Prometheus does it; each sample has the labels that its name promises."""
    scraper = Scraper(busy)
    server, thread = start_http_server(0, addr="127.0.0.1", registry=scraper.registry)
    try:
        url = f"http://127.0.0.1:{server.server_port}/metrics"
        with build_opener(ProxyHandler({})).open(url, timeout=HANG) as answer:
            families = list(text_string_to_metric_families(answer.read().decode()))
    finally:
        server.shutdown()
        server.server_close()
        thread.join(HANG)
    assert {family.name: family.type for family in families} == {
        name: kind for name, (kind, _) in FAMILIES.items()
    }
    for family in families:
        assert family.documentation
        wanted = FAMILIES[family.name][1]
        for sample in family.samples:
            assert set(sample.labels) in (wanted, wanted - {"le"}), sample
    assert_says(scraper, busy)


def assert_says(scraper: Scraper, bus: EventBus) -> None:
    """A scrape agrees with `stats()` of a bus at rest."""
    stats, name = bus.stats(), bus.name
    assert_balance(stats)
    for event_type, counts in stats.by_type.items():
        for what in ("published", "processed", "failed"):
            value = scraper.value(f"{what}_total", bus=name, type=event_type)
            assert value == getattr(counts, what), (what, event_type)
    for reason, by_level in stats.dropped_by.items():
        for level, number in by_level.items():
            labels = {"bus": name, "reason": reason.value, "level": str(level)}
            assert scraper.value("dropped_total", **labels) == number
    for level, depth in stats.queue_depth.items():
        assert scraper.value("queue_depth", bus=name, level=str(level)) == depth
    assert scraper.value("queue_capacity", bus=name) == bus.config.queue_size
    assert scraper.value("queue_wait_seconds_count", bus=name) == stats.queue_wait.count
    assert scraper.value("queue_wait_seconds_sum", bus=name) == stats.queue_wait.sum
    handled = stats.processing_time
    assert scraper.value("handler_duration_seconds_count", bus=name) == handled.count
    assert scraper.value("handler_duration_seconds_sum", bus=name) == handled.sum
    busy, idle = (scraper.value("workers", bus=name, state=state) for state in ("busy", "idle"))
    assert (busy, idle) == (stats.workers_busy, bus.workers - stats.workers_busy)


def test_workers_in_handlers_are_busy_and_the_oldest_delivery_waits(busy: EventBus) -> None:
    scraper = Scraper(busy)
    before = scraper.samples()
    bus = frozenset({("bus", "busy")})
    assert scraper.value("workers", bus="busy", state="busy") == 2
    assert scraper.value("workers", bus="busy", state="idle") == 0
    for name in ("brummerbus_oldest_queued_seconds", "brummerbus_worker_busy_seconds_total"):
        assert before[name, bus] > 0
        poll(lambda name=name: scraper.samples()[name, bus] > before[name, bus])  # type: ignore[misc]
    assert scraper.value("dropped_total", bus="busy", reason="refused", level="1") == 1
    assert scraper.value("queue_depth", bus="busy", level="1") == 2


def test_a_batch_keeps_one_worker_busy(factory: BusFactory) -> None:
    """Although all its deliveries are running."""
    bus = factory.bus(name="rows", workers=3)
    hold, gate = factory.gate(), factory.gate()
    bus.subscribe("row", hold, batch=4, max_concurrency=1)
    bus.publish(Event("row"))
    hold.wait_entered()
    for _ in range(4):
        bus.publish(Event("row"))
    hold.let_through()
    hold.wait_entered()
    assert bus.stats().running == 4
    assert Scraper(bus).value("workers", bus="rows", state="busy") == 1
    gate.open()


def test_without_monitoring_there_are_counts_and_no_durations(factory: BusFactory) -> None:
    """A histogram that stays at 0 would look like a bus that handles nothing."""
    bus = factory.bus(name="plain", monitoring=False)
    bus.subscribe("a", Recorder())
    handle(bus, "a")
    scraper = Scraper(bus)
    assert scraper.value("processed_total", bus="plain", type="a") == 1
    names = {name for name, _ in scraper.samples()}
    assert names.isdisjoint(
        {
            "brummerbus_worker_busy_seconds_total",
            "brummerbus_oldest_queued_seconds",
            "brummerbus_queue_wait_seconds_count",
            "brummerbus_handler_duration_seconds_bucket",
        }
    )


def test_names_and_types_may_have_any_characters(factory: BusFactory) -> None:
    """The client escapes what its format needs."""
    bus = factory.bus(name='a "bus"\n\\')
    bus.subscribe("*", Recorder())
    handle(bus, 'type "x"\n{}\\')
    value = Scraper(bus).value("published_total", bus='a "bus"\n\\', type='type "x"\n{}\\')
    assert value == 1


def test_names_that_utf_8_cannot_say_are_shown_with_escapes(factory: BusFactory) -> None:
    """One such event type, perhaps an undecodable file name, would fail each scrape."""
    bus = factory.bus(name="bus\udcff")
    bus.subscribe("*", Recorder())
    handle(bus, "\udcff.txt")
    assert Scraper(bus).value("published_total", bus=r"bus\udcff", type=r"\udcff.txt") == 1


# ---- which buses ---------------------------------------------------------------------------------


def test_only_the_buses_that_it_was_given_are_read(factory: BusFactory) -> None:
    one, two, _ = (factory.bus(name=name) for name in ("one", "two", "three"))
    labels = {dict(labels)["bus"] for _, labels in Scraper(one, two).samples()}
    assert labels == {"one", "two"}


def test_without_buses_all_are_read_also_those_that_begin_later(factory: BusFactory) -> None:
    factory.bus(name="before")
    scraper = Scraper()
    factory.bus(name="after")
    labels = {dict(labels)["bus"] for _, labels in scraper.samples()}
    assert labels >= {"before", "after"}


def test_buses_of_one_name_are_added_up(factory: BusFactory) -> None:
    """Two series with equal labels would make the whole scrape fail."""
    buses = [factory.bus(name="twin", queue_size=10, workers=2) for _ in range(2)]
    for bus in buses:
        bus.subscribe("a", Recorder())
        handle(bus, "a", "a")
    scraper = Scraper(*buses)
    assert scraper.value("processed_total", bus="twin", type="a") == 4
    assert scraper.value("queue_capacity", bus="twin") == 20
    assert scraper.value("workers", bus="twin", state="idle") == 4
    assert scraper.value("handler_duration_seconds_count", bus="twin") == 4


@pytest.mark.parametrize("wrong", [None, "bus", EventBus])
def test_what_is_no_bus_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match="buses must be EventBus objects, got "):
        BusCollector(wrong)


# ---- few labels ----------------------------------------------------------------------------------


def types_of(scraper: Scraper, bus: str) -> dict[str, float]:
    return {
        dict(labels)["type"]: value
        for (name, labels), value in scraper.samples().items()
        if name == "brummerbus_published_total" and dict(labels)["bus"] == bus
    }


def test_event_types_beyond_64_are_other(factory: BusFactory) -> None:
    """For each bus; the first 64 stay, whatever is published later."""
    bus, second = factory.bus(name="many", queue_size=1000), factory.bus(name="few")
    bus.subscribe("*", Recorder())
    second.subscribe("*", Recorder())
    scraper = Scraper(bus, second)
    handle(bus, *[f"t{number}" for number in range(70)])
    before = types_of(scraper, "many")
    assert list(before) == [*[f"t{number}" for number in range(64)], "other"]
    assert before["other"] == 6
    handle(bus, *[f"u{number}" for number in range(10)], "t0", "t69")
    after = types_of(scraper, "many")
    assert (after["t0"], after["other"], len(after)) == (2, 17, 65)
    handle(second, "t69")
    assert types_of(scraper, "few") == {"t69": 1}


def test_a_type_that_is_called_other_is_counted_there(factory: BusFactory) -> None:
    """It must not become a second series of that label."""
    bus = factory.bus(name="many", queue_size=1000)
    bus.subscribe("*", Recorder())
    handle(bus, "other", *[f"t{number}" for number in range(65)])
    types = types_of(Scraper(bus), "many")
    assert (len(types), types["other"]) == (65, 2)


def test_the_edges_of_the_histograms_are_fixed(factory: BusFactory) -> None:
    """A query over a time in which they change is wrong, and nothing says so."""
    bus = factory.bus(name="edges")
    bus.subscribe("a", Recorder())
    handle(bus, "a")
    edges = [
        [s.labels["le"] for s in family.samples if s.name.endswith("_bucket")]
        for family in Scraper(bus).families()
        if family.type == "histogram"
    ]
    wanted = (
        "1e-05 0.0001 0.001 0.0025 0.005 0.01 0.025 0.05 0.1 0.25 0.5 1.0 2.5 5.0 10.0 60.0 +Inf"
    )
    assert edges == [wanted.split()] * 2


def test_durations_are_counted_below_their_edge() -> None:
    """Within the 3.2 % of the queue's own buckets."""
    seconds = sorted(edge * factor for edge in EDGES for factor in (0.96, 1.04))
    buckets = tuple((second, number) for number, second in enumerate(seconds, start=1))
    histogram = folded(Durations(0, 0, 0, 0, len(seconds), sum(seconds), buckets))
    assert histogram.below == [2 * number + 1 for number in range(len(EDGES))]
    assert (histogram.count, histogram.sum) == (len(seconds), sum(seconds))


# ---- the dashboard -------------------------------------------------------------------------------


def expressions(node: Any) -> Iterator[str]:
    """Yield all queries of a dashboard, those of its variables included."""
    if isinstance(node, dict):
        if "expr" in node or node.get("type") == "query":
            yield node.get("expr", node.get("query"))
        for value in node.values():
            yield from expressions(value)
    elif isinstance(node, list):
        for value in node:
            yield from expressions(value)


def test_the_dashboard_asks_for_what_there_is_and_for_all_of_it(busy: EventBus) -> None:
    """Every name and label in its expressions exists, and every metric is shown."""
    samples: dict[str, set[str]] = {}
    for name, labels in Scraper(busy).samples():
        samples.setdefault(name, set()).update(dict(labels))
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    asked: set[str] = set()
    for expression in expressions(dashboard):
        names = re.findall(r"\bbrummerbus_\w+", expression)
        assert names, expression
        assert set(names) <= set(samples), expression
        allowed = set.intersection(*[samples[name] for name in names])
        used = re.findall(r"(\w+)=~?\"|label_values\(\w+, (\w+)\)", expression)
        used = [label for pair in used for label in pair if label]
        for group in re.findall(r"\b(?:by|without|on) \(([^)]*)\)", expression):
            used += group.split(", ")
        assert used, expression
        assert {*used} <= allowed, expression
        asked |= {re.sub(r"_(bucket|count|sum|total)$", "", name) for name in names}
    assert asked == set(FAMILIES)


# ---- what it needs -------------------------------------------------------------------------------


def test_the_package_imports_neither_it_nor_the_client() -> None:
    loaded = modules_after("import brummerbus")
    assert loaded.isdisjoint({"prometheus_client", "brummerbus.prometheus", "brummerbus._exported"})


def test_without_the_client_the_message_names_the_extra() -> None:
    without = "import sys; sys.modules['prometheus_client'] = None"
    ended = run_python("import brummerbus.prometheus", first=without)
    assert ended.code == 1
    assert "ImportError: brummerbus.prometheus needs prometheus_client" in ended.err
    assert "pip install 'brummerbus[prometheus]'" in ended.err
