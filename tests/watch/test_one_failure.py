"""One failure is one error, however many lines, parts and repetitions it has."""

import pytest

from brummerbus import Event
from brummerbus.watch.counters import Counters
from brummerbus.watch.payloads import ErrorFound

from .helpers import find

TRACE = 'Traceback (most recent call last):\n  File "a.py", line 3, in f\n'

GROUP = """\
ERROR:    in a group
  + Exception Group Traceback (most recent call last):
  |   File "a.py", line 3, in f
  | ExceptionGroup: two (2 sub-exceptions)
  +-+---------------- 1 ----------------
    | ValueError: 1
    +------------------------------------
"""
GUNICORN = "[2024-05-17 09:30:00 +0000] [7] [ERROR] Error handling request GET /bad\n"
LOGURU = """\
2024-05-17 09:30:00 | ERROR | app:f:3 - bad
Traceback (most recent call last):

> File "a.py", line 3, in f
    1/0

ZeroDivisionError: by zero
"""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"ERROR:asyncio:Task exception was never retrieved\ntask: <T>\n{TRACE}ValueError: 3\n",
         "ValueError: 3"),
        (f"ERROR:    Exception in ASGI application\n{TRACE}ValueError: bad\nmore of it\n",
         "ValueError: bad"),
        (GROUP, "ExceptionGroup: two (2 sub-exceptions)"),
        (f"Exception in thread Thread-1 (f):\n{TRACE}KeyError: 1\n", "KeyError: 1"),
        (f"{GUNICORN}{TRACE}ValueError: bad\n", "ValueError: bad"),
        (LOGURU, "ZeroDivisionError: by zero"),
        ("fail: App.Server[13]\n      request failed\n      System.Exception: x\n",
         "request failed"),
    ],
)  # fmt: skip
def test_a_logged_failure_and_its_trace_are_one_error(text: str, message: str) -> None:
    [error] = find(f"INFO before\n{text}INFO after\n").errors
    assert error.message == message


@pytest.mark.parametrize(
    "text",
    [
        f"{TRACE}KeyboardInterrupt\n",
        f"^C{TRACE}KeyboardInterrupt\n",
        f"ERROR:    {TRACE}KeyboardInterrupt\n",
        "npm error path /app\nnpm error signal SIGINT\n",
        "error Command failed with exit code 130.\n",
    ],
)
def test_ctrl_c_is_no_error_of_a_child(text: str) -> None:
    assert find(text).errors == []


def test_an_error_that_occurs_again_counts_up() -> None:
    """It is listed once, with how often it occurred; other numbers in it make no other error."""
    counters = Counters(["api"])
    for number in range(8):
        found = ErrorFound(
            "api", "stdout", number, number, 1.0, "log", f"lost peer {number}", "", ""
        )
        counters(Event("error.detected", found, source="api"))
    [(first, count)] = counters.errors()
    assert (first.message, count, counters.snapshot().errors) == ("lost peer 0", 8, 8)
    [recent] = counters.latest()
    assert recent.message == "lost peer 7 (x8)"


def test_the_reason_of_a_failed_test_is_added_when_the_summary_says_it() -> None:
    """With -v a test is reported as soon as it has failed; why comes many lines later."""
    text = (
        "test_p.py::test_a FAILED    [ 50%]\n"
        "test_p.py::test_b FAILED    [100%]\n"
        "=========== short test summary info ===========\n"
        "FAILED test_p.py::test_a - assert 1 == 2\n"
        "FAILED test_p.py::test_b - KeyError: 'x'\n"
        "============== 2 failed in 0.02s ==============\n"
    )
    counters = Counters(["api"])
    for found in find(text).all:
        counters(Event("test.failed", found, source="api"))
    assert counters.snapshot().tests["failed"] == 2
    assert [(each.name, each.detail) for each in counters.failed_tests()] == [
        ("test_p.py::test_a", "assert 1 == 2"),
        ("test_p.py::test_b", "KeyError: 'x'"),
    ]


def test_a_task_that_ctrl_c_cancels_is_no_error() -> None:
    text = f"ERROR:    {TRACE}asyncio.exceptions.CancelledError\n"
    assert find(text).errors == []


def test_a_failure_that_ansible_ignores_is_no_error() -> None:
    text = (
        "[ERROR]: Task failed: no such file\nOrigin: /app/play.yml:7:7\n\n"
        'fatal: [localhost]: FAILED! => {"changed": true}\n...ignoring\n'
    )
    assert find(text).errors == []


def test_a_project_that_maven_cannot_compile_has_an_error_for_each_line_of_source() -> None:
    text = (
        "[ERROR] COMPILATION ERROR : \n[INFO] ----\n[ERROR] /app/A.java:[3,5] cannot find symbol\n"
        "[INFO] BUILD FAILURE\n[ERROR] Failed to execute goal org.x:y:1:compile (z) on project a: "
        "Compilation failure\n[ERROR] /app/A.java:[3,5] cannot find symbol\n[ERROR] -> [Help 1]\n"
    )
    assert [error.location for error in find(text).errors] == ["/app/A.java:3:5"]
