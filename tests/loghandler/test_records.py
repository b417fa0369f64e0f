"""Log records published on a bus: which, how and when they are handled."""

import logging
import logging.config
import sys
import threading
from typing import Any

import pytest

from brummerbus import BackpressurePolicy, DropReason, Event, EventBus
from brummerbus.loghandler import BusHandler
from helpers.buses import BusFactory, fill
from helpers.loggers import Collected
from helpers.processes import ended, modules_after, start_python
from helpers.threads import InThread, run_together
from helpers.waiting import HANG


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


# ---- locks ---------------------------------------------------------------------------------------


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


# ---- life ----------------------------------------------------------------------------------------


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
    with pytest.raises(TypeError, match="priorities must be a dict by level, or None, got 3"):
        BusHandler(bus, priorities=3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="timeout must be a number of seconds"):
        BusHandler(bus, timeout=-1)
    for handlers in ("console", 3, logging.NullHandler()):
        with pytest.raises(TypeError, match="handlers must be a list of handlers or their names"):
            BusHandler(bus, handlers)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="event_type must be a non-empty string, got ''"):
        BusHandler(bus, event_type="")
    with pytest.raises(TypeError, match="event_type must be a non-empty string, got 3"):
        BusHandler(bus, event_type=3)  # type: ignore[arg-type]
    assert not bus.subscriptions()


def test_the_package_is_imported_without_it() -> None:
    loaded = modules_after("import brummerbus")
    assert loaded.isdisjoint({"brummerbus.loghandler", "brummerbus.loguru", "logging.handlers"})
