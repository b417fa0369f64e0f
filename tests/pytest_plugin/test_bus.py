"""The pytest plugin: what the fixture `bus` does not let pass."""

import pytest

from helpers.pytests import runs

pytest_plugins = ["pytester"]


@runs("""
def test_a(bus):
    seen = []
    bus.subscribe("a", seen.append)
    assert bus.publish(Event("a", 1))
    assert bus.flush(timeout=30)
    assert [event.data for event in seen] == [1]
    assert (bus.workers, bus.name) == (1, "bus")

def test_what_is_queued_at_the_end_is_handled_and_the_bus_is_stopped(bus):
    bus.subscribe("a", lambda event: None)
    bus.publish_many([Event("a")] * 5)
    buses.append(bus)

buses = []

def test_after_that():
    assert buses[0].closed
    assert buses[0].stats().processed == 5
    assert not [t.name for t in threading.enumerate() if t.name.startswith("bus-")]
""")
def test_a_test_without_mistakes_passes(result: pytest.RunResult) -> None:
    result.assert_outcomes(passed=3)


@runs("""
def test_a(bus):
    bus.subscribe("a", boom)
    bus.publish(Event("a", 17))
""")
def test_a_handler_that_raises_fails_the_test(result: pytest.RunResult) -> None:
    """With its traceback."""
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(
        [
            "- 1 handler raised*",
            "<Subscription a -> boom> with <Event *a 17>",
            "*in boom",
            "ValueError: boom 17",
        ]
    )


@runs("""
def test_attribute(bus):
    bus.allow_failures = True
    bus.subscribe("a", boom)
    bus.publish(Event("a", 17))
    assert bus.flush(timeout=30)
    [(event, subscription, error)] = bus.failures
    assert (event.data, subscription.label, str(error)) == (17, "a -> boom", "boom 17")

@pytest.mark.brummerbus(allow_failures=True)
def test_marker(bus):
    bus.subscribe("a", boom)
    bus.publish(Event("a"))
""")
def test_failures_can_be_allowed(result: pytest.RunResult) -> None:
    result.assert_outcomes(passed=2)


DROPPING = """
def fill(bus):
    busy, go_on = threading.Event(), threading.Event()
    def hold(event):
        busy.set()
        assert go_on.wait(30)
    bus.subscribe("hold", hold)
    bus.publish(Event("hold"))
    assert busy.wait(30)
    bus.subscribe("a", lambda event: None)
    for number in range(3):
        bus.publish(Event("a", number), timeout=0)
    go_on.set()
"""


@runs(
    DROPPING
    + """
@pytest.mark.brummerbus(queue_size=1)
def test_a(bus):
    fill(bus)
"""
)
def test_a_dropped_delivery_fails_the_test(result: pytest.RunResult) -> None:
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(
        [
            "- 2 deliveries dropped: 2 evicted*",
            "<Event *a 0> for <Subscription a -> *>: evicted",
            "<Event *a 1> for <Subscription a -> *>: evicted",
        ]
    )


@runs(
    DROPPING
    + """
@pytest.mark.brummerbus(queue_size=1)
def test_attribute(bus):
    fill(bus)
    assert [event.data for event, _, _ in bus.drops] == [0, 1]
    bus.allow_drops = True

@pytest.mark.brummerbus(queue_size=1, allow_drops=True)
def test_marker(bus):
    fill(bus)

@pytest.mark.brummerbus(queue_size=1, workers=3)
class TestClass:
    @pytest.mark.brummerbus(allow_drops=True, workers=2)
    def test_closer_markers_add_to_others(self, bus):
        assert (bus.config.queue_size, bus.workers, bus.allow_drops) == (1, 2, True)
"""
)
def test_drops_can_be_allowed(result: pytest.RunResult) -> None:
    result.assert_outcomes(passed=3)


@runs("""
entered, go_on = threading.Event(), threading.Event()

@pytest.mark.brummerbus(stop_timeout=0.01)
def test_a(bus):
    bus.subscribe("a", lambda event: (entered.set(), go_on.wait(30)))
    bus.publish(Event("a"))
    assert entered.wait(30)

def test_b():
    go_on.set()
""")
def test_a_handler_that_does_not_end_fails_the_test(result: pytest.RunResult) -> None:
    """Its stack says where it is."""
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(
        [
            "- 1 delivery still in a handler after 0.01 s:",
            "<Subscription a -> *> with <Event *> in bus-worker-1*",
            "*go_on.wait(30)*",
        ]
    )


@runs("""
go_on = threading.Event()

@pytest.mark.brummerbus(on_worker_stop=lambda: go_on.wait(30), shutdown_timeout=0)
def test_a(bus):
    pass

def test_b():
    go_on.set()
    for thread in threading.enumerate():
        if thread.name == "bus-worker-1":
            thread.join(30)
""")
def test_a_worker_that_is_left_fails_the_test(result: pytest.RunResult) -> None:
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["- 1 thread left: bus-worker-1"])


@runs("""
import dataclasses

def test_a(bus):
    bus.stats = lambda: dataclasses.replace(type(bus).stats(bus), published=7)
""")
def test_counts_that_do_not_agree_fail_the_test(result: pytest.RunResult) -> None:
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["- the counts do not agree: 7 published, 0 processed*"])


@runs("""
@pytest.mark.brummerbus(4)
def test_positional(bus):
    pass

@pytest.mark.brummerbus(wrokers=4)
def test_unknown(bus):
    pass

@pytest.mark.brummerbus(allow_drops=1)
def test_no_bool(bus):
    pass

@pytest.mark.brummerbus(on_error=print)
def test_own(bus):
    pass
""")
def test_a_wrong_marker_says_what_is_wrong(result: pytest.RunResult) -> None:
    result.assert_outcomes(errors=4)
    result.stdout.fnmatch_lines_random(
        [
            "*TypeError: on_error is the fixture's own: see bus.failures",
            "*the marker brummerbus takes keywords only, got (4,)",
            "*TypeError: *wrokers*",
            "*TypeError: allow_drops must be True or False, got 1",
        ]
    )


@runs("""
@pytest.fixture
def bus():
    return "mine"

def test_a(bus):
    assert bus == "mine"
""")
def test_a_fixture_of_that_name_replaces_it(result: pytest.RunResult) -> None:
    """So a project that has one already notices nothing."""
    result.assert_outcomes(passed=1)
