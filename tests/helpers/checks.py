"""What must hold for any bus, at any time or when it is idle."""

from typing import Any

import pytest

from brummerbus import BusClosed, Event, EventBus
from brummerbus._core._ext import hooks_here
from helpers.waiting import HANG


def assert_balance(stats: Any) -> None:
    """Check that the counts add up: in total, by level, by type, and between these."""
    for part in (stats, *stats.by_level.values(), *stats.by_type.values()):
        assert part.published == part.processed + part.dropped + part.queued + part.running
        assert part.failed <= part.processed
    for field in ("published", "processed", "failed", "dropped", "queued", "running"):
        total = getattr(stats, field)
        assert sum(getattr(counts, field) for counts in stats.by_level.values()) == total, field
        assert sum(getattr(counts, field) for counts in stats.by_type.values()) == total, field
    assert sum(sum(levels.values()) for levels in stats.dropped_by.values()) == stats.dropped
    assert sum(stats.queue_depth.values()) == stats.queued


def assert_at_rest(bus: EventBus) -> None:
    """Check that a flush ends, the counts add up, and nothing is left over."""
    assert bus.flush(HANG)
    stats = bus.stats()
    assert_balance(stats)
    assert (stats.queued, stats.running) == (0, 0)
    assert (stats.waiting, stats.reserve_used) == (0, 0)
    assert hooks_here() == 0


def assert_closed(bus: EventBus, event: Any = None) -> None:
    """Check that the bus refuses every event, and counts none of them."""
    before = bus.stats().published, bus.stats().unrouted
    event = Event("a") if event is None else event
    with pytest.raises(BusClosed):
        bus.publish(event)
    with pytest.raises(BusClosed):
        bus.publish(event, priority=1, timeout=HANG)
    with pytest.raises(BusClosed):
        bus.publish(Event("nobody subscribed to this"))
    with pytest.raises(BusClosed):
        bus.publish_many([event, event])
    assert (bus.stats().published, bus.stats().unrouted) == before
