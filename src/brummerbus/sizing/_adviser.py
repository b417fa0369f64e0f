"""How many workers a bus should have, and why, from what it measured of itself.

`_queueing_model` has the arithmetic; here is what goes into it and what is made of it.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from math import log
from typing import Any

from brummerbus._arguments import MAX_WORKERS
from brummerbus._measurements import MeasuredLoad, Timer, Windows
from brummerbus.sizing._advice import Advice, HandlerLoad, duration
from brummerbus.sizing._host import available_cores, compute_servers, turn
from brummerbus.sizing._queueing_model import (
    Load,
    blocked_time,
    computing_p99,
    fewest_workers,
    predict,
    textbook_workers,
)

MIN_DELIVERIES = 200
"""Finished deliveries below which there is too little data: p99 would rest on two of them."""

MIN_SECONDS = 1.0
"""Seconds between the first and the last arrival below which there is too little data."""

NO_WAIT = 1e-4
"""Seconds of wait below which it does not matter how far off the model is."""

MIN_WINDOWS = 20
"""Windows from which on their variance is worth something: it is off by a third at most."""

MAX_OF_OTHERS = 0.9
"""What other threads may be counted to take of the compute servers; with all, nothing would go."""

_NS = 1e-9
NOTHING = Timer(0, 0, 0, 0.0, 0.0)


def advise(
    measured: MeasuredLoad,
    labels: Mapping[int, str],
    workers: int,
    queue_wait: tuple[float, float],
    target_wait: float,
) -> Advice:
    """Turn what a queue measured into advice.

    Args:
        measured: Arrivals and meters.
        labels: The names of the meters.
        workers: How many there are.
        queue_wait: MeasuredLoad p50 and p99, in seconds.
        target_wait: In seconds.
    """
    seconds = (measured.last - measured.first) * _NS
    total = _sum(measured.meters.values())
    enough = total.deliveries >= MIN_DELIVERIES and seconds >= MIN_SECONDS
    common: dict[str, Any] = {
        "workers": workers,
        "target_wait": target_wait,
        "seconds": seconds,
        "deliveries": measured.deliveries,
        "measured_p50": queue_wait[0],
        "measured_p99": queue_wait[1],
    }
    if not enough:
        reason = (
            f"too little data: {total.deliveries} finished deliveries in {seconds:.1f} s, "
            f"advice needs {MIN_DELIVERIES} in {MIN_SECONDS:g} s, with monitoring on"
        )
        common |= {"load": None, "busy": 0.0, "others": 0.0, "textbook": None}
        return Advice(recommended=None, reason=reason, **common)
    loads = [
        _load(measured, total, seconds, workers, arrivals)
        for arrivals in dispersions(measured.windows)
    ]
    load, others = min(loads, key=lambda found: _miss(found[0], workers, queue_wait[1]))
    wall = total.wall / total.deliveries * _NS
    recommended = fewest_workers(load, target_wait)
    reason = _reason(load, recommended, target_wait)
    if queue_wait[1] <= target_wait and (recommended is None or recommended > workers):
        recommended = workers
        reason = (
            f"as now: 99 of 100 deliveries have waited {queue_wait[1]:.2g} s at most, though for "
            f"arrivals like these the model expects {predict(load, workers).p99_wait:.2g} s"
        )
    return Advice(
        recommended=recommended,
        reason=reason,
        load=load,
        busy=min(1.0, total.wall * _NS / seconds / workers),
        others=others,
        textbook=_textbook(load),
        table=tuple(predict(load, n) for n in _sizes(workers, recommended)),
        handlers=_handlers(measured.meters, labels, load, wall),
        assumptions=_assumptions(load, others),
        **common,
    )


def _load(
    measured: MeasuredLoad, total: Timer, seconds: float, workers: int, arrivals: float
) -> tuple[Load, float]:
    """Return the load in the model's terms, and the share that other threads took."""
    n = total.deliveries
    wall, compute = total.wall / n * _NS, total.cpu / n * _NS
    rate = measured.deliveries / seconds
    servers = compute_servers()
    read = (measured.cpu_read - measured.first) * _NS
    process = measured.process_cpu * _NS / read if read > 0 else 0.0  # cores
    if process > servers * 1.1:  # handlers release the GIL while they compute
        servers = max(servers, min(available_cores(), os.cpu_count() or 1))
    others = min(MAX_OF_OTHERS, max(0.0, process - rate * compute) / servers)
    blocked = blocked_time(
        wall,
        compute,
        min(rate * wall, workers),
        servers,
        others,
        workers=workers,
        arrival_variability=arrivals,
        compute_variability=_variability(n, total.cpu, total.cpu_squared),
    )
    load = Load(
        rate=rate,
        compute=compute / (1 - others),
        wait=blocked,
        service_variability=_variability(n, total.wall, total.wall_squared),
        arrival_variability=arrivals,
        compute_servers=servers,
        compute_variability=_variability(n, total.cpu, total.cpu_squared),
        turn=turn(),
    )
    return load, others


def dispersions(scales: Sequence[Windows]) -> list[float]:
    """Return variance over mean of the counts, on each time scale that has enough windows.

    Arrivals that are random by the millisecond can come in bursts by the second. On which scale
    it matters for the wait depends on how soon the workers are done with a burst; the adviser
    takes the one with which the model explains best what was measured.
    """
    found = []
    for windows, counted, squared in scales:
        if windows >= MIN_WINDOWS and counted:
            mean = counted / windows
            found.append(max(0.0, (squared / windows - mean * mean) / mean))
    return found or [1.0]


def _miss(load: Load, workers: int, measured_p99: float) -> float:
    """Return by what factor the model misses the measured wait, as a logarithm."""
    expected = min(predict(load, workers).p99_wait, 1e9)
    return abs(log((expected + NO_WAIT) / (measured_p99 + NO_WAIT)))


def _sum(meters: Iterable[Timer]) -> Timer:
    return Timer(*map(sum, zip(NOTHING, *meters, strict=True)))


def _variability(n: int, total: float, squared: float) -> float:
    """Return the squared coefficient of variation."""
    return max(0.0, n * squared / (total * total) - 1) if total else 0.0


def _textbook(load: Load) -> float | None:
    if not load.compute:
        return None
    return textbook_workers(load.compute_servers, 1.0, load.wait, load.compute)


def _reason(load: Load, recommended: int | None, target: float) -> str:
    used = load.rate * load.compute / load.compute_servers
    computing = f"computing is {_servers(load)}, busy for {min(used, 1.0):.0%} of the time"
    if recommended is not None:
        return f"the minimum with which 99 of 100 deliveries wait at most {target:g} s"
    if used >= 1:
        return f"more workers do not help: {computing}; make handlers compute less"
    if computing_p99(load) > target:
        return (
            f"more workers do not help: {computing}, and 1 of 100 deliveries would wait "
            f"{computing_p99(load):.2g} s for it inside its handler"
        )
    return f"no number of workers up to {MAX_WORKERS:,} keeps the wait under {target:g} s"


def _servers(load: Load) -> str:
    if load.compute_servers == 1:
        return "one server for the whole process (the GIL)"
    return f"{load.compute_servers} servers (cores)"


def _sizes(workers: int, recommended: int | None) -> list[int]:
    """Return the numbers of workers that are worth comparing."""
    centre = workers if recommended is None else recommended
    sizes = {workers, centre, max(1, centre // 2), max(1, centre - 1), centre + 1, centre * 2}
    return sorted(size for size in sizes if size <= MAX_WORKERS)


def _handlers(
    meters: Mapping[int, Timer], labels: Mapping[int, str], load: Load, wall: float
) -> tuple[HandlerLoad, ...]:
    total = _sum(meters.values())
    compute = total.cpu / total.deliveries * _NS
    # Seconds in a handler for each second that it computes: the wait for the GIL or a core.
    stretch = max(1.0, (wall - load.wait) / compute) if compute else 1.0
    found = []
    for number, meter in meters.items():
        own, cpu = meter.wall / meter.deliveries * _NS, meter.cpu / meter.deliveries * _NS
        wait = max(0.0, own - cpu * stretch)
        found.append(
            HandlerLoad(
                subscription=labels.get(number, "?"),
                deliveries=meter.deliveries,
                handling_time=own,
                compute_time=cpu,
                wait_time=wait,
                blocking_factor=wait / (wait + cpu) if wait + cpu else 0.0,
                share=meter.wall / max(1, total.wall),
            )
        )
    return tuple(sorted(found, key=lambda handler: -handler.share))


def _assumptions(load: Load, others: float) -> tuple[str, ...]:
    arrivals = f"{load.rate:,.0f} deliveries/s, dispersion {load.arrival_variability:.2g}"
    times = f"{duration(load.compute)} computing, {duration(load.wait)} blocked on average"
    shared = f"other threads take {others:.0%} of it, counted in the computing time"
    variability = f"squared coefficient of variation {load.service_variability:.2g}"
    return (
        f"arrivals go on as they were: {arrivals} (1: at random)",
        f"handlers go on as they were: {times}, {variability}",
        f"computing is {_servers(load)}; {shared}",
        "workers share nothing else: no lock, disk or connection becomes the bottleneck first",
        "all levels of priority together; urgent deliveries wait less, others more",
    )
