"""Tasks of Django with a time: `run_after`."""

from datetime import datetime, timedelta
from datetime import timezone as dt_timezone
from typing import Any

import pytest
from django_project import add, default_task_backend, finished, gate, held, later, note, seen

# It configures Django, and skips where there is none: it comes first.
# isort: split
from asgiref.sync import async_to_sync
from django.tasks import TaskResultStatus
from django.tasks.signals import task_finished
from django.test.utils import override_settings
from django.utils import timezone

from brummerbus import QueueFull
from helpers.handlers import Gate
from helpers.waiting import poll

__all__ = ["gate"]


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
