"""A small run whose report the tests of its forms share."""

from typing import Any

from brummerbus import BackpressurePolicy, BusStats, Event, EventBus
from brummerbus.watch.counters import Counters
from brummerbus.watch.payloads import (
    BuildEvent,
    ErrorFound,
    LogLine,
    ProcessExited,
    ProcessStarted,
    TestResult,
)
from brummerbus.watch.places import Links
from brummerbus.watch.report import Balance, Run, collect

from .helpers import lines_event

EVENTS = [
    Event("process.started", ProcessStarted("api", 7, "serve", 100.0)),
    *[lines_event(LogLine("api", "stdout", n, f"line {n} [b]&", 101.0)) for n in range(5)],
    Event("error.detected", ErrorFound("api", "stderr", 1, 2, 102.0, "python", "KeyError: '<x>'",
                                       "a.py:3", "Traceback\nKeyError: '<x>'")),
    Event("test.passed", TestResult("api", "pytest", "t::good", True, "", 103.0)),
    Event("test.failed", TestResult("api", "pytest", "t::bad", False, "1 != 2", 103.0)),
    Event("build.event", BuildEvent("api", "make", "failed", "make: *** Error 1", 103.0)),
    Event("process.exited", ProcessExited("api", 7, 1, 3.5, 103.5)),
]  # fmt: skip
GOOD = Balance(5, 5, 3, {"store": 5, "find": 5}, 6, 0, 0)
DEPTH = [(0.1 * moment, moment % 7) for moment in range(1, 50)]


def statistics(counters: Counters, events: list[Event]) -> BusStats:
    """Send events to counters over a bus, and return the bus's statistics."""
    with EventBus(policy=BackpressurePolicy.BLOCK) as bus:
        bus.subscribe("*", counters)
        bus.publish_many(events)
        assert bus.flush(30)
        return bus.stats()


def process(name: str = "api", **changes: Any) -> dict[str, Any]:
    """Return a process as the report has it; by default one that ended well."""
    return {
        "name": name,
        "command": "serve",
        "pid": 7,
        "exit_code": 0,
        "run_time": 3.5,
        "lines": {"stdout": 5, "stderr": 0},
        "bytes": {"stdout": 60, "stderr": 0},
        "held_open": False,
        "stopped": False,
        "last_line": "",
        "errors": 0,
        "failed_tests": 0,
        **changes,
    }


def found(number: int, **changes: Any) -> dict[str, Any]:
    """Return an error as the report has it."""
    return {
        "process": "api",
        "kind": "python",
        "time": 100.0 + number,
        "message": f"ValueError: case {'abcdefghijklmnopqrstuvwxyz'[number % 26]}{number}",
        "location": "a.py:3",
        "place": "a.py:3",
        "text": f"Traceback\nValueError: case {number}",
        "count": 1,
        "link": "",
        **changes,
    }


def failure(number: int, **changes: Any) -> dict[str, Any]:
    """Return a failed test as the report has it."""
    return {
        "process": "api",
        "name": f"test_a.py::test_{number}",
        "detail": "assert 1 == 2",
        "time": 100.0,
        "count": 1,
        "link": "",
        **changes,
    }


def small_report() -> dict[str, Any]:
    """Return the report of `EVENTS`, with its processes."""
    counters = Counters(["api", "web"])
    stats = statistics(counters, EVENTS)
    with EventBus(workers=1) as bus:
        advice = bus.advise()
    links = Links({"api": "/nowhere"})
    run = Run("Proc<file>", "log.db", 100.0, 4.9, 1, 64, [], DEPTH, GOOD, [], advice, links)
    report = collect(run, stats, counters)
    report["processes"] = [
        process(exit_code=1, errors=1, failed_tests=1),
        process("web", command="<serve>", exit_code=2, last_line="no <route>"),
    ]
    return report


def long_report(*, errors: int, tests: int, processes: int) -> dict[str, Any]:
    """Return a report with that many of each."""
    report = small_report()
    report["errors"] = {"count": errors, "found": [found(number) for number in range(errors)]}
    failures = [failure(number) for number in range(tests)]
    report["tests"] = {"passed": 3, "failed": tests, "failures": failures}
    report["processes"] = [process(f"web-{number}") for number in range(processes)]
    return report
