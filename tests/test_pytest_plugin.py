"""The pytest plugin: what the fixture `bus` does not let pass, and what `bus_spy` sees."""

import subprocess
import sys
from pathlib import Path

import pytest

from helpers.waiting import HANG

pytest_plugins = ["pytester"]

HEAD = """
import threading
import pytest
from brummerbus import Event

def boom(event):
    raise ValueError(f"boom {event.data}")
"""


@pytest.fixture
def result(pytester: pytest.Pytester, request: pytest.FixtureRequest) -> pytest.RunResult:
    """Return how pytest ends with the tests that the parameter has."""
    pytester.makepyfile(HEAD + request.param)
    return pytester.runpytest_inprocess("--strict-markers", "-p", "no:cacheprovider")


def runs(code: str) -> pytest.MarkDecorator:
    """Mark a test with the tests that it runs."""
    return pytest.mark.parametrize("result", [code], indirect=True, ids=[""])


# ---- bus -----------------------------------------------------------------------------------------


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
go_on = threading.Event()

@pytest.mark.brummerbus(stop_timeout=0.01)
def test_a(bus):
    bus.subscribe("a", lambda event: go_on.wait(30))
    bus.publish(Event("a"))

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
""")
def test_a_wrong_marker_says_what_is_wrong(result: pytest.RunResult) -> None:
    result.assert_outcomes(errors=3)
    result.stdout.fnmatch_lines_random(
        [
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


# ---- bus_spy -------------------------------------------------------------------------------------


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


# ---- where it runs -------------------------------------------------------------------------------

TWO = """
def test_good(bus, bus_spy):
    with bus_spy.expect("a"):
        bus.publish(Event("a"))

def test_bad(bus):
    bus.subscribe("a", boom)
    bus.publish(Event("a", 17))
"""


@pytest.mark.slow
def test_it_works_in_the_processes_of_xdist(pytester: pytest.Pytester) -> None:
    pytest.importorskip("xdist")
    pytester.makepyfile(HEAD + TWO)
    result = pytester.runpytest_subprocess("-n2", "-p", "no:cacheprovider")
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*ValueError: boom 17"])


def test_it_can_be_switched_off(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(HEAD + TWO)
    result = pytester.runpytest_inprocess("-p", "no:brummerbus", "-p", "no:cacheprovider")
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(["*fixture 'bus' not found"])


@pytest.mark.slow
def test_the_package_is_imported_by_the_first_test_that_uses_a_fixture(tmp_path: Path) -> None:
    """The plugin itself is imported at each start of pytest, in every project."""
    (tmp_path / "test_a.py").write_text(
        "import sys\n"
        "def test_before(): assert '_brummerbus_pytest' in sys.modules\n"
        "def test_still(): assert 'brummerbus' not in sys.modules\n"
        "def test_use(bus): assert 'brummerbus' in sys.modules\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly"]
    ended = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=HANG, check=False
    )
    assert ended.returncode == 0, ended.stdout
    assert "3 passed" in ended.stdout
