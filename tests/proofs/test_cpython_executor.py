"""CPython's own tests of `ThreadPoolExecutor` pass with `BusExecutor` in its place.

They are those of the running interpreter, if it has them. Left out are those that expect threads
to be started as needed, while the workers of a bus run from the beginning, and one that
expects the name of an exception.
"""

import concurrent.futures
import faulthandler
import importlib
import unittest
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import pytest

from brummerbus.executor import BusExecutor

EARLY = "expects a thread, started by the first submit, to have taken its task before the shutdown"

LEFT_OUT = {
    "ThreadPoolExecutorTest.test_idle_thread_reuse": "expects one thread after three tasks",
    "ThreadPoolShutdownTest.test_cancel_futures": EARLY,
    "ThreadPoolShutdownTest.test_cancel_futures_wait_false": EARLY,
    "ThreadPoolShutdownTest.test_submit_after_interpreter_shutdown": "expects RuntimeError by name",
    "ThreadPoolShutdownTest.test_threads_terminate": "expects 3 threads of 5 after 3 tasks",
}
"""Tests that are left out, and why."""

TESTS = "test.test_concurrent_futures"
PARTS = ("test_as_completed", "test_init", "test_shutdown", "test_thread_pool", "test_wait")

ADAPTER = """
import concurrent.futures
from brummerbus.executor import BusExecutor
class ThreadPoolExecutor(BusExecutor):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **{"queue_size": 10_000, **kwargs})
concurrent.futures.ThreadPoolExecutor = ThreadPoolExecutor
"""
"""What the tests run in other processes get before their first line."""


class Adapter(BusExecutor):
    """With room for what the tests submit at once."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"queue_size": 10_000, **kwargs})


Adapter.__name__ = "ThreadPoolExecutor"  # which the names of its threads begin with


def modules() -> list[Any]:
    """Return the modules with the tests: one up to Python 3.11, several in a package after it."""
    try:
        found = find_spec(TESTS)
    except ImportError:
        found = None
    if found is None:
        return []
    package = importlib.import_module(TESTS)
    if not hasattr(package, "__path__"):
        return [package]
    return [importlib.import_module(f"{TESTS}.{part}") for part in PARTS]


def cases() -> Iterator[tuple[Any, type[unittest.TestCase], str]]:
    """Yield the tests of thread pools: module, class and name."""
    for module in modules():
        for cls in vars(module).values():
            if not (isinstance(cls, type) and issubclass(cls, unittest.TestCase)):
                continue
            if "ThreadPool" not in cls.__name__:
                continue
            for name in unittest.defaultTestLoader.getTestCaseNames(cls):
                if f"{cls.__name__}.{name}" not in LEFT_OUT:
                    yield module, cls, name


CASES = list(cases())


def adapted(assert_python_ok: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function like it, in whose process the adapter is in place."""

    def run(option: str, code: str, *arguments: str, **variables: str) -> Any:
        assert option == "-c"
        return assert_python_ok(option, f"{ADAPTER}\n{code}", *arguments, **variables)

    return run


@pytest.fixture(autouse=True)
def end_what_hangs() -> Iterator[None]:
    """With the stacks of all threads; the tests themselves set no limit."""
    faulthandler.dump_traceback_later(60, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


def test_the_interpreter_has_the_tests() -> None:
    """Else there is nothing to prove it with."""
    if not CASES:
        pytest.skip(f"this interpreter was installed without {TESTS}")
    left_out = {name.partition(".")[2] for name in LEFT_OUT}
    found = {name for _, cls, _ in CASES for name in dir(cls)}
    assert left_out <= found
    assert len(CASES) > 30


@pytest.mark.parametrize(
    ("module", "cls", "name"), CASES, ids=[f"{cls.__name__}.{name}" for _, cls, name in CASES]
)
def test_a_test_of_thread_pools_passes(
    module: Any, cls: type[unittest.TestCase], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the adapter wherever the test makes its executor."""
    monkeypatch.setattr(concurrent.futures, "ThreadPoolExecutor", Adapter)
    if hasattr(cls, "executor_type"):
        monkeypatch.setattr(cls, "executor_type", Adapter)
    if hasattr(module, "assert_python_ok"):
        monkeypatch.setattr(module, "assert_python_ok", adapted(module.assert_python_ok))
    result = unittest.TestResult()
    cls(name).run(result)
    for _, text in [*result.errors, *result.failures]:
        pytest.fail(text)
    for _, reason in result.skipped:
        pytest.skip(reason)
    assert result.testsRun == 1
