"""What `BusCollector` counts never falls, whatever becomes of a bus."""

import gc
import itertools
import os
import weakref

import pytest

pytest.importorskip("prometheus_client", reason="needs the extra 'prometheus'")

from brummerbus import Event, EventBus
from brummerbus.prometheus import BusCollector
from helpers.buses import BusFactory
from helpers.handlers import Recorder
from helpers.internals import sources_of
from helpers.processes import run_python
from helpers.scrapes import Scraper, assert_none_fell, handle
from helpers.threads import run_together
from helpers.waiting import HANG, poll


@pytest.mark.parametrize("chosen", [True, False])
def test_counters_stay_when_a_bus_stops_is_collected_and_is_replaced(chosen: bool) -> None:
    """By another of its name, whose counts are added."""
    bus: EventBus | None = EventBus(workers=1, name="phoenix", on_error=lambda *_: None)
    assert bus is not None
    scraper = Scraper(bus) if chosen else Scraper()
    bus.subscribe("a", lambda _: 1 // 0)
    handle(bus, "a", "a", "a")
    seen = [scraper.samples()]
    handle(bus, "a")  # which no scrape sees before the bus has ended
    bus.stop()
    seen.append(scraper.samples())
    del bus
    gc.collect()
    seen.append(scraper.samples())
    labels = {"bus": "phoenix", "type": "a"}
    assert scraper.value("failed_total", **labels) == 4
    assert scraper.value("queue_capacity", bus="phoenix") is None
    with EventBus(workers=1, name="phoenix") as new:
        seen.append(scraper.samples())
        new.subscribe("a", Recorder())
        handle(new, "a")
        seen.append(scraper.samples())
    for before, after in itertools.pairwise(seen):
        assert_none_fell(before, after)
    expected = 4 if chosen else 5
    assert scraper.value("processed_total", **labels) == expected
    assert scraper.value("handler_duration_seconds_count", bus="phoenix") == expected


def test_a_bus_that_was_never_scraped_is_counted(factory: BusFactory) -> None:
    """However short its life between two scrapes."""
    scraper = Scraper()
    with EventBus(workers=1, name="mayfly") as bus:
        bus.subscribe("a", Recorder())
        handle(bus, "a")
    del bus
    gc.collect()
    assert scraper.value("processed_total", bus="mayfly", type="a") == 1


def test_what_a_bus_still_drains_after_it_was_collected_is_counted(factory: BusFactory) -> None:
    gate = factory.gate()
    bus = EventBus(workers=1, name="retired")
    scraper = Scraper(bus)
    bus.subscribe("a", gate)
    bus.publish_many([Event("a")] * 3)
    gate.wait_entered()
    del bus
    gc.collect()
    assert scraper.value("queue_depth", bus="retired", level="2") == 2
    assert scraper.value("processed_total", bus="retired", type="a") == 0
    gate.open()
    poll(lambda: scraper.value("processed_total", bus="retired", type="a") == 3)


def test_busy_time_stays_when_workers_leave(factory: BusFactory) -> None:
    bus = factory.bus(name="shrinks", workers=3)
    scraper = Scraper(bus)
    gate = factory.hold(bus)
    poll(lambda: bus.stats().busy_time > 0)
    gate.open()
    assert bus.flush(HANG)
    before = scraper.value("worker_busy_seconds_total", bus="shrinks")
    bus.resize(1)
    poll(lambda: scraper.value("workers", bus="shrinks", state="idle") == 1)
    after = scraper.value("worker_busy_seconds_total", bus="shrinks")
    assert before is not None
    assert after is not None
    assert after >= before > 0


def test_no_counter_falls_while_buses_come_and_go(frequent_switches: None) -> None:
    """Two threads scrape while three others make and drop buses, two of them of one name."""
    scraper, ended = Scraper(), list[str]()

    def scrape() -> None:
        last = scraper.samples()
        while len(ended) < 3:
            now = scraper.samples()
            assert_none_fell(last, now)
            last = now

    def live(name: str) -> None:
        for number in range(15):
            bus = EventBus(workers=2, name=name, queue_size=20, on_error=lambda *_: None)
            bus.subscribe("a", lambda event: 1 // (event.data % 3))
            bus.publish_many([Event("a", n) for n in range(30)])
            if number % 2:
                bus.stop()
            del bus

    def work(number: int) -> None:
        if number < 2:
            scrape()
            return
        name = "xxy"[number - 2]
        try:
            live(name)
        finally:
            ended.append(name)

    run_together(5, work)
    gc.collect()
    poll(lambda: scraper.value("published_total", bus="x", type="a") == 900)


FORKED = """
from brummerbus.prometheus import BusCollector

def published(collector):
    return {s.labels["bus"]: s.value for m in collector.collect() for s in m.samples
            if s.name == "brummerbus_published_total"}

gone = bus_of(name="gone")
gone.subscribe("a", lambda event: None)
bus = bus_of(name="kept")
bus.subscribe("a", lambda event: None)
collectors = BusCollector(bus), BusCollector()
for one in (bus, gone):
    one.publish_many([Event("a")] * 3)
    one.flush()
    one.stop() if one is gone else None
del gone, one
say(*[sorted(published(c).items()) for c in collectors])
if os.fork() == 0:
    say(*[published(c) for c in collectors])
    bus.publish(Event("a"))
    bus.flush()
    say(*[sorted(published(c).items()) for c in collectors])
    os._exit(0)
os.wait()
bus.publish(Event("a"))
bus.flush()
say(*[sorted(published(c).items()) for c in collectors])
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs POSIX")
def test_a_forked_child_begins_at_0() -> None:
    """It is another process to Prometheus."""
    ended = run_python(FORKED)
    assert ended.code == 0, ended.err
    assert ended.lines == [
        "[('kept', 3)] [('gone', 3), ('kept', 3)]",
        "{} {}",
        "[('kept', 1)] [('kept', 1)]",
        "[('kept', 4)] [('gone', 3), ('kept', 4)]",
    ]


# ---- what is kept -------------------------------------------------------------------------------


def test_it_keeps_neither_bus_nor_handlers(factory: BusFactory) -> None:
    class Handler:
        def __call__(self, event: Event) -> None:
            pass

    bus, handler = EventBus(workers=1, name="short"), Handler()
    scrapers = [Scraper(bus), Scraper()]
    bus.subscribe("a", handler)
    handle(bus, "a")
    references = [weakref.ref(bus), weakref.ref(handler)]
    for scraper in scrapers:
        scraper.samples()
    bus.stop()
    del bus, handler
    gc.collect()
    assert [reference() for reference in references] == [None, None]


def test_buses_that_end_do_not_add_up_if_nobody_scrapes() -> None:
    collector = BusCollector()
    before = len(sources_of(collector))  # of buses that other tests have left
    for _ in range(20):
        with EventBus(workers=1, name="short"):
            pass
    gc.collect()
    assert len(sources_of(collector)) - before < 10
