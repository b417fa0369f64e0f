"""Connects the parts of the watcher: bus, handlers, processes, signals, shutdown.

Shutdown loses nothing. Its order: the processes exit, their readers reach the end of the pipes,
the bus handles what is queued, the detectors publish what is still open, the bus handles that too,
and only then the store is closed and the bus stops.

The main thread starts, signals and stops processes; it waits for output, store and detectors only
at the end, and after a signal not for long. They run in threads of their own:
what is done for each line in the workers of the bus, what is done regularly in a ticker, and the
end of the shutdown in a thread that may be left behind. The live view never waits for its terminal.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from contextlib import ExitStack
from dataclasses import dataclass, replace
from threading import Event as Flag
from typing import Any

from brummerbus import BackpressurePolicy, EventBus, EventBusConfig, EventType
from brummerbus.watch import report
from brummerbus.watch.aside import Ticker, run_aside
from brummerbus.watch.counters import Counters
from brummerbus.watch.detector_handler import DetectorHandler
from brummerbus.watch.figures import Counted, Depth
from brummerbus.watch.interrupts import Interrupts
from brummerbus.watch.labels import Labels
from brummerbus.watch.line_printer import LinePrinter
from brummerbus.watch.output import Output
from brummerbus.watch.patterns import Pattern
from brummerbus.watch.places import Links
from brummerbus.watch.processes.attach import attach
from brummerbus.watch.processes.guardian import Guardian
from brummerbus.watch.processes.manager import ProcessManager
from brummerbus.watch.processes.options import Setup
from brummerbus.watch.processes.process import WatchedProcess
from brummerbus.watch.processes.ready import AT_ONCE
from brummerbus.watch.redact import Redactor
from brummerbus.watch.remote import Remote
from brummerbus.watch.store import BATCH, LogStore
from brummerbus.watch.text import counted
from brummerbus.watch.view.actions import actions
from brummerbus.watch.view.choice import Choice
from brummerbus.watch.view.live_view import LiveView
from brummerbus.watch.view.recent import Recent
from brummerbus.watch.view.scene import Bus, Scene

QUEUE_SIZE = 256
"""Slots, which is 64 reads for four handlers. Each read may have 64 KB, so this bounds memory.
Nothing is dropped when the queue is full."""

_TICK = 0.1
_FINISH = 3.0
"""Seconds that what has been read is handled and stored after a signal, once all processes have
ended. It takes some hundredths, unless something stands still."""


@dataclass(frozen=True)
class Outcome:
    """The result of a run."""

    exit_code: int
    report: dict[str, Any]
    finished: bool
    """Whether all was handled and stored. Otherwise threads may stand still, and the interpreter
    would wait for them at its exit."""


class Watch:
    """One run: its commands watched until all have ended.

    Args:
        setup: What to run, and how.
        store: The log store; it is closed at the end.
        live: Whether to draw the live view instead of printing lines.
        out: Where lines are printed.
        err: Where messages are printed.
        interrupts: The signals that request a stop.
        bus_figures: Whether the view shows the bus's figures from the start.
        links: The format of links to places in files.
        advise: Whether the report has advice about the bus, which takes up to a second.
        colour: Whether lines are printed with colours.
        patterns: A user's own patterns of errors.
        redact: What masks secrets in the lines.
    """

    def __init__(
        self,
        setup: Setup,
        *,
        store: LogStore,
        database: str,
        live: bool,
        out: Output,
        err: Output,
        interrupts: Interrupts,
        patterns: Sequence[Pattern] = (),
        redact: Redactor | None = None,
        bus_figures: bool = False,
        links: str = "file",
        advise: bool = True,
        colour: bool = False,
    ) -> None:
        self._setup = setup
        self._store = store
        self._database = database
        self._live = live
        self._out = out
        self._err = err
        self._interrupts = interrupts
        self._changed = Flag()
        self._depth = Depth()
        self._handler_errors: list[str] = []
        config = replace(
            EventBusConfig.for_environment(),
            policy=BackpressurePolicy.BLOCK,
            queue_size=QUEUE_SIZE,
        )
        self._bus = EventBus(config, name="watch", on_error=self._on_error)
        names = [command.name for command in setup.commands]
        self._counters = Counters(names)
        self._links = Links({command.name: command.directory for command in setup.commands}, links)
        self._recent = Recent(names) if live else None
        self._bus_figures = bus_figures
        self._advise = advise
        self._detector_handler = DetectorHandler(self._bus, patterns)
        self._printer = None if live else LinePrinter(out, Labels(names, colour=colour))
        self._handlers = self._subscribe()
        self._guardian = Guardian()
        self._processes = self._make_processes(redact)
        self._by_name = {process.name: process for process in self._processes}
        self._manager = ProcessManager(
            self._processes, interrupts, self._changed, plan=setup.plan, say=self._say
        )
        self._begun = 0.0
        self._chores = Ticker("chores", _TICK, self._do_chores)
        self._view: LiveView | None = None
        self._remote: Remote | None = None
        self._said: list[str] = []
        """Messages that are printed once the view has ended."""

    def _make_processes(self, redact: Redactor | None) -> list[WatchedProcess]:
        return [
            WatchedProcess(
                command,
                self._bus,
                self._guardian,
                terminal=self._setup.terminal,
                readiness=self._setup.readiness.get(command.name, AT_ONCE),
                redact=redact,
                on_change=self._changed.set,
            )
            for command in self._setup.commands
        ]

    def join(self, url: str) -> None:
        """Exchange what is found with other watchers, until the end. Raises as `Remote`."""
        self._remote = Remote(self._bus, url, self._say)
        sending = self._handlers["relay"] = Counted("relay", self._remote.send)
        self._bus.subscribe(EventType.LOG_LINE, sending, batch=BATCH, max_concurrency=1)
        views = [view for view in (self._recent, self._printer) if view is not None]
        printed = [] if self._printer is None else [self._printer.on_process]
        self._remote.show(
            lines=[each.on_lines for each in (self._store, self._counters, *views)],
            errors=[self._store.on_errors],
            processes=[self._store.on_process, *printed],
            found=self._counters,
        )

    def run(self) -> Outcome:
        """Start the processes and return once all have ended and all events are handled.

        After a signal it returns soon in any case. Call it in the main thread.
        """
        started, begun = time.time(), time.monotonic()
        self._begun = begun
        self._chores.start()
        if self._setup.attached is not None:
            attached = self._by_name[self._setup.attached]
            attach(attached.write, attached.close_stdin)
        with ExitStack() as stack:
            stack.enter_context(self._guardian)
            self._view = self._open_view(stack)
            self._manager.run(self._tick)
            finishing = run_aside("finish", self._finish)
            finished = self._wait_for(finishing)
        self._view = None
        for message in self._said:
            self._err.say(message)
        rows = finishing.result() if finished else self._store.written
        stats = self._bus.stats()
        advice = self._bus.advise() if self._advise else None
        run_time = time.monotonic() - begun
        read = sum(sum(process.lines_read.values()) for process in self._processes)
        exit_code = self._manager.exit_code or int(rows < read or not finished)
        if rows < read:
            self._err.say(f"watch: {counted(read - rows, 'line')} not stored")
        if self._out.dropped:
            self._err.say(f"watch: {counted(self._out.dropped, 'line')} not printed")
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
            target=self._setup.target,
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
        return Outcome(exit_code, report.collect(run, stats, self._counters), finished)

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

    def _open_view(self, stack: ExitStack) -> LiveView | None:
        """Enter the live view, if there is one."""
        if self._recent is None:
            return None
        scene = Scene(self._setup.target, self._counters, self._recent, self._links)
        view = LiveView(
            scene,
            Choice(list(self._by_name), bus=self._bus_figures),
            bus=lambda: Bus(self._bus.stats(), QUEUE_SIZE, self._depth.samples),
            actions=actions(self._manager),
            wake=self._changed.set,
            entrust=self._guardian.terminal,
        )
        return stack.enter_context(view)

    def _tick(self) -> None:
        """What the main thread does regularly; nothing that may wait."""
        if self._interrupts.count:
            self._out.hurry()
        now = time.monotonic() - self._begun
        self._depth.note(now, self._bus.depth)
        if self._view is not None:
            self._view.update(now)

    def _do_chores(self) -> None:
        """What needs no event, in a thread that may wait."""
        self._detector_handler.tick(lambda name, stream: self._by_name[name].lines_read[stream])
        try:
            self._store.tick()
        except Exception as error:
            self._note(f"store: {error}")
        if self._printer is not None:
            self._printer.flush()

    def _finish(self) -> int:
        """Handle and store all that was read; return how many rows of this run the file has."""
        for process in self._processes:
            process.wait_until_done()
        self._bus.flush()
        self._chores.stop()
        self._detector_handler.finish()
        self._bus.flush()
        if self._remote is not None:
            if unsent := self._remote.stop():
                self._say(f"watch: {counted(unsent, 'event')} not sent to other watchers")
            self._bus.flush()
        if self._printer is not None:
            self._printer.flush()
        rows = self._close_store() - (0 if self._remote is None else self._remote.lines)
        self._bus.stop()
        return rows

    def _wait_for(self, finishing: "Future[int]") -> bool:
        """Wait as long as it takes; not for long after a signal, and not after a further one."""
        signals, limit = self._interrupts.count, float("inf")
        while not finishing.done():
            if self._interrupts.count:
                limit = min(limit, time.monotonic() + _FINISH)
            if time.monotonic() >= limit or self._interrupts.count > max(signals, 1):
                return False
            self._tick()
            wait([finishing], _TICK)
        return True

    def _close_store(self) -> int:
        """Write the rest; return how many of this run's lines the file holds."""
        try:
            self._store.write()
            rows = self._store.count()
        except Exception as error:
            # A full disk: what was committed before is in the file.
            self._note(f"store: {error}")
            rows = self._store.written
        try:
            self._store.close()
        except Exception as error:
            self._note(f"store: {error}")
        return rows

    def _on_error(self, event: Any, subscription: Any, error: BaseException) -> None:  # noqa: ARG002
        self._note(f"{event.type}: {type(error).__name__}: {error}")

    def _note(self, message: str) -> None:
        """Record a handler's failure, once: a full disk would fail for each line."""
        if message not in self._handler_errors and len(self._handler_errors) < 20:
            self._handler_errors.append(message)
            self._say(f"a handler failed: {message}")

    def _say(self, message: str) -> None:
        """Print a message; with the live view, show it there, and print it behind."""
        if self._view is None:
            self._err.say(message)
        else:
            self._view.choice.said = message
            self._said.append(message)
