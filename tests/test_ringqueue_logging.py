"""`RingQueue` below the standard library's logging: QueueHandler, QueueListener, dictConfig."""

import logging
import logging.config
import logging.handlers
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from brummerbus.ringqueue import RingQueue
from helpers.processes import ended, start_python
from helpers.threads import run_together


class Collected(logging.Handler):
    """Keeps messages."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    """Return a logger of its own."""
    logger = logging.getLogger("ring")
    logger.propagate = False
    logger.setLevel(logging.DEBUG)
    yield logger
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()


def test_a_listener_handles_what_a_queue_handler_puts(logger: logging.Logger) -> None:
    """In order for each thread, and all of it before `stop` returns."""
    q: RingQueue[Any] = RingQueue()
    seen = Collected()
    listener = logging.handlers.QueueListener(q, seen)
    logger.addHandler(logging.handlers.QueueHandler(q))
    listener.start()
    run_together(4, lambda n: [logger.info("%d %d", n, i) for i in range(500)])
    listener.stop()
    assert len(seen.messages) == 2_000
    for n in range(4):
        own = [message for message in seen.messages if message.startswith(f"{n} ")]
        assert own == [f"{n} {i}" for i in range(500)]
    assert q.unfinished_tasks == 0


@pytest.mark.skipif(sys.version_info < (3, 12), reason="dictConfig makes queues since Python 3.12")
def test_a_dict_config_can_name_it(logger: logging.Logger) -> None:
    """As the queue of a QueueHandler."""
    queued = {
        "class": "logging.handlers.QueueHandler",
        "queue": {"()": "brummerbus.ringqueue.RingQueue", "maxsize": 1000},
        "handlers": ["seen"],
    }
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "handlers": {"seen": {"()": Collected}, "queued": queued},
            "loggers": {"ring": {"handlers": ["queued"]}},
        }
    )
    handler: Any = logger.handlers[0]
    assert isinstance(handler.queue, RingQueue)
    assert handler.queue.maxsize == 1000
    handler.listener.start()
    logger.info("configured")
    handler.listener.stop()
    assert handler.listener.handlers[0].messages == ["configured"]


ALARMS = """
    import logging, logging.handlers, queue
    from brummerbus.ringqueue import RingQueue
    class Count(logging.Handler):
        def emit(self, record):
            counts[record.msg] += 1
    counts = {"main": 0, "alarm": 0}
    q = RingQueue()
    listener = logging.handlers.QueueListener(q, Count())
    logger = logging.getLogger("ring")
    logger.setLevel(logging.INFO)
    logger.addHandler(logging.handlers.QueueHandler(q))
    listener.start()
    alarms = 0
    def alarm(number, frame):
        global alarms
        alarms += 1
        logger.info("alarm")
    signal.signal(signal.SIGALRM, alarm)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    n = 0
    while alarms < 200:
        logger.info("main")
        n += 1
    signal.setitimer(signal.ITIMER_REAL, 0)
    listener.stop()
    say(counts == {"main": n, "alarm": alarms})
"""


@pytest.mark.skipif(sys.platform == "win32", reason="this system has no interval timer")
def test_a_signal_handler_may_log_whatever_it_interrupts() -> None:
    """With `queue.Queue` the program stands still as soon as a signal comes within `put`."""
    end = ended(start_python(ALARMS), 0.0)
    assert (end.code, end.lines, end.err) == (0, ["True"], "")
