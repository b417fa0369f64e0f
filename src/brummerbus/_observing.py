"""Observing: the part of `EventBus` that says how it was made, and what it has measured."""

import os
from typing import NoReturn, TextIO

from brummerbus import _typing
from brummerbus._arguments import check_int, check_timeout
from brummerbus._core.hooks import OnDrop, OnError, OnUnrouted, WorkerHook
from brummerbus._errors import BusError
from brummerbus._subscribing import SubscribingBus


class ObservingBus(SubscribingBus):
    """A bus with its settings and its figures; `EventBus` adds its life."""

    def stats(self) -> "_typing.BusStats":
        """Return a snapshot of all figures, of this process.

        From anywhere. Costs some 50 us, and blocks other threads no longer than that.
        """
        engine = self._here()
        streams = self._stream_counts.totals()
        return engine.figures.stats(engine.sizing, len(engine.schedule), streams)

    def explain(self, event_id: int) -> str:
        """Say what became of an event, and so why it was not delivered: a line per decision.

        Needs `flight_recorder`, and knows as many of the last decisions as that says. From
        anywhere, also a signal handler. Linear in what is kept.

        Raises:
            TypeError, ValueError: `event_id` is no `Event.id`.
            BusError: The flight recorder is off.
        """
        event_id = check_int("event_id", event_id, 1)
        self._check_recorder()
        return self._here().figures.explain(event_id)

    def dump(self, file: str | os.PathLike[str] | TextIO) -> None:
        """Write the flight recorder to a file: its decisions, and the stacks of running handlers.

        `file` is a path, or an open text file. From anywhere; from a signal handler to a path or a
        file that the interrupted code does not use.

        Raises:
            BusError: The flight recorder is off.
            OSError: The file cannot be written.
        """
        self._check_recorder()
        text = self._here().figures.report()
        if isinstance(file, (str, os.PathLike)):
            # Without pathlib, which would take a tenth of the time to import this package.
            with open(file, "w", encoding="utf-8") as out:  # noqa: PTH123
                out.write(text)
        else:
            file.write(text)

    def _check_recorder(self) -> None:
        if not self._config.flight_recorder:
            raise BusError(f"{self._name}: the flight recorder is off: EventBus(flight_recorder=n)")

    def advise(self, target_wait: float = 0.01) -> "_typing.Advice":
        """Recommend a number of workers from what this bus has measured so far, with the reasons.

        Printed, it is a report: the cost of each handler, predictions for other numbers of workers,
        and the assumptions. Needs `monitoring`. From anywhere; simulates the load in the calling
        thread, which takes 0.2 to 1.5 s of CPU time.

        `target_wait` is the maximum queue wait of 99 in 100 deliveries, in seconds.

        Raises:
            TypeError, ValueError: `target_wait` is not a number, or negative.
        """
        # Few programs use the adviser and its model: import them here.
        from brummerbus.sizing._adviser import advise  # noqa: PLC0415

        target_wait = check_timeout("target_wait", target_wait)
        engine, wait = self._here(), self.stats().queue_wait
        load, labels = engine.figures.load()
        starvation = self.config.starvation_after
        measured = wait.p50, wait.p99
        return advise(load, labels, engine.workers, measured, target_wait, starvation)

    @property
    def name(self) -> str:
        """The name given at construction."""
        return self._name

    @property
    def config(self) -> "_typing.EventBusConfig":
        """The settings."""
        return self._config

    @property
    def on_error(self) -> OnError | None:
        """The hook given at construction; it cannot be replaced later."""
        return self._hooks.on_error

    @on_error.setter
    def on_error(self, _hook: NoReturn) -> NoReturn:
        raise AttributeError("on_error cannot be set later: EventBus(on_error=...)")

    @property
    def on_drop(self) -> OnDrop | None:
        """The hook given at construction; it cannot be replaced later."""
        return self._hooks.on_drop

    @on_drop.setter
    def on_drop(self, _hook: NoReturn) -> NoReturn:
        raise AttributeError("on_drop cannot be set later: EventBus(on_drop=...)")

    @property
    def on_unrouted(self) -> OnUnrouted | None:
        """The hook given at construction; it cannot be replaced later."""
        return self._hooks.on_unrouted

    @on_unrouted.setter
    def on_unrouted(self, _hook: NoReturn) -> NoReturn:
        raise AttributeError("on_unrouted cannot be set later: EventBus(on_unrouted=...)")

    @property
    def on_worker_start(self) -> WorkerHook | None:
        """The hook given at construction; it cannot be replaced later."""
        return self._hooks.on_worker_start

    @on_worker_start.setter
    def on_worker_start(self, _hook: NoReturn) -> NoReturn:
        raise AttributeError("on_worker_start cannot be set later: EventBus(on_worker_start=...)")

    @property
    def on_worker_stop(self) -> WorkerHook | None:
        """The hook given at construction; it cannot be replaced later."""
        return self._hooks.on_worker_stop

    @on_worker_stop.setter
    def on_worker_stop(self, _hook: NoReturn) -> NoReturn:
        raise AttributeError("on_worker_stop cannot be set later: EventBus(on_worker_stop=...)")

    @property
    def depth(self) -> int:
        """The number of queued deliveries; a hint, as other threads change it concurrently."""
        return self._here().queue.depth()

    @property
    def workers(self) -> int:
        """The current number of worker threads."""
        return self._here().workers
