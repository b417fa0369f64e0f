"""Recommends a number of workers from the measurements of a bus, with the reasons.

The number is found by simulating the measured load (`_observed`, `_forecast`). The formulas of
`_queueing_model` choose where the search begins, predict the rates that workers sustain, and
describe the load in a few figures.
"""

import math
import os
from collections.abc import Mapping
from typing import Any

from brummerbus._arguments import MAX_WORKERS
from brummerbus._measurements import MeasuredLoad, Timer
from brummerbus.sizing._advice import Advice, HandlerLoad, duration
from brummerbus.sizing._forecast import Forecast
from brummerbus.sizing._host import available_cores, compute_servers, turn
from brummerbus.sizing._observed import observed, summed
from brummerbus.sizing._queueing_model import Load, blocked_time, textbook_workers
from brummerbus.sizing._scenario import Scenario

MIN_DELIVERIES = 200
"""Finished deliveries below which there is too little data: p99 would rest on two of them."""

MIN_SECONDS = 1.0
"""Seconds between the first and the last arrival below which there is too little data."""

MAX_OF_OTHERS = 0.9
"""What other threads may be counted to take of the compute servers; with all, nothing would go."""

_NS = 1e-9


def advise(
    measured: MeasuredLoad,
    labels: Mapping[int, str],
    workers: int,
    queue_wait: tuple[float, float],
    target_wait: float,
    starvation_after: float | None = None,
) -> Advice:
    """Turn what a queue measured into advice.

    Simulates in the calling thread: 0.2 to 1.5 s of CPU time, and up to 30 MB while it runs.

    Args:
        measured: Arrivals and timers.
        labels: The names of the timers.
        workers: How many there are.
        queue_wait: Measured p50 and p99, in seconds.
        target_wait: In seconds.
        starvation_after: Seconds in the queue after which a delivery is taken next; None: never.
    """
    seconds = (measured.last - measured.first) * _NS
    all_of_them = summed(measured.timers.values())
    common: dict[str, Any] = {
        "workers": workers,
        "target_wait": target_wait,
        "seconds": seconds,
        "deliveries": measured.deliveries,
        "measured_p50": queue_wait[0],
        "measured_p99": queue_wait[1],
    }
    if all_of_them.deliveries < MIN_DELIVERIES or seconds < MIN_SECONDS:
        reason = (
            f"too little data: {all_of_them.deliveries} finished deliveries in {seconds:.1f} s, "
            f"advice needs {MIN_DELIVERIES} in {MIN_SECONDS:g} s, with monitoring on"
        )
        common |= {"load": None, "busy": 0.0, "others": 0.0, "textbook": None}
        return Advice(recommended=None, reason=reason, **common)
    forecast, others = forecast_of(measured, workers, starvation_after)
    load = forecast.load
    recommended, reason = _recommended(forecast, workers, queue_wait[1], target_wait)
    return Advice(
        recommended=recommended,
        reason=reason,
        load=load,
        busy=min(1.0, all_of_them.wall * _NS / seconds / workers),
        others=others,
        textbook=_textbook(load),
        table=tuple(forecast.predict(n) for n in _sizes(workers, recommended)),
        handlers=_handlers(measured.timers, labels, load),
        assumptions=_assumptions(forecast, workers, others),
        **common,
    )


def forecast_of(
    measured: MeasuredLoad, workers: int, starvation_after: float | None = None
) -> tuple[Forecast, float]:
    """Return the forecast of a load, and the share of the compute servers used by other threads."""
    total = summed(measured.timers.values())
    rate = measured.deliveries / ((measured.last - measured.first) * _NS)
    servers, others = _servers(measured, total, rate)
    starvation = starvation_after or math.inf
    found = observed(
        measured, rate, servers=servers, turn=turn(), others=others, starvation=starvation
    )
    return Forecast(found, _load(found, total, workers, others), workers), others


def _servers(measured: MeasuredLoad, total: Timer, rate: float) -> tuple[int, float]:
    """Return how many deliveries can compute at once, and the share that other threads took."""
    servers = compute_servers()
    read = (measured.cpu_read - measured.first) * _NS
    process = measured.process_cpu * _NS / read if read > 0 else 0.0  # cores
    if process > servers * 1.1:  # handlers release the GIL while they compute
        servers = max(servers, min(available_cores(), os.cpu_count() or 1))
    handlers = rate * total.cpu / total.deliveries * _NS
    return servers, min(MAX_OF_OTHERS, max(0.0, process - handlers) / servers)


def _load(found: Scenario, total: Timer, workers: int, others: float) -> Load:
    """Return the load in the formulas' terms."""
    n = total.deliveries
    wall, compute = total.wall / n * _NS, total.cpu / n * _NS
    variability = _variability(n, total.cpu, total.cpu_squared)
    blocked = blocked_time(
        wall,
        compute,
        min(found.rate * wall, workers),
        found.servers,
        others,
        workers=workers,
        arrival_variability=found.arrivals.dispersion,
        compute_variability=variability,
    )
    return Load(
        rate=found.rate,
        compute=compute / (1 - others),
        wait=blocked,
        service_variability=_variability(n, total.wall, total.wall_squared),
        arrival_variability=found.arrivals.dispersion,
        compute_servers=found.servers,
        compute_variability=variability,
        turn=found.turn,
    )


def _variability(n: int, total: float, squared: float) -> float:
    """Return the squared coefficient of variation."""
    return max(0.0, n * squared / (total * total) - 1) if total else 0.0


def _textbook(load: Load) -> float | None:
    if not load.compute:
        return None
    return textbook_workers(load.compute_servers, 1.0, load.wait, load.compute)


def _recommended(
    forecast: Forecast, workers: int, measured_p99: float, target: float
) -> tuple[int | None, str]:
    """Return the number to recommend, None if there is none, and the reason.

    What was measured outweighs what is simulated: a number that keeps the target stays.
    """
    found = forecast.min_workers(target)
    if measured_p99 <= target and (found is None or found > workers):
        expected = forecast.predict(workers).p99_wait
        return workers, (
            f"as now: 99 of 100 deliveries have waited {measured_p99:.2g} s at most, though for "
            f"arrivals like these the model expects {expected:.2g} s"
        )
    if found is not None:
        return found, f"the minimum with which 99 of 100 deliveries wait at most {target:g} s"
    load = forecast.load
    used = load.rate * load.compute / load.compute_servers
    computing = f"computing is {_named(load)}, busy for {min(used, 1.0):.0%} of the time"
    if used >= 1:
        return None, f"more workers do not help: {computing}; make handlers compute less"
    alone = forecast.computing_p99(target)
    if alone > target:
        return None, (
            f"more workers do not help: {computing}, and 1 of 100 deliveries would wait "
            f"{alone:.2g} s for it inside its handler"
        )
    return None, f"no number of workers up to {MAX_WORKERS:,} keeps the wait under {target:g} s"


def _named(load: Load) -> str:
    if load.compute_servers == 1:
        return "one server for the whole process (the GIL)"
    return f"{load.compute_servers} servers (cores)"


def _sizes(workers: int, recommended: int | None) -> list[int]:
    """Return the numbers of workers that are worth comparing."""
    centre = workers if recommended is None else recommended
    sizes = {workers, centre, max(1, centre // 2), max(1, centre - 1), centre + 1, centre * 2}
    return sorted(size for size in sizes if size <= MAX_WORKERS)


def _handlers(
    timers: Mapping[int, Timer], labels: Mapping[int, str], load: Load
) -> tuple[HandlerLoad, ...]:
    all_of_them = summed(timers.values())
    wall, compute = (x / all_of_them.deliveries * _NS for x in (all_of_them.wall, all_of_them.cpu))
    # Seconds in a handler for each second that it computes: the wait for the GIL or a core.
    stretch = max(1.0, (wall - load.wait) / compute) if compute else 1.0
    found = []
    for number, timer in timers.items():
        own, cpu = timer.wall / timer.deliveries * _NS, timer.cpu / timer.deliveries * _NS
        wait = max(0.0, own - cpu * stretch)
        found.append(
            HandlerLoad(
                subscription=labels.get(number, "?"),
                deliveries=timer.deliveries,
                handling_time=own,
                compute_time=cpu,
                wait_time=wait,
                blocking_factor=wait / (wait + cpu) if wait + cpu else 0.0,
                share=timer.wall / max(1, all_of_them.wall),
            )
        )
    return tuple(sorted(found, key=lambda handler: -handler.share))


def _assumptions(forecast: Forecast, workers: int, others: float) -> tuple[str, ...]:
    load, now = forecast.load, forecast.predict(workers)
    arrivals = f"{load.rate:,.0f} deliveries/s, dispersion {load.arrival_variability:.2g}"
    times = f"{duration(load.compute)} computing, {duration(load.wait)} blocked on average"
    shared = f"other threads take {others:.0%} of it"
    variability = f"squared coefficient of variation {load.service_variability:.2g}"
    simulated = f"{len(forecast.script.due):,} deliveries, on the present number of workers"
    return (
        f"arrivals go on as they were: {arrivals} (1: at random)",
        f"handlers go on as they were: {times}, {variability}",
        f"computing is {_named(load)}; {shared}",
        "workers share nothing else: no lock, disk or connection becomes the bottleneck first",
        "any worker takes any delivery: key, max_concurrency and reserved_workers are ignored",
        "all levels of priority together; urgent deliveries wait less, others more",
        f"simulated: {simulated} with a p99 of {duration(now.p99_wait)}",
    )
