"""The pytest plugin: what `bus_spy` sees."""

import pytest

from helpers.pytests import runs

pytest_plugins = ["pytester"]


@runs("""
class Order:
    def __init__(self, number):
        self.number = number

def test_events_are_in_the_order_of_publishing(bus, bus_spy):
    order = Order(1)
    bus.publish(Event("a", 1))
    bus.publish(order)
    bus.publish(Event("b", 2), priority=3)
    assert bus_spy.events[1] is order
    assert [event.type for event in bus_spy.events[::2]] == ["a", "b"]
    assert bus.stats().published == 0

def test_expect_waits_for_events_that_other_threads_publish(bus, bus_spy):
    def build(event):
        for number in range(2):
            bus.publish(Event(f"build.{number}", number))

    bus.subscribe("build", build)
    with bus_spy.expect("build.*", count=2, timeout=30) as got:
        bus.publish(Event("build"))
    assert [event.data for event in got] == [0, 1]

def test_expect_sees_what_is_published_in_its_block_only(bus, bus_spy):
    bus.publish(Event("a", 1))
    with bus_spy.expect("a", timeout=30) as got:
        bus.publish(Event("a", 2))
    assert [event.data for event in got] == [2]

def test_where_and_classes_choose(bus, bus_spy):
    with bus_spy.expect(Order, count=None, where=lambda order: order.number > 1) as got:
        with bus_spy.expect("a.b", where=lambda event: event.data == 2):
            for number in (1, 2, 3):
                bus.publish(Order(number))
                bus.publish(Event("a.b", number))
    assert [order.number for order in got] == [2, 3]

def test_what_was_not_published_is_no_failure_of_never(bus, bus_spy):
    bus_spy.never("error.*")
    bus_spy.never("b", where=lambda event: event.data == 1)
    bus.publish(Event("b", 2))

def test_a_stopped_bus_publishes_nothing_more(bus, bus_spy):
    bus.publish(Event("a"))
    bus.stop()
    assert [event.type for event in bus_spy.events] == ["a"]
    with pytest.raises(AssertionError, match="0 came"):
        with bus_spy.expect("a", timeout=float("inf")):
            pass
""")
def test_a_spy_sees_every_event(result: pytest.RunResult) -> None:
    result.assert_outcomes(passed=6)


@runs("""
def test_too_few(bus, bus_spy):
    with bus_spy.expect("build.*", count=2, timeout=0.01):
        bus.publish(Event("build.done", 1))
        bus.publish(Event("other", 2))

def test_too_many(bus, bus_spy):
    with bus_spy.expect("build.*", count=1, timeout=30):
        bus.publish(Event("build.done", 1))
        bus.publish(Event("build.done", 2))

def test_published_before(bus, bus_spy):
    bus.publish(Event("error.a", 1))
    bus_spy.never("error.*")

def test_the_block_raises(bus, bus_spy):
    with bus_spy.expect("a"):
        raise ZeroDivisionError("in the block")
""")
def test_what_is_not_as_expected_fails_the_test(result: pytest.RunResult) -> None:
    """With what was published instead, and without the plugin's own code."""
    result.assert_outcomes(failed=4)
    text = result.stdout.str()
    assert "_spy.py" not in text
    result.stdout.fnmatch_lines(
        [
            "*bus: expected 2 of 'build.[*]' within 0.01 s, 1 came; published were "  # noqa: ISC004
            "<Event *build.done 1>, <Event *other 2>",
            "*bus: expected 1 of 'build.[*]' within 30 s, 2 came; *",
            "*bus: 'error.[*]' must never be published: <Event *error.a 1>",
            "*ZeroDivisionError: in the block",
        ]
    )


@runs("""
def test_a(bus, bus_spy):
    bus_spy.never("error.*")
    flush, go_on = bus.flush, threading.Event()

    def late(event):
        assert go_on.wait(10)
        bus.publish(Event("error.late", 1))

    def flush_at_the_end(timeout):
        go_on.set()
        return flush(timeout)

    bus.flush = flush_at_the_end
    bus.subscribe("a", late)
    bus.publish(Event("a"))
""")
def test_never_holds_until_what_is_queued_was_handled(result: pytest.RunResult) -> None:
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*'error.[*]' must never be published: <Event *error.late 1>"])


@runs("""
from brummerbus import EventBus

@pytest.fixture
def bus():
    with EventBus(name="mine") as bus:
        yield bus

def test_a(bus, bus_spy):
    bus.publish(Event("a"))
    assert [event.type for event in bus_spy.events] == ["a"]
""")
def test_the_spy_works_with_a_bus_of_ones_own(result: pytest.RunResult) -> None:
    result.assert_outcomes(passed=1)
