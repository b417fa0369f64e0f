"""The backend for `django.tasks`, in Django itself."""
# ruff: noqa: E402, Django has to be configured before its parts are imported

import asyncio
import tempfile
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from datetime import timezone as dt_timezone
from typing import Any

import pytest

pytest.importorskip("django.tasks", reason="needs Django 6, which needs Python 3.12")

import django
from asgiref.sync import async_to_sync
from django.conf import settings

folder = tempfile.TemporaryDirectory()  # Django never closes a database that is in memory

if not settings.configured:
    settings.configure(
        DATABASES={
            "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": f"{folder.name}/db"}
        },
        USE_TZ=True,
        TASKS={
            "default": {
                "BACKEND": "brummerbus.django.BusBackend",
                "OPTIONS": {"max_workers": 1, "queue_size": 3, "kept_results": 5},
            }
        },
    )
    django.setup()

from django.db import connection
from django.tasks import TaskResultStatus, default_task_backend, task
from django.tasks.exceptions import InvalidTask, TaskResultDoesNotExist
from django.tasks.signals import task_enqueued, task_finished, task_started
from django.test.utils import override_settings
from django.utils import timezone

import brummerbus.django
from brummerbus import QueueFull
from helpers.handlers import Gate
from helpers.processes import in_child
from helpers.waiting import HANG, poll

gates: list[Gate] = []
seen: list[Any] = []


@task
def add(a: int, b: int) -> int:
    """Return a sum."""
    return a + b


@task
def fail() -> None:
    """Raise."""
    raise ValueError("no")


@task
def odd() -> object:
    """Return what is no JSON."""
    return object()


@task(takes_context=True)
def attempts(context: Any, word: str) -> list[Any]:
    """Return what the context says."""
    return [word, context.attempt, context.task_result.id]


@task
async def later(n: int) -> int:
    """Return a number, from a coroutine."""
    await asyncio.sleep(0)
    return n


@task
def wait() -> None:
    """Wait until the test goes on."""
    gates[-1](None)


@task
def note(word: str) -> None:
    """Note a word."""
    seen.append(word)


@task
def connect() -> int:
    """Leave a connection to the database behind."""
    connection.ensure_connection()
    connection.close_at = 0  # as one that has lived for CONN_MAX_AGE
    seen.append(connection.connection)
    return id(connection.connection)


@task
def is_connected() -> bool:
    """Say whether this thread has a connection."""
    return connection.connection is not None


@pytest.fixture(autouse=True)
def gate() -> Iterator[Gate]:
    """Return what `wait` waits for; afterwards, end the executor."""
    gate = Gate()
    gates.append(gate)
    seen.clear()
    yield gate
    gate.open()
    with override_settings(TASKS=settings.TASKS):  # that it changes ends the pools
        pass


def finished(result: Any) -> Any:
    """Wait for everything, and return the result as of then."""
    assert default_task_backend.executor.bus.flush(HANG)
    result.refresh()
    return result


def held(gate: Gate) -> Any:
    """Occupy the worker."""
    result = wait.enqueue()
    gate.wait_entered()
    return result


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


# ---- run_after -------------------------------------------------------------------------------


def soon(seconds: float) -> datetime:
    """Return that time from now."""
    return timezone.now() + timedelta(seconds=seconds)


def until_ended(result: Any) -> Any:
    """Wait until a task has ended, and return its result as of then."""

    def has_ended() -> bool:
        result.refresh()
        return bool(result.is_finished)

    poll(has_ended)
    return result


def test_a_task_is_not_run_before_its_time() -> None:
    """But soon after; until then it is ready."""
    assert default_task_backend.supports_defer
    when = soon(0.3)
    result = add.using(run_after=when).enqueue(1, 2)
    assert result.status == TaskResultStatus.READY
    assert default_task_backend.executor.bus.stats().scheduled == 1
    assert finished(add.enqueue(1, 1)).return_value == 2  # others go first
    assert until_ended(result).return_value == 3
    assert result.started_at >= when - timedelta(milliseconds=10)
    assert result.enqueued_at < when


def test_a_time_that_has_passed_is_now() -> None:
    """As without."""
    assert finished(add.using(run_after=soon(-3600)).enqueue(1, 2)).return_value == 3


def test_tasks_run_in_the_order_of_their_times_and_with_their_priority(gate: Gate) -> None:
    """Not in that in which they were enqueued."""
    first, second, third = (soon(1) + timedelta(milliseconds=ms) for ms in (0, 5, 10))
    note.using(run_after=second).enqueue("later")
    last = note.using(run_after=third).enqueue("last")
    note.using(run_after=first).enqueue("sooner")
    until_ended(last)
    assert seen == ["sooner", "later", "last"]
    held(gate)
    note.using(run_after=soon(0.02)).enqueue("usual")
    poll(lambda: default_task_backend.executor.bus.depth == 1)
    note.using(run_after=soon(0.02), priority=100).enqueue("urgent")
    poll(lambda: default_task_backend.executor.bus.depth == 2)
    gate.open()
    poll(lambda: len(seen) == 5)
    assert seen[3:] == ["urgent", "usual"]


def test_a_coroutine_can_be_deferred_from_a_coroutine() -> None:
    """By `aenqueue`."""
    result = async_to_sync(later.using(run_after=soon(0.02)).aenqueue)(7)
    assert until_ended(result).return_value == 7


def test_a_task_that_is_due_while_the_queue_is_full_has_failed(gate: Gate) -> None:
    """As the policy says; it is counted, and its signal sent."""
    ended: list[str] = []

    def receive(task_result: Any, **_: Any) -> None:
        ended.append(task_result.id)

    held(gate)
    for n in range(3):
        add.enqueue(n, 1)
    task_finished.connect(receive)
    result = until_ended(add.using(run_after=soon(0.02)).enqueue(1, 2))
    task_finished.disconnect(receive)
    assert result.status == TaskResultStatus.FAILED
    assert "CancelledError" in result.errors[0].exception_class_path
    assert ended == [result.id]
    assert default_task_backend.executor.bus.stats().dropped == 1


def test_with_a_policy_that_waits_a_task_that_is_due_takes_its_turn(gate: Gate) -> None:
    """Its time is the earliest, not the only one."""
    options = {"max_workers": 1, "queue_size": 1, "policy": "block"}
    backend = {"BACKEND": "brummerbus.django.BusBackend", "OPTIONS": options}
    with override_settings(TASKS={"default": backend}):
        held(gate)
        note.enqueue("first")
        result = note.using(run_after=soon(0.01)).enqueue("deferred")
        poll(lambda: default_task_backend.executor.bus.stats().waiting == 1)
        assert result.status == TaskResultStatus.READY
        gate.open()
        assert until_ended(result).status == TaskResultStatus.SUCCESSFUL
    assert seen == ["first", "deferred"]


def test_more_deferred_tasks_than_max_scheduled_are_refused() -> None:
    """Nothing is kept of them."""
    options = {"max_workers": 1, "max_scheduled": 1}
    backend = {"BACKEND": "brummerbus.django.BusBackend", "OPTIONS": options}
    with override_settings(TASKS={"default": backend}):
        add.using(run_after=soon(3600)).enqueue(1, 2)
        with pytest.raises(QueueFull, match="max_scheduled"):
            add.using(run_after=soon(3600)).enqueue(1, 2)


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


def test_what_is_deferred_when_the_process_ends_has_failed() -> None:
    """It is not waited for."""
    result = add.using(run_after=soon(3600)).enqueue(1, 2)
    backend = default_task_backend
    assert backend.executor.bus.stop() is False
    result = backend.get_result(result.id)
    assert result.status == TaskResultStatus.FAILED
    assert "CancelledError" in result.errors[0].exception_class_path


@pytest.mark.parametrize("use_tz", [True, False])
def test_times_without_a_zone_are_local_if_the_project_has_none(use_tz: bool) -> None:
    """And those with one are right in any project."""
    zone = dt_timezone(timedelta(hours=9))
    with override_settings(USE_TZ=use_tz):
        near = datetime.now(zone) + timedelta(seconds=0.02)
        assert until_ended(add.using(run_after=near).enqueue(1, 2)).return_value == 3
        if not use_tz:
            local = datetime.now() + timedelta(seconds=0.02)  # noqa: DTZ005
            assert until_ended(add.using(run_after=local).enqueue(1, 2)).return_value == 3
