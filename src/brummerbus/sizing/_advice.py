"""What the adviser says: the data, and the report for people."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from brummerbus.sizing._queueing_model import Load, Prediction

SHOWN_HANDLERS = 8
"""Lines for handlers; the rest adds up in the last."""


@dataclass(frozen=True)
class HandlerLoad:
    """What one subscription's handler costs, on average over its deliveries."""

    subscription: str
    """Event type and handler."""
    deliveries: int
    """Finished so far."""
    handling_time: float
    """Seconds from being taken by a worker to being finished."""
    compute_time: float
    """Seconds of CPU time. Of handlers of less than 20 us on average, all of the handling time."""
    wait_time: float
    """Seconds blocked: the rest, without what was estimated to be waiting for the GIL or a core."""
    blocking_factor: float
    """`wait_time` as a share of wait and compute, 0: it only computes, 1: it only waits."""
    share: float
    """Of the handling time of all handlers, 0 to 1."""


@dataclass(frozen=True)
class Advice:
    """A number of workers, and what led to it. `str()` of it is a report for people."""

    workers: int
    """How many there are now."""
    recommended: int | None
    """The fewest with which p99 of the queue wait is within the target. None: see `reason`."""
    reason: str
    """Why this number, or why none."""
    target_wait: float
    """Seconds that 99 of 100 deliveries are to wait at most."""
    seconds: float
    """From the first arrival to the last."""
    deliveries: int
    """That arrived in this time."""
    load: Load | None
    """What was measured, in the model's terms; None: too little data, and no advice."""
    busy: float
    """Share of the workers that was busy on average."""
    others: float
    """Share of the compute servers that other threads of the process took."""
    textbook: float | None
    """cores x utilisation x (1 + wait / compute), with a utilisation of 1."""
    measured_p50: float
    """Of the queue wait so far, in seconds."""
    measured_p99: float
    """Of the queue wait so far, in seconds."""
    table: Sequence[Prediction] = ()
    """What is to be expected of some numbers of workers."""
    handlers: Sequence[HandlerLoad] = ()
    """What each handler costs, the dominant one first."""
    assumptions: Sequence[str] = ()
    """What the advice rests on, with the figures."""

    @property
    def dominant(self) -> HandlerLoad | None:
        """The handler that takes most of the workers' time."""
        return self.handlers[0] if self.handlers else None

    def as_dict(self) -> dict[str, Any]:
        """Return it as nested dicts, lists, numbers and strings; infinite times are None."""
        plain = _finite(asdict(self))
        assert isinstance(plain, dict)
        return plain

    def __str__(self) -> str:
        return "\n".join(_lines(self))


Advice.__module__ = "brummerbus"  # the public place, as for the other public names


def _lines(advice: Advice) -> Iterator[str]:
    number = advice.recommended
    yield f"Advice: {f'{number} workers' if number else 'no number'}, {advice.reason}"
    if advice.load is None:
        return
    yield (
        f"Now {advice.workers} workers, busy {advice.busy:.0%}; {advice.deliveries:,} deliveries "
        f"in {advice.seconds:.1f} s; measured queue wait p50 {duration(advice.measured_p50)}, "
        f"p99 {duration(advice.measured_p99)}"
    )
    yield ""
    yield f"{'workers':>9} {'busy':>6} {'p50 wait':>10} {'p99 wait':>10} {'sustains':>12}"
    for row in advice.table:
        mark = "  <- advised" if row.workers == number else ""
        mark += "  (now)" if row.workers == advice.workers else ""
        yield (
            f"{row.workers:>9} {row.utilization:>6.0%} {duration(row.p50_wait):>10} "
            f"{duration(row.p99_wait):>10} {row.sustainable_rate:>10,.0f}/s{mark}"
        )
    yield ""
    yield f"{'handler':<40} {'count':>9} {'takes':>9} {'computes':>9} {'blocked':>8} {'share':>6}"
    for handler in advice.handlers[:SHOWN_HANDLERS]:
        yield (
            f"{handler.subscription[:40]:<40} {handler.deliveries:>9,} "
            f"{duration(handler.handling_time):>9} {duration(handler.compute_time):>9} "
            f"{handler.blocking_factor:>8.0%} {handler.share:>6.0%}"
        )
    rest = advice.handlers[SHOWN_HANDLERS:]
    if rest:
        yield f"and {len(rest)} more, with {sum(h.share for h in rest):.0%} of the time"
    yield ""
    if advice.textbook is not None:
        yield f"Textbook, cores x (1 + wait/compute), to keep them busy: {advice.textbook:.1f}"
    yield "Assumed:"
    yield from (f"- {assumption}" for assumption in advice.assumptions)


def duration(seconds: float) -> str:
    """Return a time in the unit that suits it."""
    if seconds == float("inf"):
        return "no end"
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return "0" if seconds < 1e-9 else f"{seconds * 1e9:.0f} ns"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if value in (float("inf"), float("-inf")) else value
