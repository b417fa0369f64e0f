"""A backend for `django.tasks`: tasks run in threads of this process, bounded and prioritised.

    TASKS = {
        "default": {
            "BACKEND": "brummerbus.django.BusBackend",
            "OPTIONS": {"max_workers": 4, "queue_size": 100},
        }
    }

Tasks and results are in memory: what was enqueued is gone with the process, which drains its queue
when it exits.
"""

import copy
import os
import threading
import time
from collections import OrderedDict
from concurrent.futures import CancelledError, Future
from traceback import format_exception
from typing import Any

from brummerbus._arguments import check_int
from brummerbus.executor import BusExecutor

try:
    from django.core.signals import setting_changed
    from django.db import close_old_connections
    from django.tasks import TaskContext, TaskResult, TaskResultStatus
    from django.tasks.backends.base import BaseTaskBackend
    from django.tasks.base import TASK_MAX_PRIORITY, TASK_MIN_PRIORITY, TaskError
    from django.tasks.exceptions import TaskResultDoesNotExist
    from django.tasks.signals import task_enqueued, task_finished, task_started
    from django.utils import timezone
    from django.utils.crypto import get_random_string
    from django.utils.json import normalize_json
except ImportError as _missing:
    raise ImportError(
        "brummerbus.django needs Django 6 or newer: pip install 'brummerbus[django]'"
    ) from _missing

KEPT_RESULTS = 1000
"""Results of finished tasks that are kept, unless `OPTIONS` says otherwise."""


class BusBackend(BaseTaskBackend):  # type: ignore[misc]
    """Runs tasks on a `BusExecutor`, of which a process has one for each alias in `TASKS`.

    `OPTIONS` are the arguments of `BusExecutor`, and `kept_results`: how many results of finished
    tasks can still be asked for, at least 0, by default 1,000. Priorities from -100 to 100 are
    spread over the levels of the bus: with three, from 34 on a task is urgent, below -33 it is
    least urgent. Old database connections are closed before and after each task. A task with
    `run_after` is enqueued at that time, by the clock as of when it was given.

    From any thread. Results can be had in the process that enqueued. A task that was dropped, by
    the policy or at the end of the process, has failed with a `CancelledError`.
    """

    supports_async_task = True
    supports_defer = True
    supports_get_result = True
    supports_priority = True

    def enqueue(self, task: Any, args: Any, kwargs: Any) -> Any:
        """Enqueue a task and return its result as of now; `refresh()` it later.

        Raises:
            QueueFull: `queue_size` tasks wait, or `max_scheduled` for their `run_after`: answer
                503. Nothing was enqueued.
            InvalidTask: The task is not one that this backend can run.
        """
        self.validate_task(task)
        result = TaskResult(
            task=task,
            id=get_random_string(32),
            status=TaskResultStatus.READY,
            enqueued_at=timezone.now(),
            started_at=None,
            last_attempted_at=None,
            finished_at=None,
            args=args,
            kwargs=kwargs,
            backend=self.alias,
            errors=[],
            worker_ids=[],
        )
        pool = self._pool()
        pool.submit(result, type(self))
        task_enqueued.send(type(self), task_result=result)
        return pool.results.find(result.id)

    def get_result(self, result_id: str) -> Any:
        """Return the result of a task as of now.

        Raises:
            TaskResultDoesNotExist: There is none in this process, or it is not kept any more.
        """
        return self._pool().results.find(result_id)

    @property
    def executor(self) -> BusExecutor:
        """What runs the tasks; `executor.bus.stats()` has the figures."""
        return self._pool().executor

    def _pool(self) -> "_Pool":
        # Django makes a backend for each thread that enqueues.
        with _lock:
            pool = _pools.get(self.alias)
            if pool is None:
                pool = _pools[self.alias] = _Pool(self.alias, dict(self.options))
            return pool


class _Results:
    """The results of this process: all that are not finished, and the last that are."""

    def __init__(self, kept: int) -> None:
        self._kept = kept
        self._lock = threading.Lock()
        self._open: dict[str, Any] = {}
        self._finished: OrderedDict[str, Any] = OrderedDict()

    def add(self, result: Any) -> None:
        with self._lock:
            self._open[result.id] = result

    def remove(self, result: Any) -> None:
        with self._lock:
            self._open.pop(result.id, None)

    def change(self, result: Any, **changes: Any) -> None:
        """Change some attributes together; the class is a frozen dataclass."""
        with self._lock:
            for name, value in changes.items():
                object.__setattr__(result, name, value)

    def finish(self, result: Any, **changes: Any) -> None:
        self.change(result, finished_at=timezone.now(), **changes)
        with self._lock:
            self._open.pop(result.id, None)
            self._finished[result.id] = result
            while len(self._finished) > self._kept:
                self._finished.popitem(last=False)

    def find(self, result_id: str) -> Any:
        with self._lock:
            result = self._open.get(result_id) or self._finished.get(result_id)
            if result is None:
                raise TaskResultDoesNotExist(result_id)
            found = copy.copy(result)
            object.__setattr__(found, "errors", list(result.errors))
            object.__setattr__(found, "worker_ids", list(result.worker_ids))
            return found


class _Pool:
    """The executor and the results of one alias."""

    def __init__(self, alias: str, options: dict[str, Any]) -> None:
        self._kept = check_int("kept_results", options.pop("kept_results", KEPT_RESULTS), 0)
        options.setdefault("thread_name_prefix", f"tasks-{alias}")
        self.executor = BusExecutor(**options)
        self.results = _Results(self._kept)
        levels = self.executor.bus.config.priority_levels
        self._views = [self.executor.with_priority(n + 1) for n in range(levels)]

    def forget(self) -> None:
        """In the child of a fork: what was enqueued is the parent's."""
        self.results = _Results(self._kept)

    def submit(self, result: Any, backend: type) -> None:
        span = TASK_MAX_PRIORITY - TASK_MIN_PRIORITY + 1
        level = (int(result.task.priority) - TASK_MIN_PRIORITY) * len(self._views) // span
        self.results.add(result)
        view, when = self._views[level], result.task.run_after
        delay = 0.0 if when is None else when.timestamp() - time.time()
        try:
            if delay <= 0:
                future = view.submit(self._run, result, backend)
            else:
                future = view._submit_after(delay, self._run, result, backend)  # noqa: SLF001
        except BaseException:
            self.results.remove(result)
            raise
        future.add_done_callback(lambda future: self._dropped(future, result, backend))

    def _dropped(self, future: "Future[None]", result: Any, backend: type) -> None:
        if future.cancelled():
            self._fail(result, CancelledError("the task was dropped"), backend)

    def _run(self, result: Any, backend: type) -> None:
        close_old_connections()
        try:
            self._call(result, backend)
        finally:
            close_old_connections()

    def _call(self, result: Any, backend: type) -> None:
        now, me = timezone.now(), threading.current_thread().name
        self.results.change(
            result,
            status=TaskResultStatus.RUNNING,
            started_at=now,
            last_attempted_at=now,
            worker_ids=[*result.worker_ids, me],
        )
        try:
            task_started.send(backend, task_result=result)
            first = (TaskContext(task_result=result),) if result.task.takes_context else ()
            value = normalize_json(result.task.call(*first, *result.args, **result.kwargs))
        except BaseException as error:
            self._fail(result, error, backend)
        else:
            done = TaskResultStatus.SUCCESSFUL
            self.results.finish(result, status=done, _return_value=value)
            task_finished.send_robust(backend, task_result=result)

    def _fail(self, result: Any, error: BaseException, backend: type) -> None:
        cls = type(error)
        why = TaskError(
            exception_class_path=f"{cls.__module__}.{cls.__qualname__}",
            traceback="".join(format_exception(error)),
        )
        failed = TaskResultStatus.FAILED
        self.results.finish(result, status=failed, errors=[*result.errors, why])
        task_finished.send_robust(backend, task_result=result)


_lock = threading.Lock()
_pools: dict[str, _Pool] = {}


def _forget_pools(*, setting: str, **_kwargs: Any) -> None:
    """When tests change the settings: finish what was enqueued, and make new ones."""
    if setting == "TASKS":
        with _lock:
            pools = list(_pools.values())
            _pools.clear()
        for pool in pools:
            pool.executor.shutdown()


setting_changed.connect(_forget_pools)


def _after_fork_in_child() -> None:
    global _lock  # a thread of the parent may have held it
    _lock = threading.Lock()
    for pool in _pools.values():
        pool.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
