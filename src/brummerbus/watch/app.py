"""Connects the parts of the watcher: bus, handlers, processes, signals, shutdown.

Shutdown loses nothing. Its order: the processes exit, their readers reach the end of the pipes,
the bus handles what is queued, the detectors publish what is still open, the bus handles that too,
and only then the store is closed and the bus stops.
"""

import signal
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
from brummerbus.watch.patterns import Pattern
from brummerbus.watch.places import Links
from brummerbus.watch.process import WatchedProcess
from brummerbus.watch.procfile import Command
from brummerbus.watch.redact import Redactor
from brummerbus.watch.store import BATCH, LogStore
from brummerbus.watch.text import counted
from brummerbus.watch.view.choice import Choice, Wish
from brummerbus.watch.view.live_view import LiveView
from brummerbus.watch.view.recent import Recent
from brummerbus.watch.view.scene import Bus, Scene

QUEUE_SIZE = 256
"""Slots, which is 64 reads for four handlers. Each read may have 64 KB, so this bounds memory.
Nothing is dropped when the queue is full."""

_TICK = 0.1
_SAMPLES = 2000
"""Max samples kept; beyond that every second one is removed and the rate is halved."""


class Counted:
    """A handler that counts the lines that it has handled. Thread-safe."""

    def __init__(self, name: str, handler: Callable[[list[Event]], None]) -> None:
        self.__qualname__ = name  # appears in the advice
        self._handler = handler
        self._lock = Lock()
        self.count = 0

    def __call__(self, events: list[Event]) -> None:
        """Handle a batch; count its lines if that succeeds."""
        self._handler(events)
        with self._lock:
            self.count += sum(event.data.count for event in events)


class Depth:
    """The queue's depth over time, in a bounded number of samples."""

    def __init__(self) -> None:
        self.samples: list[tuple[float, int]] = []
        self._every = _TICK
        self._next = 0.0

    def note(self, now: float, depth: int) -> None:
        """Keep the depth if a sample is due."""
        if now < self._next:
            return
        self._next = now + self._every * 0.9  # a tick that is slightly early counts
        self.samples.append((round(now, 3), depth))
        if len(self.samples) >= _SAMPLES:
            self.samples = self.samples[::2]
            self._every *= 2


@dataclass(frozen=True)
class Outcome:
    """The result of a run."""

    exit_code: int
    report: dict[str, Any]


class Watch:
    """One run: its commands watched until all have ended.

    Args:
        commands: The validated commands to start.
        target: The name of the run.
        store: The log store; it is closed at the end.
        live: Whether to draw the live view instead of printing lines.
        bus_figures: Whether the view shows the bus's figures from the start.
        links: The format of links to places in files.
        advise: Whether the report has advice about the bus, which takes up to a second.
        out: The stream on which lines are printed.
        patterns: A user's own patterns of errors.
        redact: What masks secrets in the lines.
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
        patterns: Sequence[Pattern] = (),
        redact: Redactor | None = None,
        bus_figures: bool = False,
        links: str = "file",
        advise: bool = True,
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
        names = [command.name for command in commands]
        self._counters = Counters(names)
        self._links = Links({command.name: command.directory for command in commands}, links)
        self._recent = Recent(names) if live else None
        self._bus_figures = bus_figures
        self._advise = advise
        self._detector_handler = DetectorHandler(self._bus, patterns)
        self._printer = None if live else LinePrinter(out)
        self._handlers = self._subscribe()
        self._processes = [
            WatchedProcess(command, self._bus, on_done=self._changed.set, redact=redact)
            for command in commands
        ]
        self._by_name = {process.name: process for process in self._processes}

    def run(self) -> Outcome:
        """Start the processes and return once all have ended and all events are handled."""
        started, begun = time.time(), time.monotonic()
        with ExitStack() as stack:
            interrupts = stack.enter_context(Interrupts())
            stack.enter_context(self._bus)
            view = self._view(stack)
            failed_start = self._start(interrupts)
            self._follow(interrupts, view, begun)
            self._drain(view, begun)
            stats = self._bus.stats()
            advice = self._bus.advise() if self._advise else None
            rows = self._close_store()
        run_time = time.monotonic() - begun
        read = sum(sum(process.lines_read.values()) for process in self._processes)
        exit_code = failed_start or self._exit_code() or int(rows < read)
        if rows < read:
            print(f"watch: {counted(read - rows, 'line')} not stored", file=sys.stderr)
        log_lines = stats.by_type.get(EventType.LOG_LINE.value)
        balance = report.Balance(
            lines_read=read,
            rows_stored=rows,
            events=sum(sum(process.published.values()) for process in self._processes),
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
            links=self._links,
        )
        return Outcome(exit_code, report.collect(run, stats, self._counters))

    def _subscribe(self) -> dict[str, Counted]:
        """Subscribe all handlers; return those of `log.line`, which must all get every line."""
        handlers: dict[str, Counted] = {}

        def follow(name: str, handler: Callable[[Any], None], **options: Any) -> None:
            handlers[name] = Counted(name, handler)
            self._bus.subscribe(EventType.LOG_LINE, handlers[name], **options)

        follow("store", self._store.on_lines, batch=BATCH, max_concurrency=1)
        follow("find", self._detector_handler.on_lines, batch=BATCH, max_concurrency=1)
        follow("count", self._counters.on_lines, batch=BATCH, max_concurrency=1)
        if self._recent is not None:
            follow("view", self._recent.on_lines, batch=BATCH, max_concurrency=1)
        if self._printer is not None:
            follow("print", self._printer.on_lines, batch=BATCH, max_concurrency=1)
            self._bus.subscribe("process.*", self._printer.on_process)
        for type in EventType:
            if type is not EventType.LOG_LINE:
                self._bus.subscribe(type, self._counters)
        self._bus.subscribe("process.*", self._store.on_process)
        self._bus.subscribe(EventType.ERROR_DETECTED, self._store.on_errors, batch=BATCH)
        return handlers

    def _view(self, stack: ExitStack) -> LiveView | None:
        """Enter the live view, if there is one."""
        if self._recent is None:
            return None
        scene = Scene(self._target, self._counters, self._recent, self._links)
        view = LiveView(
            scene,
            Choice(list(self._by_name), bus=self._bus_figures),
            bus=lambda: Bus(self._bus.stats(), QUEUE_SIZE, self._depth.samples),
            actions={Wish.QUIT: self._quit},
            wake=self._changed.set,
        )
        return stack.enter_context(view)

    def _quit(self, process: str) -> str:  # noqa: ARG002
        signal.raise_signal(signal.SIGINT)  # as Ctrl-C: once stops, twice kills
        return "stopping; once more kills"

    def _start(self, interrupts: Interrupts) -> int:
        """Start all processes; if one cannot be started, stop the others and return 2."""
        for process in self._processes:
            if interrupts.count:
                process.done = True  # interrupted before all had started
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
        """Wait until all processes have ended, and forward signals."""
        forwarded = 0
        while not all(process.done for process in self._processes):
            self._changed.wait(_TICK)
            self._changed.clear()
            if interrupts.count > forwarded:
                forwarded = interrupts.count
                for process in self._processes:
                    process.send(interrupts.first if forwarded == 1 else KILL)
                if forwarded == 1 and view is None:
                    print("stopping; press Ctrl-C again to kill", file=sys.stderr)
            self._tick(view, begun)

    def _drain(self, view: LiveView | None, begun: float) -> None:
        """Wait until all events are handled, then for those that the detectors still publish."""
        while not self._bus.flush(_TICK):
            self._tick(view, begun)
        self._detector_handler.finish()
        while not self._bus.flush(_TICK):
            self._tick(view, begun)
        self._tick(view, begun)

    def _tick(self, view: LiveView | None, begun: float) -> None:
        now = time.monotonic() - begun
        self._depth.note(now, self._bus.depth)
        self._detector_handler.tick(lambda name, stream: self._by_name[name].lines_read[stream])
        try:
            self._store.tick()
        except Exception as error:
            self._note(f"store: {error}")
        if self._printer is not None:
            self._printer.flush()
        if view is not None:
            view.update(now)

    def _close_store(self) -> int:
        """Write the rest; return how many of this run's lines the file holds."""
        rows = self._store.written
        try:
            self._store.write()
            rows = self._store.written
            rows = self._store.count()
            self._store.close()
        except Exception as error:
            # A full disk: what was committed before is in the file.
            self._note(f"store: {error}")
        return rows

    def _exit_code(self) -> int:
        """Return the code of the process that failed first in time."""
        failed = [process for process in self._processes if process.exit_code]
        return min(failed, key=lambda process: process.ended).exit_code or 0 if failed else 0

    def _on_error(self, event: Any, subscription: Any, error: BaseException) -> None:  # noqa: ARG002
        self._note(f"{event.type}: {type(error).__name__}: {error}")

    def _note(self, message: str) -> None:
        """Record a handler's failure, once: a full disk would fail for each line."""
        if message not in self._handler_errors and len(self._handler_errors) < 20:
            self._handler_errors.append(message)
            if not self._live:
                print(f"a handler failed: {message}", file=sys.stderr)
