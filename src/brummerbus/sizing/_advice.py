"""The adviser's result: the data, and the printed report."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from brummerbus._text import counted
from brummerbus.sizing._queueing_model import Load, Prediction

SHOWN_HANDLERS = 8
"""Maximum handler rows in the report; the remainder is summarised in one."""


@dataclass(frozen=True)
class HandlerLoad:
    """The cost of one subscription's handler, averaged over its deliveries."""

    subscription: str
    """Event type and handler."""
    deliveries: int
    """Finished deliveries."""
    handling_time: float
    """Seconds from being taken by a worker to being finished."""
    compute_time: float
    """Seconds of CPU time. For handlers under 20 us on average, the whole handling time."""
    wait_time: float
    """Seconds blocked: the rest, less the estimated wait for the GIL or a core."""
    blocking_factor: float
    """`wait_time` / (`wait_time` + `compute_time`); 0: it only computes, 1: it only waits."""
    share: float
    """Fraction of the handling time of all handlers, 0 to 1."""


@dataclass(frozen=True)
class Advice:
    """A recommended number of workers and the reasons. `str()` returns a human-readable report."""

    workers: int
    """The present number of workers."""
    recommended: int | None
    """The smallest number whose p99 queue wait is within the target. None: see `reason`."""
    reason: str
    """Why this number, or why none."""
    target_wait: float
    """Maximum queue wait of 99 in 100 deliveries, in seconds."""
    seconds: float
    """Seconds from the first arrival to the last."""
    deliveries: int
    """Arrivals in that time."""
    load: Load | None
    """The measured load, in the model's terms; None: too little data for advice."""
    busy: float
    """Average fraction of the workers that was busy."""
    others: float
    """Fraction of the compute servers that other threads of the process used."""
    textbook: float | None
    """cores x utilisation x (1 + wait / compute), with a utilisation of 1."""
    measured_p50: float
    """Median queue wait so far, in seconds."""
    measured_p99: float
    """99th percentile of the queue wait so far, in seconds."""
    table: Sequence[Prediction] = ()
    """Predictions for several numbers of workers."""
    handlers: Sequence[HandlerLoad] = ()
    """The cost of each handler, the most expensive first."""
    assumptions: Sequence[str] = ()
    """The assumptions behind the advice, with figures."""

    @property
    def dominant(self) -> HandlerLoad | None:
        """The handler that takes most of the workers' time."""
        return self.handlers[0] if self.handlers else None

    def as_dict(self) -> dict[str, Any]:
        """Return the advice as nested dicts, lists, numbers and strings; infinity becomes None."""
        plain = _finite(asdict(self))
        assert isinstance(plain, dict)
        return plain

    def __str__(self) -> str:
        return "\n".join(_lines(self))


Advice.__module__ = "brummerbus"  # the public module, as for all public names


def _lines(advice: Advice) -> Iterator[str]:
    number = advice.recommended
    yield f"Advice: {counted(number, 'worker') if number else 'no number'}, {advice.reason}"
    if advice.load is None:
        return
    yield (
        f"Now {counted(advice.workers, 'worker')}, busy {advice.busy:.0%}; "
        f"{counted(advice.deliveries, 'delivery')} in {advice.seconds:.1f} s; "
        f"measured queue wait p50 {duration(advice.measured_p50)}, "
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
    """Format a time with a fitting unit."""
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
