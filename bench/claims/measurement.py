"""One measurement: one contestant in one shape, in its own process, which prints JSON.

A paced load is open: each event is due at a time fixed in advance, and its latency counts from
then, even if its publisher was delayed. All events of a burst are due at its beginning.
"""

import gc
import json
import resource
import sys
import threading
from array import array
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter_ns, process_time, sleep
from typing import Any

from bench.claims.limits import limited, raise_descriptors
from bench.claims.loads import BY_NAME, HANDLERS, LIMITED, URGENT, Shape, runs, types
from bench.claims.server import serving
from bench.claims.ways import WAYS, Handler, Routes, Way
from bench.claims.work import Work
from bench.peers.machine import peak_memory, reset_peak_memory
from brummerbus import Event

Figures = dict[str, Any]


class Latencies:
    """Times from due to handled, in preallocated memory."""

    def __init__(self, most: int) -> None:
        self._times = array("q", bytes(8 * most))
        self._next = count().__next__

    def add(self, nanoseconds: int) -> None:
        """Add one."""
        self._times[self._next()] = nanoseconds

    def quantiles(self, total: int, least: float) -> dict[str, float]:
        """Return the number handled, and quantiles in milliseconds; called once, at the end.

        Runs that were never handled count as `least` seconds: otherwise a contestant that loses
        the slow ones would appear fast.
        """
        handled = self._next()
        never = [round(least * 1e9)] * (total - handled)
        ordered = sorted([*self._times[:handled], *never])
        shares = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
        at = {name: min(total - 1, int(share * total)) for name, share in shares.items()}
        return {"handled": handled, **{name: ordered[n] / 1e6 for name, n in at.items()}}


class Measurement:
    """A shape's events, and their latencies."""

    def __init__(self, shape: Shape, events: int, work: Work) -> None:
        self.shape = shape
        self.work = work
        self.types = list(types(events))
        self.expected = runs(events)
        self.all, self.urgent = Latencies(self.expected), Latencies(self.expected)
        self.late = Latencies(events)
        self.threads = 0
        self.failures: list[str] = []
        self.deadline = 0
        self.end = 0

    def routes(self) -> Routes:
        """Return the handlers by type; each reads the clock at its end."""
        return {
            type_: [self._timed(getattr(self.work, name), type_) for name in names]
            for type_, names in HANDLERS.items()
        }

    def _timed(self, handler: Handler, type_: str) -> Handler:
        add, urgent = self.all.add, self.urgent.add if type_ == URGENT else None

        def timed(event: Any) -> None:
            if perf_counter_ns() > self.deadline:
                return
            try:
                handler(event)
            except Exception as error:
                self.failures.append(repr(error))
                return
            now = perf_counter_ns()
            add(now - event.data[0])
            if urgent is not None:
                urgent(now - event.data[0])
            self.end = now

        return timed

    def run(self, make: type[Way]) -> Figures:
        """Publish from all publishers, wait for the handlers, and return the figures."""
        case, go = self.shape.case, threading.Event()

        def work(first: int) -> None:
            Event(URGENT, (0, self.work.line(first)))  # allocates now, not later
            go.wait()
            self._publish(way, first, start)

        publishers = [
            threading.Thread(target=work, args=(first,), daemon=True)
            for first in range(case.publishers)
        ]
        for publisher in publishers:
            publisher.start()
        usage = Usage()
        with limited(self.shape.threads, tried=self.shape is LIMITED) as limit:
            way = make(self.routes(), case.workers, case.queue)
            start = perf_counter_ns()
            self.deadline = start + round(self.shape.limit * 1e9)
            go.set()
            for publisher in publishers:
                publisher.join()
            way.finish()
        used = usage.figures()  # first: sorting the latencies takes memory
        figures = self._figures(way, (self.end - start) / 1e9) | used | {"limit": limit}
        return figures | {"cpu_us": figures["cpu_s"] / figures["handled"] * 1e6}

    def _publish(self, way: Way, first: int, start: int) -> None:
        """Publish this publisher's events, each when it is due."""
        interval = round(self.shape.interval() * 1e9)
        for number in range(first, len(self.types), self.shape.case.publishers):
            due = start + number * interval
            now = perf_counter_ns()
            if now > self.deadline:
                return
            if due > now:
                sleep((due - now) / 1e9)
            self.late.add(perf_counter_ns() - due)
            way.publish(Event(self.types[number], (due, self.work.line(number))))
            if self.shape is LIMITED:
                self.threads = max(self.threads, threading.active_count())

    def _figures(self, way: Way, seconds: float) -> Figures:
        events = len(self.types)
        # If the last due event was never handled, it has waited at least this long.
        least = self.shape.limit - events * self.shape.interval()
        latencies = self.all.quantiles(self.expected, least)
        handled, failed, lost = latencies["handled"], len(self.failures), way.lost()
        left = self.expected - handled - failed - lost
        if left and self.end < self.deadline - 1e9:
            raise RuntimeError(f"{left} handler runs are neither finished nor lost")
        return latencies | {
            "events": events,
            "runs": self.expected,
            "seconds": seconds,
            "rate": handled / seconds,
            "failed": failed,
            "failure": self.failures[0] if failed else "",
            "lost": lost,
            "reason": way.reason,
            "left": left,
            "urgent_p99": self.urgent.quantiles(self.types.count(URGENT), least)["p99"],
            "late_p99": self.late.quantiles(events, least)["p99"],
            # Otherwise they are counted from outside; here the test of the limit started some, too.
            **({"threads": self.threads} if self.threads else {}),
        }


class Usage:
    """The resources that the process has used since this object was created."""

    def __init__(self) -> None:
        gc.collect()
        gc.freeze()
        self._memory = reset_peak_memory()
        self._cpu = process_time()
        self._switches = self._context_switches()

    def _context_switches(self) -> tuple[int, int]:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return usage.ru_nvcsw, usage.ru_nivcsw

    def figures(self) -> Figures:
        """Return the figures."""
        cpu, (voluntary, involuntary) = process_time() - self._cpu, self._context_switches()
        peak = peak_memory()
        return {
            "cpu_s": cpu,
            "voluntary": voluntary - self._switches[0],
            "involuntary": involuntary - self._switches[1],
            "peak_mb": peak / 2**20,
            # At least a page, so that it can be a divisor.
            "memory_mb": max(peak - self._memory, resource.getpagesize()) / 2**20,
        }


def measure(order: dict[str, Any]) -> Figures:
    """Run the measurement described by the first argument."""
    shape = BY_NAME[order["shape"]]
    text = Path(order["text"]).read_text(encoding="utf-8").splitlines()
    raise_descriptors()
    with TemporaryDirectory() as directory, serving(shape.think) as port:
        log = Path(directory) / "log.txt"
        with Work(log, text, order["lines"], port) as work:
            work.warm_up()
            measurement = Measurement(shape, shape.events(quick=order["quick"]), work)
            figures = measurement.run(WAYS[order["way"]])
        stored = log.read_bytes().count(b"\n")
        missing = figures["events"] + 1 - stored
        if missing > figures["left"] + figures["lost"] + figures["failed"]:
            raise RuntimeError(f"{missing} events are missing in the log")
    return figures


if __name__ == "__main__":
    print(json.dumps(measure(json.loads(sys.argv[1]))))
