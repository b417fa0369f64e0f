"""The backend for `django.tasks`, in Django itself."""

import threading
from datetime import datetime
from typing import Any

import pytest
from django_project import (
    add,
    attempts,
    connect,
    default_task_backend,
    fail,
    finished,
    gate,
    held,
    is_connected,
    later,
    note,
    odd,
    seen,
    wait,
)

# It configures Django, and skips where there is none: it comes first.
# isort: split
from asgiref.sync import async_to_sync
from django.tasks import TaskResultStatus
from django.tasks.exceptions import InvalidTask, TaskResultDoesNotExist
from django.tasks.signals import task_enqueued, task_finished, task_started
from django.test.utils import override_settings

import brummerbus.django
from brummerbus import QueueFull
from helpers.handlers import Gate
from helpers.processes import in_child
from helpers.waiting import HANG, poll

__all__ = ["gate"]


def test_a_task_is_run_by_a_worker_and_its_result_can_be_had() -> None:
    """By its id, from any thread."""
    result = add.enqueue(1, b=2)
    assert finished(result).status == TaskResultStatus.SUCCESSFUL
    assert result.return_value == 3
    assert result.enqueued_at <= result.started_at <= result.finished_at
    assert result.worker_ids == ["tasks-default_0"]
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(add.get_result(result.id)))
    thread.start()
    thread.join(HANG)
    assert found == [result]
    assert finished(attempts.enqueue("a")).return_value[:2] == ["a", 1]
    assert finished(later.enqueue(7)).return_value == 7


def test_coroutines_can_enqueue_and_ask() -> None:
    """Through the asynchronous methods."""

    async def main() -> Any:
        result = await add.aenqueue(1, 2)
        default_task_backend.executor.bus.flush(HANG)
        return await add.aget_result(result.id)

    assert async_to_sync(main)().return_value == 3


@pytest.mark.parametrize(("failing", "error"), [(fail, ValueError), (odd, TypeError)])
def test_a_task_that_fails_says_why(failing: Any, error: type[Exception]) -> None:
    """Also one that returns what is no JSON."""
    result = finished(failing.enqueue())
    assert result.status == TaskResultStatus.FAILED
    assert [one.exception_class for one in result.errors] == [error]
    assert error.__name__ in result.errors[0].traceback


def test_the_result_that_was_returned_is_as_of_then(gate: Gate) -> None:
    """Until it is refreshed."""
    result = held(gate)
    ready = add.enqueue(1, 2)
    assert (ready.status, ready.worker_ids) == (TaskResultStatus.READY, [])
    result.refresh()
    assert result.status == TaskResultStatus.RUNNING
    gate.open()
    default_task_backend.executor.bus.flush(HANG)
    assert result.status == TaskResultStatus.RUNNING
    assert finished(ready).return_value == 3


def test_signals_are_sent() -> None:
    """Also for a task that fails."""
    sent: list[tuple[str, str]] = []

    def receive(signal: Any, task_result: Any, **_: Any) -> None:
        sent.append((names[signal], task_result.status))

    names = {task_enqueued: "enqueued", task_started: "started", task_finished: "finished"}
    for signal in names:
        signal.connect(receive)
    finished(fail.enqueue())
    for signal in names:
        signal.disconnect(receive)
    assert sorted(name for name, _ in sent) == ["enqueued", "finished", "started"]
    assert ("started", "RUNNING") in sent
    assert ("finished", "FAILED") in sent


def test_a_receiver_that_fails_loses_no_result() -> None:
    """At the start, the task fails; at the end, it has ended."""

    def receive(**_: Any) -> None:
        raise ZeroDivisionError

    task_started.connect(receive)
    result = finished(add.enqueue(1, 2))
    task_started.disconnect(receive)
    assert result.errors[0].exception_class is ZeroDivisionError
    task_finished.connect(receive)
    result = finished(add.enqueue(1, 2))
    task_finished.disconnect(receive)
    assert result.return_value == 3


def test_a_full_queue_refuses_and_keeps_no_result(gate: Gate) -> None:
    """Nothing was enqueued."""
    held(gate)
    results = [add.enqueue(n, 1) for n in range(3)]
    with pytest.raises(QueueFull):
        add.enqueue(3, 1)
    gate.open()
    assert [finished(result).return_value for result in results] == [1, 2, 3]


def test_priorities_are_spread_over_the_levels(gate: Gate) -> None:
    """Three: the default is in the middle."""
    options = {"max_workers": 1, "queue_size": 10}
    with override_settings(
        TASKS={"default": {"BACKEND": "brummerbus.django.BusBackend", "OPTIONS": options}}
    ):
        held(gate)
        for priority in (-100, -34, -33, 0, 33, 34, 100):
            note.using(priority=priority).enqueue(str(priority))
        gate.open()
        assert default_task_backend.executor.bus.flush(HANG)
    assert seen == ["34", "100", "-33", "0", "33", "-100", "-34"]


def test_old_connections_are_closed_after_a_task() -> None:
    """In the worker, which has its own."""
    connect.enqueue()
    assert finished(is_connected.enqueue()).return_value is False
    assert len(seen) == 1


def test_a_dropped_task_has_failed(gate: Gate) -> None:
    """With a `CancelledError`."""
    held(gate)
    result = add.enqueue(1, 2)
    backend = default_task_backend
    backend.executor.bus.stop(drain=False, timeout=0)
    result.refresh()
    assert result.status == TaskResultStatus.FAILED
    assert "CancelledError" in result.errors[0].exception_class_path


def test_so_many_results_are_kept() -> None:
    """Of finished tasks."""
    results = [finished(add.enqueue(n, 0)) for n in range(7)]
    assert [add.get_result(result.id).return_value for result in results[2:]] == [2, 3, 4, 5, 6]
    with pytest.raises(TaskResultDoesNotExist):
        add.get_result(results[1].id)


def test_what_it_does_not_support_is_refused() -> None:
    """By Django's own check."""
    with pytest.raises(InvalidTask, match="aware"):
        add.using(run_after=datetime.now())  # noqa: DTZ005, this is the mistake
    with pytest.raises(InvalidTask, match="not valid for backend"):
        add.using(queue_name="other")


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_the_child_of_a_fork_knows_nothing_of_what_was_enqueued_before_it(gate: Gate) -> None:
    """Not even if another thread was about to enqueue then."""
    result = wait.enqueue()

    def child() -> None:
        with pytest.raises(TaskResultDoesNotExist):
            default_task_backend.get_result(result.id)
        own = add.enqueue(1, 2)
        poll(lambda: default_task_backend.get_result(own.id).is_finished)

    with brummerbus.django._lock:
        assert in_child(child) == 0
    gate.open()
    poll(lambda: default_task_backend.get_result(result.id).is_finished)
