"""A project of Django with tasks that `BusBackend` runs; each test has a pool of its own."""
# ruff: noqa: E402, Django has to be configured before its parts are imported

import asyncio
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("django.tasks", reason="needs Django 6, which needs Python 3.12")

import django
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
from django.tasks import default_task_backend, task
from django.test.utils import override_settings

from helpers.handlers import Gate
from helpers.waiting import HANG

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
