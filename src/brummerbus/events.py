"""Events, their types, and how urgent they are."""

import itertools
from collections.abc import Callable
from enum import Enum, IntEnum
from time import time
from typing import Any, NoReturn

_next_id: Callable[[], int] = itertools.count(1).__next__
"""Draws the next event id. `count.__next__` is one C call, hence atomic under the GIL."""


class EventType(str, Enum):
    """The ten events of the study; a plain string such as `"log.line"` is as good."""

    PROCESS_STARTED = "process.started"
    PROCESS_EXITED = "process.exited"
    LOG_LINE = "log.line"
    ERROR_DETECTED = "error.detected"
    BUILD_EVENT = "build.event"
    TEST_FAILED = "test.failed"
    TEST_PASSED = "test.passed"
    MCP_ACTIVITY = "mcp.activity"
    MCP_CONNECTED = "mcp.connected"
    MCP_DISCONNECTED = "mcp.disconnected"

    def __str__(self) -> str:
        return str(self.value)


class Priority(IntEnum):
    """How urgent an event is; higher is served first.

    A bus with more levels takes any int from 1 to `EventBusConfig.priority_levels`.
    """

    LOW = 1
    MEDIUM = 2
    HIGH = 3


class _Fields:
    """The slots of an event while it is being built.

    Plain attribute stores into this class cost half of `object.__setattr__` on the finished,
    immutable one; `Event.__new__` fills an instance and then turns it into an `Event`.
    """

    __slots__ = ("__weakref__", "data", "id", "source", "timestamp", "type")

    type: str
    data: Any
    source: str
    id: int
    timestamp: float


class Event(_Fields):
    """Something that happened. Immutable, compared by identity.

    Args:
        type: What happened, a non-empty string such as `"log.line"` or an `EventType`.
            Kept as a plain `str`.
        data: The payload, any object. It is never compared, hashed or copied.
        source: Who says so, a string; empty by default.

    Attributes:
        id: Unique in this process, increasing with each event made.
        timestamp: When it was made, in seconds since the epoch.

    Raises:
        TypeError: `type` or `source` is not a string.
        ValueError: `type` is empty.
    """

    __slots__ = ()

    def __new__(cls, type: str, data: Any = None, *, source: str = "") -> "Event":
        if type.__class__ is not str:
            type = _plain(type)
        if not type:
            raise ValueError("type must be a non-empty string, got ''")
        if not isinstance(source, str):
            raise TypeError(f"source must be a string, got {source!r}")
        if cls is not Event:
            return _build_subclass(cls, type, data, source)
        self = _new(_Fields)
        self.type = type
        self.data = data
        self.source = source
        self.id = _next_id()
        self.timestamp = time()
        self.__class__ = cls
        return self  # type: ignore[return-value]  # it is an Event since the line above

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise AttributeError(f"Event is immutable: cannot set {name!r}")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"Event is immutable: cannot delete {name!r}")

    def __repr__(self) -> str:
        source = f", source={self.source!r}" if self.source else ""
        return f"<{type(self).__name__} #{self.id} {self.type} {self.data!r}{source}>"


_new = object.__new__
