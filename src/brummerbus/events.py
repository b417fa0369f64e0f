"""Events, their types, and how urgent they are."""

import itertools
from collections.abc import Callable
from enum import Enum, IntEnum
from time import time
from typing import Any, NoReturn

from brummerbus.arguments import shown

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


class Event:
    """Something that happened. Immutable, compared by identity, open to subclasses.

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

    __slots__ = ("__weakref__", "data", "id", "source", "timestamp", "type")

    type: str
    data: Any
    source: str
    id: int
    timestamp: float

    def __init__(self, type: str, data: Any = None, *, source: str = "") -> None:
        if type.__class__ is not str:
            type = _plain(type)
        if not type:
            raise ValueError("type must be a non-empty string, got ''")
        if not isinstance(source, str):
            raise TypeError(f"source must be a string, got {shown(source)}")
        _set_type(self, type)
        _set_data(self, data)
        _set_source(self, source)
        _set_id(self, _next_id())
        _set_timestamp(self, time())

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise AttributeError(f"Event is immutable: cannot set {name!r}")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"Event is immutable: cannot delete {name!r}")

    def __repr__(self) -> str:
        source = f", source={self.source!r}" if self.source else ""
        return f"<{self.__class__.__name__} #{self.id} {self.type} {self.data!r}{source}>"


# The slots' own setters pass by `__setattr__`, and cost less than `object.__setattr__`.
_set_type = Event.__dict__["type"].__set__
_set_data = Event.__dict__["data"].__set__
_set_source = Event.__dict__["source"].__set__
_set_id = Event.__dict__["id"].__set__
_set_timestamp = Event.__dict__["timestamp"].__set__


def _plain(type: object) -> str:
    """Return the plain string of a string subclass, such as an `EventType`."""
    if not isinstance(type, str):
        raise TypeError(f"type must be a string, got {shown(type)}")
    return str.__str__(type)
