"""`bus_sink` below loguru: messages, levels, and what never loops."""

import inspect
import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from brummerbus import DropReason, Event, EventBus
from brummerbus.loguru import bus_sink

loguru = pytest.importorskip("loguru")

HANG = 30.0


class Gate:
    """Holds the worker that handles the event `gate`."""

    def __init__(self, bus: EventBus) -> None:
        self.entered, self.opened = threading.Event(), threading.Event()
        bus.subscribe("gate", self)
        bus.publish(Event("gate"))
        assert self.entered.wait(HANG)

    def __call__(self, event: Event) -> None:
        self.entered.set()
        assert self.opened.wait(HANG)


@pytest.fixture
def logger() -> Iterator[Any]:
    """Return loguru's logger, without sinks."""
    loguru.logger.remove()
    yield loguru.logger
    loguru.logger.remove()


def bus_of(**settings: Any) -> EventBus:
    """Return a small bus that does not wait."""
    return EventBus(**{"workers": 1, "queue_size": 10, "publish_timeout": 0, **settings})


def test_a_message_is_published_formatted_with_its_record(logger: Any) -> None:
    seen = []
    with bus_of() as bus:
        bus.subscribe("log.record", seen.append)
        logger.add(bus_sink(bus), format="{level}: {message}", catch=False)
        logger.bind(order=17).success("placed {}", "it")
    assert [str(event.data) for event in seen] == ["SUCCESS: placed it\n"]
    assert seen[0].data.record["extra"] == {"order": 17}
    assert seen[0].source == __name__


def test_errors_outlive_a_flood_of_debug_lines_and_come_first(logger: Any) -> None:
    seen: list[str] = []
    with bus_of() as bus:
        bus.subscribe("audit", lambda event: seen.append(str(event.data)))
        logger.add(bus_sink(bus, event_type="audit"), format="{message}", level=0, catch=False)
        gate = Gate(bus)
        logger.trace("first")
        logger.critical("disk full")
        logger.warning("slow")
        for number in range(100):
            logger.debug(number)
        gate.opened.set()
    assert seen == ["disk full\n", "slow\n", *[f"{number}\n" for number in range(92, 100)]]


def test_priorities_can_be_given_by_level(logger: Any) -> None:
    seen: list[str] = []
    with bus_of() as bus:
        bus.subscribe("log.record", lambda event: seen.append(str(event.data)))
        logger.add(bus_sink(bus, priorities={25: 3}), format="{message}", catch=False)
        gate = Gate(bus)
        logger.info("info")
        logger.success("success")
        gate.opened.set()
    assert seen == ["success\n", "info\n"]


class Intercept(logging.Handler):
    """Forwards `logging` to loguru, as its documentation shows."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log a record."""
        frame, depth = inspect.currentframe(), 0
        while frame and (depth == 0 or frame.f_code.co_filename == logging.__file__):
            frame, depth = frame.f_back, depth + 1
        message = record.getMessage()
        loguru.logger.opt(depth=depth).log(record.levelname, message)


def test_the_buss_own_records_are_not_published(
    logger: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """A failure that is logged would fail again, and a drop be dropped, without an end."""
    own, intercept = logging.getLogger("brummerbus"), Intercept()
    own.addHandler(intercept)

    def fail(event: Event) -> None:
        raise ValueError

    try:
        with bus_of(queue_size=2) as bus:
            bus.subscribe("log.record", fail)
            logger.add(bus_sink(bus), format="{message}", catch=False)
            logger.info("one")
            assert bus.flush(HANG)
            assert bus.stats().published == 1
            assert "failed on <Event" in capsys.readouterr().err
            gate = Gate(bus)
            for number in range(20):
                logger.info(number)
            gate.opened.set()
            assert bus.flush(HANG)
            assert (bus.stats().published, bus.stats().dropped) == (22, 18)
    finally:
        own.removeHandler(intercept)


def test_what_a_full_queue_refuses_is_counted_and_raises_nothing(logger: Any) -> None:
    with bus_of(queue_size=1, policy="reject") as bus:
        bus.subscribe("log.record", lambda event: None)
        logger.add(bus_sink(bus, timeout=0), catch=False)
        gate = Gate(bus)
        for number in range(3):
            logger.info(number)
        gate.opened.set()
    assert sum(bus.stats().dropped_by[DropReason.REFUSED].values()) == 2


def test_once_the_bus_is_stopped_messages_go_to_standard_error(
    logger: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    bus = bus_of()
    logger.add(bus_sink(bus), format="{message}", catch=False)
    bus.stop()
    logger.info("late")
    assert capsys.readouterr().err == "late\n"


def test_wrong_arguments_are_refused_by_name() -> None:
    with pytest.raises(TypeError, match="bus must be an EventBus, got 7"):
        bus_sink(7)  # type: ignore[arg-type]
    with bus_of() as bus, pytest.raises(ValueError, match="timeout must be a number of seconds"):
        bus_sink(bus, timeout=-1)
    with bus_of() as bus, pytest.raises(ValueError, match="event_type must be a non-empty string"):
        bus_sink(bus, event_type="")
