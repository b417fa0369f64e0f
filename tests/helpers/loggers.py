"""Loggers on a bus: what their tests share."""

import logging
import logging.config
import threading
from typing import Any


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
