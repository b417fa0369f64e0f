"""The dispatcher of waitress that runs tasks on a bus, with tasks that are no connections."""

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from brummerbus import BusClosed, EventBus

pytest.importorskip("waitress")

from brummerbus.wsgi import BusDispatcher

HANG = 30.0


class Task:
    """What waitress's own tests of its dispatcher add."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error
        self.serviced = self.cancelled = 0
        self.entered, self.go_on = threading.Event(), threading.Event()
        self.go_on.set()

    def service(self) -> None:
        """Run."""
        self.serviced += 1
        self.entered.set()
        assert self.go_on.wait(HANG)
        if self.error is not None:
            raise self.error

    def cancel(self) -> None:
        """Do not run."""
        self.cancelled += 1


def test_tasks_are_run_and_what_they_raise_ends_nothing() -> None:
    with EventBus(workers=1, on_error=lambda event, subscription, error: None) as bus:
        dispatcher = BusDispatcher(bus)
        tasks = [Task(ValueError()), Task(SystemExit()), Task()]
        for task in tasks:
            dispatcher.add_task(task)
        assert bus.flush(HANG)
        assert [(task.serviced, task.cancelled) for task in tasks] == [(1, 1), (1, 1), (1, 0)]
        dispatcher.set_thread_count(3)
        assert bus.workers == 3


@pytest.mark.parametrize("cancel", [True, False])
def test_a_shutdown_waits_for_what_runs_and_cancels_what_does_not(cancel: bool) -> None:
    with EventBus(workers=1) as bus:
        dispatcher = BusDispatcher(bus)
        running, pending = Task(), Task()
        running.go_on.clear()
        dispatcher.add_task(running)
        assert running.entered.wait(HANG)
        dispatcher.add_task(pending)
        threading.Timer(0.01, running.go_on.set).start()
        assert dispatcher.shutdown(cancel_pending=cancel, timeout=HANG) is cancel
        assert (running.serviced, running.cancelled) == (1, 0)
        assert (pending.serviced, pending.cancelled) == ((0, 1) if cancel else (1, 0))
        assert not bus.closed


class Channel(Task):
    """A connection of waitress with a request, and an earlier answer that is being sent."""

    connected, close_when_flushed, total_outbufs_len = True, False, 17

    def __init__(self) -> None:
        super().__init__()
        self.requests = [SimpleNamespace(path="/", headers={}, close=lambda: None)]
        self.server = SimpleNamespace(pull_trigger=lambda: None)

    def error_task_class(self, channel: Any, request: Any) -> Any:
        """Fail: writing now could wait for the thread that sends, which is this one."""
        raise AssertionError


def test_a_connection_with_an_earlier_answer_to_send_is_closed_after_that() -> None:
    with EventBus(workers=1, queue_size=1, policy="reject") as bus:
        dispatcher = BusDispatcher(bus)
        running, pending, refused = Task(), Task(), Channel()
        running.go_on.clear()
        dispatcher.add_task(running)
        assert running.entered.wait(HANG)
        dispatcher.add_task(pending)
        dispatcher.add_task(refused)
        running.go_on.set()
    assert (refused.serviced, refused.requests, refused.close_when_flushed) == (0, [], True)


def test_a_stopped_bus_cancels_tasks() -> None:
    with EventBus(workers=1) as bus:
        dispatcher = BusDispatcher(bus)
        first, second, late = Task(), Task(), Task()
        first.go_on.clear()
        dispatcher.add_task(first)
        assert first.entered.wait(HANG)
        dispatcher.add_task(second)
        bus.stop(drain=False, timeout=0)
        first.go_on.set()
        dispatcher.add_task(late)
        assert (second.serviced, second.cancelled) == (0, 1)
        assert (late.serviced, late.cancelled) == (0, 1)
    with pytest.raises(BusClosed):
        BusDispatcher(bus)


def test_wrong_arguments_are_refused_by_name() -> None:
    with pytest.raises(TypeError, match="bus must be an EventBus, got None"):
        BusDispatcher(None)  # type: ignore[arg-type]
    in_place = EventBus(workers=1, policy="caller_runs")
    with in_place, pytest.raises(ValueError, match="bus: its policy must not be CALLER_RUNS"):
        BusDispatcher(in_place)
    with EventBus(workers=1) as bus:
        with pytest.raises(TypeError, match="priority must be callable or None, got 3"):
            BusDispatcher(bus, priority=3)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="expires must be a number of seconds"):
            BusDispatcher(bus, expires=-1)
        assert not bus.subscriptions()
