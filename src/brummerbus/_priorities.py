"""The priorities of event types that a configuration has."""

from collections.abc import Mapping
from typing import Any, NoReturn

from brummerbus._arguments import setting_int, shown
from brummerbus._events import EventType, Priority

MAX_LEVELS = 8
"""Maximum number of priority levels; fixed in the C queue."""

_WILD = frozenset("*?[")


class PriorityTable(dict[Any, int]):
    """A read-only mapping of event types to priorities.

    A dict, not a `MappingProxyType`, because a configuration must be usable with `pickle`, `copy`,
    `json` and `dataclasses.asdict`, and a proxy supports none of these.
    """

    __slots__ = ()

    def _refuse(self, *_args: object, **_kwargs: object) -> NoReturn:
        raise TypeError("priorities are read-only: make a new config with dataclasses.replace")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __hash__(self) -> int:  # type: ignore[override]  # so that a configuration has one
        return hash(frozenset(self.items()))

    def __reduce__(self) -> tuple[type["PriorityTable"], tuple[dict[Any, int]]]:
        return PriorityTable, (dict(self),)


DEFAULT_PRIORITIES = PriorityTable(
    {
        EventType.PROCESS_STARTED.value: int(Priority.HIGH),
        EventType.PROCESS_EXITED.value: int(Priority.HIGH),
        EventType.LOG_LINE.value: int(Priority.LOW),
        EventType.ERROR_DETECTED.value: int(Priority.HIGH),
        EventType.BUILD_EVENT.value: int(Priority.MEDIUM),
        EventType.TEST_FAILED.value: int(Priority.HIGH),
        EventType.TEST_PASSED.value: int(Priority.MEDIUM),
        EventType.MCP_ACTIVITY.value: int(Priority.LOW),
        EventType.MCP_CONNECTED.value: int(Priority.HIGH),
        EventType.MCP_DISCONNECTED.value: int(Priority.HIGH),
    }
)
"""The study's table: frequent events are low, events that a user waits for are high."""


def check_priorities(value: object) -> PriorityTable:
    """Return a checked copy with plain keys and values."""
    if not isinstance(value, Mapping):
        raise ValueError(
            f"priorities must be a mapping of event types to ints from 1 to {MAX_LEVELS}, "
            f"got {shown(value)}"
        )
    table: dict[Any, int] = {}
    for key, priority in value.items():
        if not (isinstance(key, type) or (isinstance(key, str) and key)):
            raise ValueError(
                f"priorities must have non-empty strings or classes as keys, got {shown(key)}"
            )
        if isinstance(key, str) and not _WILD.isdisjoint(key):
            raise ValueError(
                f"priorities must have exact event types as keys, not globs, got {shown(key)}"
            )
        # An EventType becomes a plain string.
        plain = str.__str__(key) if isinstance(key, str) else key
        table[plain] = setting_int(f"priorities[{shown(key)}]", priority, 1, MAX_LEVELS)
    return PriorityTable(table)
