"""Log records that are not published on the bus."""

import logging
import logging.config
import threading

import pytest

from brummerbus import BackpressurePolicy, BusClosed, DropReason
from brummerbus.loghandler import BusHandler
from helpers.buses import BusFactory
from helpers.loggers import Collected
from helpers.processes import assert_clean, run_python
from helpers.waiting import HANG


def test_the_buss_own_warnings_are_handled_by_the_thread_that_logs_and_not_published(
    factory: BusFactory, logger: logging.Logger
) -> None:
    bus, seen = factory.bus(queue_size=2), Collected()
    handler = BusHandler(bus, [seen])
    logger.addHandler(handler)
    logging.getLogger("brummerbus").addHandler(handler)
    gate = factory.hold(bus)
    for _ in range(20):
        logger.info("many")
    own = [record for record in seen.records if record.name == "brummerbus"]
    assert len(own) == 1
    assert "the queue is full, deliveries are dropped" in own[0].getMessage()
    assert seen.threads == {threading.current_thread().name}
    gate.open()
    assert bus.flush(HANG)
    assert bus.stats().published == 21


def test_failures_of_its_own_handlers_end_no_loop(
    factory: BusFactory, logger: logging.Logger
) -> None:
    """The bus logs each failure, and that record goes to the handler that fails."""

    class Failing(Collected):
        def handle(self, record: logging.LogRecord) -> bool:
            self.records.append(record)
            raise ValueError

    bus, failing = factory.bus(), Failing()
    handler = BusHandler(bus, [failing])
    logger.addHandler(handler)
    logging.getLogger("brummerbus").addHandler(handler)
    handler.handleError = lambda record: None  # type: ignore[method-assign]
    logger.info("one")
    assert bus.flush(HANG)
    assert bus.stats().failed == 1
    assert len(failing.records) == 2


def test_what_a_handler_logs_goes_to_standard_error_if_it_is_a_warning(
    factory: BusFactory, logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a handler that sends records by HTTP does, through the library that it uses."""

    class Chatty(Collected):
        def emit(self, record: logging.LogRecord) -> None:
            super().emit(record)
            logger.debug("sending")
            logger.warning("sent late")

    bus, chatty = factory.bus(), Chatty()
    logger.addHandler(BusHandler(bus, [chatty]))
    logger.info("one")
    logger.info("two")
    assert bus.flush(HANG)
    assert chatty.messages == ["one", "two"]
    assert capsys.readouterr().err == "sent late\n" * 2


def test_once_the_bus_is_stopped_the_thread_that_logs_handles(
    factory: BusFactory, logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    bus, seen = factory.bus(), Collected()
    logger.addHandler(BusHandler(bus, [seen]))
    bus.stop()
    logger.info("late %d", 1)
    assert seen.messages == ["late 1"]
    for handlers in ([seen], []):
        with pytest.raises(BusClosed):
            BusHandler(bus, handlers)
    assert capsys.readouterr().err == ""


def test_once_it_is_closed_the_thread_that_logs_handles(
    factory: BusFactory, logger: logging.Logger
) -> None:
    """As `logging.shutdown` closes all handlers, and what logs after it is not lost."""
    bus, seen = factory.bus(), Collected()
    handler = BusHandler(bus, [seen])
    logger.addHandler(handler)
    gate = factory.hold(bus)
    logger.info("before")
    handler.close()
    logger.info("after")
    assert seen.messages == ["after"]
    gate.open()
    assert bus.flush(HANG)
    assert seen.messages == ["after", "before"]
    assert bus.stats().unrouted == 0


def test_what_is_logged_at_the_very_end_of_the_interpreter_is_handled_too() -> None:
    """When nothing can be imported any more, as in `__del__` of what a module holds."""
    end = run_python("""
        import logging
        from brummerbus.loghandler import BusHandler

        bus = EventBus(workers=1)
        log = logging.getLogger("shop")
        log.addHandler(BusHandler(bus, [logging.StreamHandler(sys.stdout)]))

        class Last:
            def __del__(self, error=log.error):
                error("last %d", 1)

        last = Last()
        log.error("first")
    """)
    assert_clean(end)
    assert end.lines == ["first", "last 1"]


def test_without_handlers_what_cannot_be_published_goes_to_standard_error(
    factory: BusFactory, logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    bus = factory.bus()
    logger.addHandler(BusHandler(bus))
    bus.stop()
    logger.info("not shown")
    logger.error("too late")
    assert capsys.readouterr().err == "too late\n"


def test_a_refused_record_raises_nothing_and_is_counted(
    factory: BusFactory, logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    bus = factory.bus(queue_size=1, policy=BackpressurePolicy.REJECT)
    logger.addHandler(BusHandler(bus, [Collected()], timeout=0))
    gate = factory.hold(bus)
    logging.getLogger("brummerbus").addHandler(logging.NullHandler())
    for _ in range(3):
        logger.info("a")
    gate.open()
    assert bus.flush(HANG)
    assert sum(bus.stats().dropped_by[DropReason.REFUSED].values()) == 2
    assert capsys.readouterr().err == ""


def test_an_error_in_a_message_is_reported_as_logging_does(
    factory: BusFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    bus, seen = factory.bus(), Collected()
    record = logging.LogRecord("shop", logging.INFO, __file__, 1, "%d", ("no number",), None)
    BusHandler(bus, [seen]).handle(record)
    assert bus.flush(HANG)
    assert seen.records == []
    assert "--- Logging error ---" in capsys.readouterr().err
