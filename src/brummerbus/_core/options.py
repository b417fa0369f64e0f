"""What a subscription can ask for beyond its handler, checked."""

from collections.abc import Callable, Hashable, Mapping
from typing import Any, NamedTuple

from brummerbus._arguments import check_bool, check_int, check_seconds, shown
from brummerbus._core.callables import check_hook

MAX_CONCURRENCY = 4096
MAX_BATCH = 65_536
MAX_RETRIES = 1000

CONCURRENCY = 16
"""Coroutines of a subscription that run at once, unless it says otherwise."""

Key = Callable[[Any], Hashable] | str


class Options(NamedTuple):
    """The options of `EventBus.subscribe`, which says what they mean."""

    once: bool = False
    key: Key | None = None
    max_concurrency: int | None = None
    batch: int | None = None
    batch_wait: float = 0.0
    retries: int = 0
    backoff: float = 0.1
    weak: bool = False
    loop: Any = None
    concurrency: int | None = None

    @property
    def are_grouped(self) -> bool:
        """Whether deliveries wait in lanes (`csrc/queue/lanes.c`) instead of slots."""
        limited = self.max_concurrency is not None or self.batch is not None
        return limited or self.key is not None or self.retries > 0


def checked(options: Options) -> Options:
    """Return the options as they are used.

    Raises:
        TypeError, ValueError: One is of the wrong type or out of range; the message names it.
    """
    key, batch = options.key, options.batch
    if key is not None and not callable(key) and not isinstance(key, str):
        raise TypeError(f"key must be a callable of the event or a name, got {shown(key)}")
    if callable(key):
        check_hook("key", key, ("event",))
    if isinstance(key, str) and not key:
        raise ValueError("key must be a callable of the event or a non-empty name, got ''")
    limit = _concurrency(options)
    if limit is not None:
        limit = check_int("max_concurrency", limit, 1, MAX_CONCURRENCY)
    if batch is not None:
        batch = check_int("batch", batch, 1, MAX_BATCH)
    batch_wait = check_seconds("batch_wait", options.batch_wait)
    if batch_wait and batch is None:
        raise ValueError(f"batch_wait needs batch: got batch_wait={batch_wait!r} without it")
    check_bool("once", options.once)
    check_bool("weak", options.weak)
    return options._replace(
        key=None if key is None else _key_function(key),
        max_concurrency=limit,
        batch=batch,
        batch_wait=batch_wait,
        retries=check_int("retries", options.retries, 0, MAX_RETRIES),
        backoff=check_seconds("backoff", options.backoff),
    )


def _concurrency(options: Options) -> int | None:
    """Return `max_concurrency`, or with a loop `concurrency`; check what is about loops."""
    loop, limit = options.loop, options.concurrency
    if loop is None:
        if limit is not None:
            raise ValueError(f"concurrency needs loop: got concurrency={shown(limit)} without it")
        return options.max_concurrency
    for name in ("call_soon_threadsafe", "create_task", "is_closed"):
        if isinstance(loop, type) or not callable(getattr(loop, name, None)):
            raise TypeError(f"loop must be an event loop of asyncio, got {shown(loop)}")
    for name, value in (("batch", options.batch), ("weak", options.weak or None)):
        if value is not None:
            raise ValueError(f"{name} cannot be used with loop, got {name}={shown(value)}")
    if options.max_concurrency is not None:
        raise ValueError("with loop, it is concurrency that is limited, not max_concurrency")
    if loop.is_closed():
        raise ValueError(f"loop must not be closed, got {shown(loop)}")
    return check_int("concurrency", CONCURRENCY if limit is None else limit, 1, MAX_CONCURRENCY)


def _key_function(key: Key) -> Callable[[Any], Hashable]:
    """Return what computes the key of an event."""
    if not isinstance(key, str):
        return key
    name = key

    def named(event: Any) -> Hashable:
        try:
            value: Hashable = getattr(event, name)
        except AttributeError:
            data = getattr(event, "data", None)
            if isinstance(data, Mapping):
                return data[name]  # type: ignore[no-any-return]
            raise
        return value

    return named
