"""The number of lines of text for `parse`, so that handling is 70 % waiting and 30 % computing.

Measured once for a whole run, with one thread and no other load, so that all contestants have the
same work. Computing is the CPU time of the handling thread, system calls included; waiting is the
rest of its wall time.
"""

from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter, thread_time
from typing import Any

from bench.claims.loads import HANDLERS, MIX, ROUND, THINK, types
from bench.claims.server import serving
from bench.claims.work import Work
from brummerbus import Event

WAITING = 0.7
ROUNDS = 20

Times = dict[str, tuple[float, float]]
"""Wall and CPU seconds of a call, by handler."""


def calibrate(text_file: Path) -> dict[str, Any]:
    """Return the number of lines, and the times measured with it."""
    text = text_file.read_text(encoding="utf-8").splitlines()
    with TemporaryDirectory() as directory, serving(THINK) as port:
        log = Path(directory) / "log.txt"
        with Work(log, text, 1, port) as work:
            work.warm_up()
            for _ in range(3):
                work.lines = lines_for(handler_times(work), work.lines)
            times = handler_times(work)
    return {"lines": work.lines, **summary(times)}


def handler_times(work: Work) -> Times:
    """Call the handlers for some rounds of the mix; the medians of each."""
    samples: dict[str, list[tuple[float, float]]] = {}
    for number, type_ in enumerate(types(ROUNDS * ROUND)):
        event = Event(type_, (0, work.line(number)))
        for name in HANDLERS[type_]:
            handler = getattr(work, name)
            wall, cpu = perf_counter(), thread_time()
            handler(event)
            samples.setdefault(name, []).append((perf_counter() - wall, thread_time() - cpu))
    return {
        name: (median(wall for wall, _ in pairs), median(cpu for _, cpu in pairs))
        for name, pairs in samples.items()
    }


def lines_for(times: Times, lines: int) -> int:
    """Return the number of lines for the right share of computing; `times` are with `lines`."""
    calls = _calls()
    computing = {name: calls[name] * cpu for name, (_, cpu) in times.items()}
    waiting = sum(calls[name] * max(0.0, wall - cpu) for name, (wall, cpu) in times.items())
    wanted = waiting * (1 - WAITING) / WAITING
    lacking = wanted - sum(cpu for name, cpu in computing.items() if name != "parse")
    return max(1, round(lacking / (computing["parse"] / lines)))


def summary(times: Times) -> dict[str, Any]:
    """Return the share of waiting, the mean time of a run, and the times by handler, for JSON."""
    calls = _calls()
    wall = sum(calls[name] * seconds for name, (seconds, _) in times.items())
    cpu = sum(calls[name] * seconds for name, (_, seconds) in times.items())
    total = sum(calls.values())
    return {
        "waiting": 1 - cpu / wall,
        "run_us": wall / total * 1e6,
        "computing_us": cpu / total * 1e6,
        "handlers_us": {
            name: {"calls": calls[name], "wall": wall * 1e6, "cpu": cpu * 1e6}
            for name, (wall, cpu) in times.items()
        },
    }


def _calls() -> dict[str, int]:
    calls: dict[str, int] = {}
    for type_, number in MIX.items():
        for name in HANDLERS[type_]:
            calls[name] = calls.get(name, 0) + number
    return calls
