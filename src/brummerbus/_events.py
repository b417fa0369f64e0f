"""Events, event types and priorities.

`Event` itself is written in C (`csrc/python/event.c`). This module adds what need not be fast: its
repr, immutability, copying and pickling.
"""

import copyreg
from enum import Enum, IntEnum
from typing import Any

from brummerbus._core._ext import Event, restore_event

__all__ = ["Event", "EventType", "Priority"]


class EventType(str, Enum):
    """The ten events of the study; plain strings are equivalent."""

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
    """How urgent an event is; higher is taken first.

    A bus with more levels accepts any int from 1 to `EventBusConfig.priority_levels`.
    """

    LOW = 1
    MEDIUM = 2
    HIGH = 3


_FIELDS = frozenset({"type", "data", "source", "id", "timestamp"})


def _refuse(event: Event, name: str, what: str) -> None:
    """Raise unless a subclass defines the attribute."""
    if type(event) is Event or name in _FIELDS:
        raise AttributeError(f"Event is immutable: cannot {what} {name!r}")


def _setattr(self: Event, name: str, value: Any) -> None:
    _refuse(self, name, "set")
    object.__setattr__(self, name, value)


def _delattr(self: Event, name: str) -> None:
    _refuse(self, name, "delete")
    object.__delattr__(self, name)


def _repr(self: Event) -> str:
    if not hasattr(self, "type"):
        return f"<{type(self).__name__}, not initialised>"
    source = f", source={self.source!r}" if self.source else ""
    return f"<{type(self).__name__} #{self.id} {self.type} {self.data!r}{source}>"


def _own_state(event: Event) -> tuple[dict[str, Any] | None, dict[str, Any]] | None:
    """Return the attributes that a subclass adds, in the form that `copy` and `pickle` expect."""
    attributes = getattr(event, "__dict__", None)
    names = copyreg._slotnames(type(event))  # type: ignore[attr-defined]  # noqa: SLF001
    slots = {name: getattr(event, name) for name in names if hasattr(event, name)}
    return (attributes, slots) if attributes or slots else None


def _reduce(self: Event) -> tuple[Any, ...]:
    """Serve `copy` and `pickle`; a subclass's own `__getstate__` has precedence."""
    fields = (type(self), self.type, self.data, self.source, self.id, self.timestamp)
    of_class = getattr(type(self), "__getstate__", None)
    if of_class is not None and of_class is not getattr(object, "__getstate__", None):
        return restore_event, fields, of_class(self)
    return restore_event, fields, _own_state(self)


def _replace(self: Event, **changes: Any) -> Event:
    """Return a copy with some fields changed, a new id and a new timestamp.

    Args:
        **changes: `type`, `data`, `source`, or attributes that a subclass adds.

    Raises:
        TypeError: There is no such field; `id` and `timestamp` cannot be given.
    """
    event_type = changes.pop("type", self.type)
    data, source = changes.pop("data", self.data), changes.pop("source", self.source)
    new: Event = restore_event(type(self), event_type, data, source, 0, 0.0)
    attributes, slots = _own_state(self) or (None, {})
    own = {**(attributes or {}), **slots}
    for name in changes:
        if name not in own:
            raise TypeError(
                f"replace() got {name!r}, but can only change {['type', 'data', 'source', *own]}"
            )
    for name, value in {**own, **changes}.items():
        object.__setattr__(new, name, value)
    return new


for _name, _method in {
    "__setattr__": _setattr,
    "__delattr__": _delattr,
    "__repr__": _repr,
    "__reduce__": _reduce,
    "replace": _replace,
}.items():
    _method.__name__ = _name
    _method.__qualname__ = f"Event.{_name}"
    setattr(Event, _name, _method)

# For `copy.replace`, of Python 3.13 on.
Event.__replace__ = Event.replace  # type: ignore[method-assign]
