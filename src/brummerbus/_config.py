"""The settings of a bus: its size, its backpressure policy, its time-outs.

Here, and only here, a wrong type is a `ValueError` too: settings come from files, environment
variables and command lines, and the code that reads them has one exception to catch.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from math import nan
from typing import TYPE_CHECKING, Any, TypedDict

from brummerbus._arguments import MAX_QUEUE_SIZE, MAX_WORKERS, check_timeout, setting_int, shown
from brummerbus._policies import BackpressurePolicy, check_policy
from brummerbus._priorities import DEFAULT_PRIORITIES, MAX_LEVELS, check_priorities
from brummerbus.sizing import (
    available_cores,
    calculate_optimal_workers,
    calculate_queue_size,
    choose_preset,
    is_ci,
    is_high_performance,
    is_low_memory,
)

MAX_NOTES = 1 << 20
"""Decisions that the flight recorder can keep."""
MAX_SCHEDULED = 1_000_000
"""Events of a bus that can be scheduled at a time."""
_POLICIES = f"a BackpressurePolicy or one of {', '.join(repr(p.value) for p in BackpressurePolicy)}"
MIN_STACK = 32_768  # the minimum of `threading.stack_size`
MAX_STACK = 2**30

MAX_SECONDS = 1_000_000_000.0  # some 31 years; in nanoseconds it fits 64 bits
MIN_SECONDS = 1e-9  # the queue measures nanoseconds: less than one would mean 0


@dataclass(frozen=True)
class EventBusConfig:
    """The settings of a bus: immutable, validated on construction.

    Change one with `dataclasses.replace`; a new number of workers does not change `queue_size`.

    Attributes:
        workers: Worker threads, 1 to 1024. Default: None, `sizing.calculate_optimal_workers()`.
            Handlers that wait profit from more; handlers that compute, from no more than there are
            cores. One worker handles all events one at a time. A pair, such as `(4, 32)`, makes the
            pool elastic: it starts with the minimum, grows up to the maximum while deliveries wait
            long and more workers help, and shrinks when workers are idle. `EventBus.stats().sizing`
            lists each step with its reason.
        queue_size: Slots: max queued deliveries, over all levels, 1 to 16,777,216. Default: None,
            workers x 10 (of an elastic pool, the maximum). An event takes one slot for each of its
            subscriptions; one with more subscriptions than slots is accepted whole when the queue
            is empty. A larger queue absorbs longer bursts, and lets deliveries wait longer.
        priority_levels: Levels of priority, 1 to 8. Default: 3. 1 turns priorities off.
        policy: What is dropped once `publish` has waited without success, a `BackpressurePolicy`
            or its name, such as "block". Default: `DROP_OLDEST`.
        publish_timeout: Seconds, 0 to 1e9, that `publish` waits for free slots while no worker
            takes anything. Default: 0.1. It measures how long nothing moves, not how long the wait
            takes: as long as workers take, publishers wait, and slow handlers pace them. After a
            wait without success further publishes apply the policy immediately until a worker takes
            again: a publisher waits at most once per congestion episode, not once per event. 0
            never waits: for publishers that must not be delayed at all, at the price of drops in
            bursts.
        handler_reserve: Slots beyond `queue_size` that only handlers can use, 0 to 16,777,216.
            Default: 4,096. A handler that publishes into a full queue cannot wait for slots that
            only workers free: it may occupy the last of them. `BusStats.reserve_used` shows the
            use.
        reserved_workers: Workers, 0 to `workers` - 1, that take only the highest priority level, so
            that a health check is answered while all others are stuck. Default: 0. They stand idle
            while nothing of that level is queued.
        max_scheduled: Events, 1 to 1,000,000, that `EventBus.publish_after` can have scheduled at a
            time. Default: 10,000. Beyond it, `QueueFull`.
        starvation_after: Seconds after which a delivery is taken next whatever its level, 1e-9 to
            1e9, or None. Default: None, strict priority. Set it when urgent events can keep all
            workers busy for long and the rest must still be handled. The bound: once a delivery
            has waited this long, only older ones are taken before it, so with k of them (fewer than
            `queue_size`) and handlers that take at most H seconds it begins within
            `starvation_after + ceil((k + 1) / workers) * H`.
        shutdown_timeout: Seconds, 0 to 1e9, or None. At exit, and where an exception leaves the
            `with` block, the bus drains as long as deliveries end, and gives up once none has for
            this long. None: never. Default: 5.
        slow_handler_after: Seconds, 1e-3 to 1e9, after which a handler that still runs is logged;
            None: never. One line at WARNING on the logger `brummerbus` for each such delivery, with
            the subscription, the event, the time so far and the handler's stack; up to a second
            late. Costs a thread that samples four times in that span while handlers run, and once
            per second otherwise; publishing and handling cost nothing more. Default: None.
        thread_stack_size: Bytes of stack of each worker thread, 32,768 to 2^30; None: the system's
            default. Set it, for example to 262,144, if address space is limited or workers are
            many; a handler that needs more crashes the process. Systems may require a multiple of
            4,096. While workers are started it is the setting of the whole process
            (`threading.stack_size`). Default: None.
        monitoring: Whether times, histograms and utilisation are recorded. Default: True. The
            counts of `BusStats` are kept in any case.
        flight_recorder: Decisions, 0 to 1,048,576, that are kept for `EventBus.explain` and `dump`:
            that an event was accepted, waited for, evicted, begun, handled, and so on. Default: 0,
            none. Costs 48 bytes each, and a few ns per event.
        propagate_context: Whether each handler runs in a copy of the context variables that the
            publisher had at `publish`, as tracing needs it; what it sets there is gone after it.
            A batch runs in that of its first event. Default: False, an empty context. Costs each
            publish some microseconds.
        priorities: Event type (a non-empty string or a class) to priority, 1 to 8. Default: the
            study's table. A given mapping replaces the table; write
            `{**EventBusConfig.default().priorities, "my.type": 3}` to add to it. Types without an
            entry are medium.
            An entry above `priority_levels` counts as the top level. Kept as a read-only copy.

    Raises:
        ValueError: A value is of the wrong type or out of range. The message names the field,
            the value and the range.
    """

    # None in the constructor means the formula; the attribute is never None, and its annotation
    # says what a reader of the config gets.
    workers: int | tuple[int, int] = None  # type: ignore[assignment]
    queue_size: int = None  # type: ignore[assignment]
    priority_levels: int = 3
    policy: BackpressurePolicy = BackpressurePolicy.DROP_OLDEST
    publish_timeout: float = 0.1
    handler_reserve: int = 4096
    reserved_workers: int = 0
    max_scheduled: int = 10_000
    starvation_after: float | None = None
    shutdown_timeout: float | None = 5.0
    slow_handler_after: float | None = None
    thread_stack_size: int | None = None
    monitoring: bool = True
    flight_recorder: int = 0
    propagate_context: bool = False
    priorities: Mapping[Any, int] = field(default_factory=lambda: DEFAULT_PRIORITIES)

    if TYPE_CHECKING:  # the constructor accepts more types than the attributes have

        def __init__(
            self,
            workers: int | tuple[int, int] | None = None,
            queue_size: int | None = None,
            priority_levels: int = 3,
            policy: BackpressurePolicy | str = BackpressurePolicy.DROP_OLDEST,
            publish_timeout: float = 0.1,
            handler_reserve: int = 4096,
            reserved_workers: int = 0,
            max_scheduled: int = 10_000,
            starvation_after: float | None = None,
            shutdown_timeout: float | None = 5.0,
            slow_handler_after: float | None = None,
            thread_stack_size: int | None = None,
            monitoring: bool = True,  # noqa: FBT001, FBT002
            flight_recorder: int = 0,
            propagate_context: bool = False,  # noqa: FBT001, FBT002
            priorities: Mapping[Any, int] = ...,
        ) -> None: ...

    def __post_init__(self) -> None:
        workers = calculate_optimal_workers() if self.workers is None else self.workers
        self._set("workers", _workers(workers))
        if self.queue_size is None:
            self._set("queue_size", calculate_queue_size(self.max_workers))
        for name, low, high in (
            ("queue_size", 1, MAX_QUEUE_SIZE),
            ("priority_levels", 1, MAX_LEVELS),
            ("handler_reserve", 0, MAX_QUEUE_SIZE),
            ("reserved_workers", 0, self.min_workers - 1),
            ("max_scheduled", 1, MAX_SCHEDULED),
            ("flight_recorder", 0, MAX_NOTES),
        ):
            self._set(name, setting_int(name, getattr(self, name), low, high))
        stack = self.thread_stack_size
        if stack is not None:
            self._set(
                "thread_stack_size", setting_int("thread_stack_size", stack, MIN_STACK, MAX_STACK)
            )
        self._set("publish_timeout", _seconds("publish_timeout", self.publish_timeout, 0.0))
        for name, least in (
            ("starvation_after", MIN_SECONDS),
            ("slow_handler_after", 1e-3),
            ("shutdown_timeout", 0.0),
        ):
            self._set(name, _optional(name, getattr(self, name), least))
        _check_bool("monitoring", self.monitoring)
        _check_bool("propagate_context", self.propagate_context)
        self._set("policy", check_policy(self.policy, tuple(BackpressurePolicy), _POLICIES))
        self._set("priorities", check_priorities(self.priorities))

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)  # the only way in a frozen dataclass

    @property
    def min_workers(self) -> int:
        """The number of workers to start with, and the minimum of an elastic pool."""
        return self.workers if isinstance(self.workers, int) else self.workers[0]

    @property
    def max_workers(self) -> int:
        """The maximum number of workers of an elastic pool; `min_workers` of a static one."""
        return self.workers if isinstance(self.workers, int) else self.workers[1]

    @classmethod
    def default(cls) -> "EventBusConfig":
        """Return the settings of a bus that is given none."""
        return cls()

    @classmethod
    def for_environment(cls) -> "EventBusConfig":
        """Return settings sized for the environment of this process.

        Low memory: at most 2 workers, queue x 5. Continuous integration: at most 4 workers,
        queue x 5. High performance: `min(cores * 4, 32)` workers, queue x 20. The first that
        applies counts; otherwise the settings are those of `default`.
        """
        preset = choose_preset(
            available_cores(),
            ci=is_ci(),
            low_memory=is_low_memory(),
            high_performance=is_high_performance(),
        )
        return cls(workers=preset.workers, queue_size=preset.queue_size)


EventBusConfig.__module__ = "brummerbus"  # the public module, as for all public names


class ConfigOverrides(TypedDict, total=False):
    """Fields of `EventBusConfig` given as keywords, with the types that its constructor accepts."""

    workers: int | tuple[int, int] | None
    queue_size: int | None
    priority_levels: int
    policy: BackpressurePolicy | str
    publish_timeout: float
    handler_reserve: int
    reserved_workers: int
    max_scheduled: int
    starvation_after: float | None
    shutdown_timeout: float | None
    slow_handler_after: float | None
    thread_stack_size: int | None
    monitoring: bool
    flight_recorder: int
    propagate_context: bool
    priorities: Mapping[Any, int]


def configured(config: Any, overrides: ConfigOverrides) -> EventBusConfig:
    """Return the settings of a bus: `config`, or the default, with some fields replaced.

    Raises:
        TypeError: `config` is neither None nor a configuration, or an override is not a field.
        ValueError: An override is of the wrong type or out of range.
    """
    if config is not None and not isinstance(config, EventBusConfig):
        raise TypeError(f"config must be an EventBusConfig, got {shown(config)}")
    known = [known.name for known in fields(EventBusConfig)]
    for name in overrides:
        if name not in known:
            raise TypeError(f"EventBusConfig has no field {name!r}, only {', '.join(known)}")
    if config is None:
        return EventBusConfig(**overrides)
    changes: Mapping[str, Any] = overrides  # mypy takes the attributes' types for what fits
    return replace(config, **changes) if changes else config


def _workers(value: object) -> int | tuple[int, int]:
    """Return a number of workers, or the minimum and the maximum of an elastic pool."""
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        return setting_int("workers", value, 1, MAX_WORKERS)
    minimum = setting_int("workers[0]", value[0], 1, MAX_WORKERS)
    maximum = setting_int("workers[1]", value[1], 1, MAX_WORKERS)
    if minimum > maximum:
        raise ValueError(f"workers must be a pair (minimum, maximum), got {shown(value)}")
    return minimum, maximum


def _optional(name: str, value: object, low: float) -> float | None:
    return None if value is None else _seconds(name, value, low, none="None or ")


def _seconds(name: str, value: object, low: float, none: str = "") -> float:
    """Return a duration as a float; NaN and infinity are rejected."""
    try:
        seconds = check_timeout(name, value)
    except (TypeError, ValueError):
        seconds = nan
    if not low <= seconds <= MAX_SECONDS:
        raise ValueError(
            f"{name} must be {none}a number of seconds from {low:g} to {MAX_SECONDS:g}, "
            f"got {shown(value)}"
        )
    return seconds


def _check_bool(name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be one of True, False, got {shown(value)}")
