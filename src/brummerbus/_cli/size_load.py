"""`python -m brummerbus size --cpu 0.3 --wait 0.7 --rate 1300`: how many workers a load needs.

All times on the command line and in the output are milliseconds.
"""

import argparse
import math
from bisect import bisect_left
from typing import Any

from brummerbus._arguments import MAX_WORKERS
from brummerbus._text import counted
from brummerbus.sizing import calculate_optimal_workers
from brummerbus.sizing._host import compute_servers, gil_enabled, turn
from brummerbus.sizing._queueing_model import (
    Load,
    Prediction,
    binding,
    computing_p99,
    min_workers,
    predict,
    textbook_workers,
)

ASSUMED = (
    "random arrivals (Poisson), exponential CPU and blocked times; handlers share nothing but "
    "the workers and the compute servers; nothing else computes in this process"
)

_MS = 1000.0
_MIN, _MAX = 1e-6, 1e9
_NEEDED = ("--cpu", "--wait", "--rate")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of a load to the command's parser."""
    group = parser.add_argument_group(
        "how many workers a load needs",
        "Answer from given figures instead: the times of one delivery (one event for one handler) "
        "in milliseconds, and the number of deliveries per second.",
    )
    group.add_argument("--cpu", type=_duration, metavar="MS", help="milliseconds of CPU time")
    group.add_argument(
        "--wait",
        type=_duration,
        metavar="MS",
        help="milliseconds blocked: files, network, sleep; not in the queue, not for the GIL",
    )
    group.add_argument("--rate", type=_positive, metavar="N", help="deliveries per second")
    group.add_argument(
        "--target",
        type=_positive,
        metavar="MS",
        help="maximum queue wait of 99 in 100 deliveries, in milliseconds (default: 10)",
    )


def load_from(args: argparse.Namespace, parser: argparse.ArgumentParser) -> Load | None:
    """Return the load on the command line; None if none is given. Exits if it is incomplete."""
    values = [args.cpu, args.wait, args.rate]
    missing = [name for name, value in zip(_NEEDED, values, strict=True) if value is None]
    if len(missing) == len(_NEEDED) and args.target is None:
        return None
    if missing:
        parser.error(f"--cpu, --wait and --rate belong together: {_listed(missing)} not given")
    if args.cpu + args.wait < _MIN:
        parser.error(f"--cpu and --wait must be at least {_MIN:g} milliseconds together")
    servers = compute_servers()
    return Load(args.rate, args.cpu / _MS, args.wait / _MS, compute_servers=servers, turn=turn())


def collect(load: Load, target: float | None) -> dict[str, Any]:
    """Return the advice, ready for JSON; milliseconds, None for what is infinite or impossible."""
    target = 10.0 if target is None else target
    workers = min_workers(load, target / _MS)
    enough = _enough(load)
    textbook = textbook_workers(load.compute_servers, 1.0, load.wait, load.compute)
    return {
        "load": {
            "cpu": load.compute * _MS,
            "wait": load.wait * _MS,
            "rate": load.rate,
            "target": target,
        },
        "gil": gil_enabled(),
        "compute_servers": load.compute_servers,
        "compute_utilization": load.rate * load.compute / load.compute_servers,
        "computing_p99": _milliseconds(computing_p99(load)),
        "textbook_workers": None if math.isinf(textbook) else textbook,
        "workers": workers,
        "enough_workers": enough,
        "reason": _reason(load, target, workers, enough),
        "table": [_entry(load, predict(load, count)) for count in _counts(workers, enough)],
        "assumed": ASSUMED,
    }


def describe(advice: dict[str, Any]) -> str:
    """Return the advice of `collect` as human-readable lines."""
    load, servers = advice["load"], advice["compute_servers"]
    textbook = "no limit: nothing computes"
    if advice["textbook_workers"] is not None:
        textbook = (
            f"{advice['textbook_workers']:.3g} = {counted(servers, 'core')} x 100 % x "
            f"(1 + {load['wait']:g} / {load['cpu']:g}), whatever the rate"
        )
    server = "one server: under the GIL, deliveries compute one at a time"
    if not advice["gil"]:
        server = f"{counted(servers, 'core')}: this interpreter runs without a GIL"
    advised = f"{counted(advice['workers'], 'worker')}: " if advice["workers"] else ""
    each = f"each {load['cpu']:g} ms of CPU time and {load['wait']:g} ms blocked"
    return "\n".join(
        [
            f"Load      {load['rate']:g} deliveries per second, {each}",
            f"Computing {_percent(advice['compute_utilization'])} of {server}",
            f"Textbook  {textbook}",
            "",
            "Workers   Busy  p50 wait   p99 wait   Handling  Max rate",
            *(_line(entry, advice["workers"]) for entry in advice["table"]),
            "",
            f"Advice    {advised}{advice['reason']}",
            f"Assumed   {advice['assumed']}",
        ]
    )


def _enough(load: Load) -> int | None:
    """Return the number of workers beyond which more do not help, None if there is none."""
    counts = range(1, MAX_WORKERS + 1)
    found = bisect_left(counts, True, key=lambda count: binding(load, count) == "compute")
    return counts[found] if found < len(counts) else None


def _reason(load: Load, target: float, workers: int | None, enough: int | None) -> str:
    """Return why it is that number of workers, or none."""
    what = "the GIL" if gil_enabled() else "a core"
    alone = computing_p99(load)
    if workers is not None:
        minimum = f"the minimum for a p99 queue wait of at most {target:g} ms"
        if enough is None or workers < enough:
            return minimum
        return f"{minimum}. More do not help: the rest of the wait is for {what}"
    if load.rate >= load.compute_limit:
        return (
            f"no number of workers is enough, as all wait for {what}: computing limits the rate to "
            f"{load.compute_limit:.4g} deliveries per second"
        )
    if alone > target / _MS:
        moves = f"; more than {counted(enough, 'worker')} only move it there" if enough else ""
        return (
            f"no number of workers reaches a p99 of {target:g} ms: waiting for {what} takes "
            f"{_shown(alone * _MS)}, in the queue or in the handlers{moves}"
        )
    return f"no pool reaches a p99 of {target:g} ms; the largest has {MAX_WORKERS:,} workers"


def _counts(workers: int | None, enough: int | None) -> list[int]:
    """Return the numbers of workers to show: around the advised one, the formula's, powers of 2."""
    counts = {1, 2, 4, 8, 16, 32, enough or 1}
    if workers is not None:
        counts = {1, workers // 2, workers - 1, workers, workers + 1, workers * 2}
    counts.add(calculate_optimal_workers())
    return sorted(count for count in counts if 1 <= count <= MAX_WORKERS)


def _entry(load: Load, found: Prediction) -> dict[str, Any]:
    completed = min(load.rate, found.sustainable_rate)
    return {
        "workers": found.workers,
        "utilization": found.utilization,
        "p50_wait": _milliseconds(found.p50_wait),
        "p99_wait": _milliseconds(found.p99_wait),
        "handling": found.utilization * found.workers / completed * _MS,
        "sustainable_rate": found.sustainable_rate,
    }


def _line(entry: dict[str, Any], advised: int | None) -> str:
    p50, p99 = (
        "unbounded" if wait is None else _shown(wait)
        for wait in (entry["p50_wait"], entry["p99_wait"])
    )
    handling, rate = _shown(entry["handling"]), f"{entry['sustainable_rate']:,.4g}/s"
    mark = "  <- advised" if entry["workers"] == advised else ""
    busy = _percent(entry["utilization"])
    return f"{entry['workers']:>7}{busy:>7}{p50:>10}{p99:>11}{handling:>11}{rate:>10}{mark}"


def _milliseconds(seconds: float) -> float | None:
    return None if math.isinf(seconds) else seconds * _MS


def _shown(milliseconds: float) -> str:
    return f"{milliseconds:,.0f} ms" if milliseconds >= 100 else f"{milliseconds:.3g} ms"


def _percent(share: float) -> str:
    return f"{share * 100:.0f} %"


def _listed(names: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _duration(text: str) -> float:
    return _number(text, 0.0)


def _positive(text: str) -> float:
    return _number(text, _MIN)


def _number(text: str, minimum: float) -> float:
    """Return a number from the command line, in the range that the model supports."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not minimum <= value <= _MAX:
        raise argparse.ArgumentTypeError(
            f"expected a number from {minimum:g} to {_MAX:g}, got {text!r}"
        )
    return value
