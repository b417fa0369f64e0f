"""Wires the watcher together: bus, handlers, processes, signals, and the end.

The end loses nothing, in this order: the processes exit, their readers reach the end of the
pipes, the bus handles what is queued, the detectors give out what is open, the bus handles that
as well, and only then the store is closed and the bus stops.
"""

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from threading import Event as Flag
from threading import Lock
from typing import Any

from brummerbus import BackpressurePolicy, Event, EventBus, EventBusConfig, EventType
from brummerbus.watch import report
from brummerbus.watch.counters import Counters
from brummerbus.watch.detector_handler import DetectorHandler
from brummerbus.watch.interrupts import KILL, Interrupts
from brummerbus.watch.line_printer import LinePrinter
from brummerbus.watch.live import LiveView
from brummerbus.watch.process import WatchedProcess
from brummerbus.watch.procfile import Command
from brummerbus.watch.store import LogStore

QUEUE_SIZE = 2048
"""Deliveries that can wait: a full pipe's worth of lines for each handler. Sized for speed only,
as nothing is dropped when it is full."""

_TICK = 0.1
_SAMPLES = 2000
"""Depths kept; when there are more, every second one goes and the pace halves."""


class Counted:
    """A handler that knows how often it has finished. Thread-safe."""

    def __init__(self, name: str, handler: Callable[[Event], None]) -> None:
        self.__qualname__ = name  # by which the advice at the end calls it
        self._handler = handler
        self._lock = Lock()
        self.count = 0

    def __call__(self, event: Event) -> None:
        """Handle an event, and count it unless that fails."""
        self._handler(event)
        with self._lock:
            self.count += 1


class Depth:
    """The queue's depth over time, in a bounded number of samples."""

    def __init__(self) -> None:
        self.samples: list[tuple[float, int]] = []
        self._every = _TICK
        self._next = 0.0

    def note(self, now: float, depth: int) -> None:
        """Keep the depth if it is time to."""
        if now < self._next:
            return
        self._next = now + self._every * 0.9  # a tick that comes a little early counts
        self.samples.append((round(now, 3), depth))
        if len(self.samples) >= _SAMPLES:
            self.samples = self.samples[::2]
            self._every *= 2


@dataclass(frozen=True)
class Outcome:
    """What became of a watch."""

    exit_code: int
    report: dict[str, Any]


class Watch:
    """One run: its commands watched until all have ended.

    Args:
        commands: What to start, all checked.
        target: What they are called together.
        store: Where the lines go; it is closed at the end.
        live: Whether to draw the live view rather than print lines.
        out: Where lines are printed.
    """

    def __init__(
        self,
        commands: Sequence[Command],
        *,
        target: str,
        store: LogStore,
        database: str,
        live: bool,
        out: Any,
    ) -> None:
        self._target = target
        self._store = store
        self._database = database
        self._live = live
        self._changed = Flag()
        self._depth = Depth()
        self._handler_errors: list[str] = []
        config = replace(
            EventBusConfig.for_environment(),
            policy=BackpressurePolicy.BLOCK,
            queue_size=QUEUE_SIZE,
        )
        self._bus = EventBus(config, name="watch", on_error=self._on_error)
        self._counters = Counters([command.name for command in commands])
        self._detector_handler = DetectorHandler(self._bus)
        self._printer = None if live else LinePrinter(out)
        self._handlers = self._subscribe()
        self._processes = [
            WatchedProcess(
                command,
                self._bus,
                wait_for_room=self._wait_for_room,
                on_done=self._changed.set,
            )
            for command in commands
        ]
        self._by_name = {process.name: process for process in self._processes}

    def run(self) -> Outcome:
        """Start the processes and return once all have ended and all is handled."""
        started, begun = time.time(), time.monotonic()
        with ExitStack() as stack:
            interrupts = stack.enter_context(Interrupts())
            stack.enter_context(self._bus)
            view = stack.enter_context(LiveView(self._counters)) if self._live else None
            failed_start = self._start(interrupts)
            self._follow(interrupts, view, begun)
            self._drain(view, begun)
            stats, advice = self._bus.stats(), self._bus.advise()
            rows = self._close_store()
        run_time = time.monotonic() - begun
        exit_code = failed_start or self._exit_code()
        log_lines = stats.by_type.get(EventType.LOG_LINE.value)
        balance = report.Balance(
            lines_read=sum(sum(process.lines_read.values()) for process in self._processes),
            rows_stored=rows,
            deliveries={name: handler.count for name, handler in self._handlers.items()},
            processed=log_lines.processed if log_lines is not None else 0,
            dropped=stats.dropped,
            failed=stats.failed,
        )
        run = report.Run(
            target=self._target,
            database=self._database,
            started=started,
            run_time=run_time,
            exit_code=exit_code,
            queue_size=QUEUE_SIZE,
            processes=self._processes,
            depth=self._depth.samples,
            balance=balance,
            handler_errors=self._handler_errors,
            advice=advice,
        )
        return Outcome(exit_code, report.collect(run, stats, self._counters))

    def _subscribe(self) -> dict[str, Counted]:
        """Subscribe all handlers; return those of `log.line`, which must all see every line."""
        handlers = {
            "store": Counted("store", self._store.on_line),
            "find": Counted("find", self._detector_handler),
            "count": Counted("count", self._counters),
        }
        if self._printer is not None:
            handlers["print"] = Counted("print", self._printer.on_line)
        for handler in handlers.values():
            self._bus.subscribe(EventType.LOG_LINE, handler)
        for type in EventType:
            if type is not EventType.LOG_LINE:
                self._bus.subscribe(type, self._counters)
        self._bus.subscribe("process.*", self._store.on_process)
        self._bus.subscribe(EventType.ERROR_DETECTED, self._store.on_error)
        if self._printer is not None:
            self._bus.subscribe("process.*", self._printer.on_process)
        return handlers

    def _start(self, interrupts: Interrupts) -> int:
        """Start all processes; if the system refuses one, stop the rest and return 2."""
        for process in self._processes:
            if interrupts.count:
                process.done = True  # asked to stop before all had started
                continue
            try:
                process.start()
            except OSError as error:
                print(f"{process.name}: cannot start: {error.strerror or error}", file=sys.stderr)
                for other in self._processes:
                    other.done = other.done or other.pid == 0
                    other.send(interrupts.first)
                return 2
        return 0

    def _follow(self, interrupts: Interrupts, view: LiveView | None, begun: float) -> None:
        """Wait until all processes have ended, passing signals on."""
        passed_on = 0
        while not all(process.done for process in self._processes):
            self._changed.wait(_TICK)
            self._changed.clear()
            if interrupts.count > passed_on:
                passed_on = interrupts.count
                for process in self._processes:
                    process.send(interrupts.first if passed_on == 1 else KILL)
                if passed_on == 1 and view is None:
                    print("stopping; once more to kill", file=sys.stderr)
            self._tick(view, begun)

    def _drain(self, view: LiveView | None, begun: float) -> None:
        """Wait until all is handled, then for what the detectors still had to say."""
        while not self._bus.flush(_TICK):
            self._tick(view, begun)
        self._detector_handler.finish()
        while not self._bus.flush(_TICK):
            self._tick(view, begun)
        if self._printer is not None:
            self._printer.finish()
        self._tick(view, begun)

    def _tick(self, view: LiveView | None, begun: float) -> None:
        now = time.monotonic() - begun
        self._depth.note(now, self._bus.depth)
        self._detector_handler.tick(lambda name, stream: self._by_name[name].lines_read[stream])
        try:
            self._store.write()
        except Exception as error:
            self._note(f"store: {error}")
        if self._printer is not None:
            self._printer.flush()
        if view is not None:
            view.update(self._bus.stats(), QUEUE_SIZE, self._depth.samples, now)

    def _close_store(self) -> int:
        """Write the rest; return how many of this run's lines the file holds."""
        rows = 0
        try:
            self._store.write()
            rows = self._store.count()
            self._store.close()
        except Exception as error:
            self._note(f"store: {error}")
        return rows

    def _exit_code(self) -> int:
        """Return the code of the process that failed first in time."""
        failed = [process for process in self._processes if process.exit_code]
        return min(failed, key=lambda process: process.ended).exit_code or 0 if failed else 0

    def _wait_for_room(self, process: str, stream: str) -> None:
        self._detector_handler.wait_for_room(process, stream)
        if self._printer is not None:
            self._printer.wait_for_room(process, stream)

    def _on_error(self, event: Any, subscription: Any, error: BaseException) -> None:  # noqa: ARG002
        self._note(f"{event.type}: {type(error).__name__}: {error}")

    def _note(self, message: str) -> None:
        """Keep what a handler failed of, once: a full disk would say so for each line."""
        if message not in self._handler_errors and len(self._handler_errors) < 20:
            self._handler_errors.append(message)
            if not self._live:
                print(f"a handler failed: {message}", file=sys.stderr)
