"""From the measurements of a queue to a scenario.

Measured are, for each subscription, the number of finished deliveries and mean and variance of
their handling time and CPU time; for all together, the histogram of the handling time, and mean and
variance of the arrivals in windows of three lengths. The rest is derived.

- Deliveries that arrive together: one per recipient of an event, from the routes and the number of
  published deliveries of each type.
- The histogram of each handler: its part of the common histogram, from its moments (`_histograms`).
- Blocked times: the handling time without the CPU time and without the wait for the GIL or a core,
  which a simulation of the present workers provides (`Scenario.calibrated`).
- The arrival process (`_arrivals`).
"""

from collections.abc import Iterable, Sequence

from brummerbus._measurements import MeasuredLoad, Timer, bucket_edge
from brummerbus.sizing._arrivals import Dispersion, Kind, arrival_process
from brummerbus.sizing._histograms import divided, rake
from brummerbus.sizing._moments import Moments
from brummerbus.sizing._scenario import Handler, Scenario

MAX_HANDLERS = 24
"""Handlers that are simulated separately, those with most handling time; the others are one."""

MAX_KINDS = 200
"""Kinds of events that are simulated, the most frequent."""

MIN_TURN = 1e-4
"""Minimum of the switch interval in seconds; shorter ones would only cost simulation time."""

WINDOWS = (0.01, 0.1, 1.0)
"""Lengths of the windows in which arrivals are counted, in seconds."""

_NS = 1e-9


def observed(
    load: MeasuredLoad, rate: float, *, servers: int, turn: float, others: float, starvation: float
) -> Scenario:
    """Return the measured load as a scenario that is not calibrated yet.

    Args:
        load: The measurements, with at least one finished delivery.
        rate: Deliveries per second.
        servers: How many deliveries can compute at the same time.
        turn: The switch interval of the GIL in seconds; 0: there is no GIL.
        others: Share of the compute servers that other threads used, below 1.
        starvation: Seconds in the queue after which a delivery is taken next.
    """
    timers, places = _largest(load.timers)
    handlers = [_handler(timer, others if servers > 1 else 0.0) for timer in timers]
    histogram = [
        (bucket_edge(bucket - 1) * _NS if bucket else 0.0, bucket_edge(bucket) * _NS, float(count))
        for bucket, count in load.processing
    ]
    weights = [float(timer.deliveries) for timer in timers]
    parts = divided(histogram, [handler.wall for handler in handlers], weights)
    kinds = _kinds(load, places)
    return Scenario(
        handlers=tuple(one._replace(walls=p) for one, p in zip(handlers, parts, strict=True)),
        kinds=tuple(kinds),
        arrivals=arrival_process(rate, kinds, _dispersions(load)),
        servers=servers,
        turn=max(turn, MIN_TURN) if turn else 0.0,
        publishing=others / rate if servers == 1 else 0.0,
        starvation=starvation,
    )


def summed(timers: Iterable[Timer]) -> Timer:
    """Return the sum of timers."""
    nothing = Timer(0, 0, 0, 0.0, 0.0)
    return Timer._make([sum(values) for values in zip(nothing, *timers, strict=True)])


def _largest(numbered: dict[int, Timer]) -> tuple[list[Timer], dict[int, int]]:
    """Return the timers of the handlers, and the index of each number among them."""
    by_time = sorted(numbered, key=lambda number: -numbered[number].wall)
    timers = [numbered[number] for number in by_time]
    if len(timers) > MAX_HANDLERS:
        timers = [*timers[: MAX_HANDLERS - 1], summed(timers[MAX_HANDLERS - 1 :])]
    return timers, {number: min(n, MAX_HANDLERS - 1) for n, number in enumerate(by_time)}


def _handler(timer: Timer, others: float) -> Handler:
    """Return a handler without a wait for a compute server, as a first estimate."""
    wall = _moments(timer.deliveries, timer.wall, timer.wall_squared)
    compute = _moments(timer.deliveries, timer.cpu, timer.cpu_squared)
    compute = Moments(compute.mean / (1 - others), compute.variance / (1 - others) ** 2)
    blocked = Moments(
        max(0.0, wall.mean - compute.mean), max(0.0, wall.variance - compute.variance)
    )
    return Handler(wall, compute, blocked)


def _moments(count: int, total: float, squared: float) -> Moments:
    mean = total / count * _NS
    return Moments(mean, max(0.0, squared / count * _NS**2 - mean**2))


def _kinds(load: MeasuredLoad, places: dict[int, int]) -> list[Kind]:
    """Return the kinds of events; without routes, each handler has its own."""
    kinds: dict[tuple[int, tuple[int, ...]], float] = {}
    for (number, level), deliveries in _published(load).items():
        timers = load.routes[number, level]
        found = tuple(places[timer] for timer in timers if timer in places)
        if found:
            kinds[level, found] = kinds.get((level, found), 0.0) + deliveries / len(timers)
    if not kinds:
        return [Kind(load.timers[timer].deliveries, 1, (place,)) for timer, place in places.items()]
    most = sorted(kinds, key=lambda kind: -kinds[kind])[:MAX_KINDS]
    return [Kind(kinds[kind], *kind) for kind in most]


def _published(load: MeasuredLoad) -> dict[tuple[int, int], float]:
    """Return the number of published deliveries by type and level.

    The queue counts them by type and by level separately. Most types have one level, from which the
    others are estimated.
    """
    routed = [key for key in load.routes if load.types.get(key[0])]
    types = {number: place for place, number in enumerate({number for number, _ in routed})}
    if len(types) == len(routed):
        return {key: float(load.types[key[0]]) for key in routed}
    levels = {level: place for place, level in enumerate(load.levels)}
    seed = [[0.0] * len(levels) for _ in types]
    for number, level in routed:
        seed[types[number]][levels[level]] = 1.0
    table = rake(seed, [load.types[n] for n in types], [load.levels[n] for n in levels])
    found = {key: table[types[key[0]]][levels[key[1]]] for key in routed}
    return {key: deliveries for key, deliveries in found.items() if deliveries > 0}


def _dispersions(load: MeasuredLoad) -> Sequence[Dispersion]:
    found = []
    for seconds, (windows, counted, squared) in zip(WINDOWS, load.windows, strict=False):
        if windows and counted:
            mean = counted / windows
            value = max(0.0, (squared / windows - mean * mean) / mean)
            found.append(Dispersion(seconds, windows, value))
    return found
