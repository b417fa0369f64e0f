"""`BusHandler`: what reaches the handlers, in which order, and what never loops or locks."""

import logging
import logging.config
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from brummerbus import BackpressurePolicy, BusClosed, DropReason, Event, EventBus
from brummerbus.loghandler import BusHandler
from helpers.buses import BusFactory, fill
from helpers.processes import ended, modules_after, start_python
from helpers.threads import InThread, run_together
from helpers.waiting import HANG


class Collected(logging.Handler):
    """Keeps records."""

    def __init__(self, level: int = logging.NOTSET) -> None:
        super().__init__(level)
        self.records: list[Any] = []
        self.threads: set[str] = set()
        self.flushed = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.threads.add(threading.current_thread().name)
        self.records.append(record)

    def flush(self) -> None:
        self.flushed += 1

    @property
    def messages(self) -> list[str]:
        """The formatted messages, in the order of arrival."""
        return [record.getMessage() for record in self.records]


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    """Return a logger of its own, and leave no handler behind."""
    logger = logging.getLogger("shop")
    logger.propagate = False
    logger.setLevel(logging.DEBUG)
    yield logger
    for one in (logger, logging.getLogger("brummerbus")):
        for handler in list(one.handlers):
            one.removeHandler(handler)
            handler.close()


def test_records_reach_the_handlers_in_a_worker(
    factory: BusFactory, logger: logging.Logger
) -> None:
    bus, seen = factory.bus(), Collected()
    logger.addHandler(BusHandler(bus, [seen]))
    logger.info("order %d", 17)
    assert bus.flush(HANG)
    assert seen.messages == ["order 17"]
    assert seen.threads.isdisjoint({threading.current_thread().name})


def test_a_record_is_prepared_in_the_thread_that_logs(
    factory: BusFactory, logger: logging.Logger
) -> None:
    """What is logged may change or be closed afterwards; other handlers get it as it was."""
    bus, seen, beside = factory.bus(), Collected(), Collected()
    gate = factory.hold(bus)
    logger.addHandler(BusHandler(bus, [seen]))
    logger.addHandler(beside)
    items = [1]
    try:
        raise ValueError("broken")
    except ValueError:
        logger.exception("items %s", items)
    items.append(2)
    gate.open()
    assert bus.flush(HANG)
    record = seen.records[0]
    assert record.message.startswith("items [1]\nTraceback")
    assert record.message.endswith("ValueError: broken")
    assert (record.args, record.exc_info, record.exc_text) == (None, None, None)
    assert beside.records[0].args == ([1, 2],)


def test_subscriptions_get_events_with_the_name_as_source(
    factory: BusFactory, logger: logging.Logger
) -> None:
    bus, seen = factory.bus(), []
    bus.subscribe("log.record", lambda event: seen.append((event.source, event.data.levelname)))
    bus.subscribe("audit", lambda event: seen.append(event.data.message))
    logger.addHandler(BusHandler(bus))
    logger.addHandler(BusHandler(bus, event_type="audit"))
    logger.warning("stock is low")
    assert bus.flush(HANG)
    assert sorted(seen, key=str) == [("shop", "WARNING"), "stock is low"]


def test_errors_outlive_a_flood_of_debug_lines_and_come_first(
    factory: BusFactory, logger: logging.Logger
) -> None:
    bus, seen = factory.bus(queue_size=10), Collected()
    logger.addHandler(BusHandler(bus, [seen]))
    gate = factory.hold(bus)
    logger.debug("first")
    logger.error("disk full")
    logger.warning("slow")
    for number in range(100):
        logger.debug("line %d", number)
    gate.open()
    assert bus.flush(HANG)
    assert seen.messages == ["disk full", "slow", *[f"line {n}" for n in range(92, 100)]]
    assert sum(bus.stats().dropped_by[DropReason.EVICTED].values()) == 93


def test_priorities_can_be_given_by_level(factory: BusFactory, logger: logging.Logger) -> None:
    bus, seen = factory.bus(priority_levels=4), Collected()
    logger.addHandler(BusHandler(bus, [seen], priorities={logging.INFO: 2, logging.WARNING: 4}))
    gate = factory.hold(bus)
    for level in (logging.DEBUG, logging.INFO, 25, logging.WARNING, logging.CRITICAL):
        logger.log(level, "%d", level)
    gate.open()
    assert bus.flush(HANG)
    assert seen.messages == ["30", "50", "20", "25", "10"]


def test_on_a_bus_with_one_level_records_keep_their_order(
    factory: BusFactory, logger: logging.Logger
) -> None:
    bus, seen = factory.bus(priority_levels=1), Collected()
    logger.addHandler(BusHandler(bus, [seen]))
    for level in (10, 40, 20, 30):
        logger.log(level, "%d", level)
    assert bus.flush(HANG)
    assert seen.messages == ["10", "40", "20", "30"]


def test_each_handler_gets_a_threads_records_in_order_however_many_workers(
    factory: BusFactory, logger: logging.Logger
) -> None:
    bus = factory.bus(workers=4, queue_size=100, policy=BackpressurePolicy.BLOCK)
    handlers = [Collected(), Collected()]
    logger.addHandler(BusHandler(bus, handlers))
    run_together(4, lambda n: [logger.info("%d %d", n, i) for i in range(200)])
    assert bus.flush(HANG)
    for seen in handlers:
        assert len(seen.records) == 800
        for n in range(4):
            own = [message for message in seen.messages if message.startswith(f"{n} ")]
            assert own == [f"{n} {i}" for i in range(200)]


def test_levels_and_filters_of_both_handlers_count(
    factory: BusFactory, logger: logging.Logger
) -> None:
    bus, warnings, all_of_them = factory.bus(), Collected(logging.WARNING), Collected()
    handler = BusHandler(bus, [warnings, all_of_them], level="INFO")
    handler.addFilter(lambda record: "secret" not in record.getMessage())
    logger.addHandler(handler)
    logger.debug("no")
    logger.info("secret")
    logger.info("yes")
    logger.warning("twice")
    assert bus.flush(HANG)
    assert sorted(all_of_them.messages) == ["twice", "yes"]
    assert warnings.messages == ["twice"]
    assert bus.stats().published == 4


# ---- locks -----------------------------------------------------------------------------------


def test_a_thread_that_waits_for_room_holds_up_no_handler_of_the_bus_that_logs(
    factory: BusFactory, logger: logging.Logger
) -> None:
    """With the lock of the handler held, neither of the two would ever go on."""
    bus, seen = factory.bus(queue_size=1, policy=BackpressurePolicy.BLOCK), Collected()
    logger.addHandler(BusHandler(bus, [seen]))
    gate = factory.gate()

    def work(event: Any) -> None:
        gate(event)
        logger.info("worked")

    bus.subscribe("job", work)
    bus.publish(Event("job"))
    gate.wait_entered()
    fill(bus, 0)
    logger.info("fills the queue")
    waiting = InThread(lambda: logger.info("waits for room"))
    waiting.await_waiter(bus)
    assert logger.handlers[0].lock.acquire(blocking=False)  # type: ignore[union-attr]
    logger.handlers[0].release()
    gate.open()
    waiting.result()
    assert bus.flush(HANG)
    assert sorted(seen.messages) == ["fills the queue", "waits for room", "worked"]


ALARMS = """
    import logging
    from brummerbus.loghandler import BusHandler
    class Count(logging.Handler):
        def emit(self, record):
            counts[record.message] += 1
    counts = {"main": 0, "alarm": 0}
    bus = bus_of(queue_size=100, policy="block")
    logger = logging.getLogger("shop")
    logger.setLevel(logging.INFO)
    logger.addHandler(BusHandler(bus, [Count()]))
    alarms = 0
    def alarm(number, frame):
        global alarms
        alarms += 1
        logger.info("alarm")
    signal.signal(signal.SIGALRM, alarm)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    n = 0
    while alarms < 100:
        logger.info("main")
        n += 1
    signal.setitimer(signal.ITIMER_REAL, 0)
    bus.stop()
    say(counts == {"main": n, "alarm": alarms}, counts, n, alarms)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="this system has no interval timer")
def test_a_signal_handler_may_log_whatever_it_interrupts() -> None:
    end = ended(start_python(ALARMS), 0.0)
    assert (end.code, end.err) == (0, "")
    assert end.lines[0].startswith("True"), end.lines


# ---- what is not published -------------------------------------------------------------------


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
    with pytest.raises(BusClosed):
        BusHandler(bus, [seen])
    assert capsys.readouterr().err == ""


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


# ---- life ------------------------------------------------------------------------------------


def test_flush_waits_until_what_was_logged_is_handled(
    factory: BusFactory, logger: logging.Logger
) -> None:
    bus, seen = factory.bus(), Collected()
    handler = BusHandler(bus, [seen])
    logger.addHandler(handler)
    gate = factory.hold(bus)
    logger.info("a")
    flushing = InThread(handler.flush)
    gate.open()
    flushing.result()
    assert (seen.messages, seen.flushed) == (["a"], 1)
    bus.subscribe("flush", lambda event: handler.flush())
    bus.publish(Event("flush"))
    assert bus.flush(HANG)
    assert bus.stats().failed == 0


def test_a_closed_handler_has_left_the_bus(factory: BusFactory, logger: logging.Logger) -> None:
    bus, seen = factory.bus(), Collected()
    handler = BusHandler(bus, [seen])
    assert len(bus.subscriptions()) == 1
    handler.close()
    assert not bus.subscriptions()
    assert bus.publish(Event("a"))


class Config:
    """What a configuration refers to."""

    bus: EventBus


def test_a_dict_config_can_make_it(factory: BusFactory, logger: logging.Logger) -> None:
    """With the names of its handlers."""
    Config.bus = factory.bus()
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "handlers": {
                "the_bus": {
                    "()": "brummerbus.loghandler.BusHandler",
                    "bus": f"ext://{__name__}.Config.bus",
                    "handlers": ["seen"],
                    "level": "INFO",
                },
                "seen": {"()": Collected},
            },
            "loggers": {"shop": {"handlers": ["the_bus"]}},
        }
    )
    logger.debug("too low")
    logger.info("configured")
    handler: Any = logger.handlers[0]
    assert Config.bus.flush(HANG)
    assert handler._handlers[0].messages == ["configured"]


def test_wrong_arguments_are_refused_by_name(factory: BusFactory) -> None:
    bus = factory.bus()
    with pytest.raises(TypeError, match="bus must be an EventBus, got 'bus'"):
        BusHandler("bus")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="handlers: 'nobody' is no handler, nor the name of one"):
        BusHandler(bus, ["nobody"])
    with pytest.raises(ValueError, match=r"priorities\[40\] must be an int from 1 to 3, got 4"):
        BusHandler(bus, priorities={40: 4})
    with pytest.raises(TypeError, match="priorities: a level must be an int, got 'ERROR'"):
        BusHandler(bus, priorities={"ERROR": 3})  # type: ignore[dict-item]
    with pytest.raises(ValueError, match="timeout must be a number of seconds"):
        BusHandler(bus, timeout=-1)
    assert not bus.subscriptions()


def test_the_package_is_imported_without_it() -> None:
    loaded = modules_after("import brummerbus")
    assert loaded.isdisjoint({"brummerbus.loghandler", "brummerbus.loguru", "logging.handlers"})
