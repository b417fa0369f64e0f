"""What others write in front of a line is removed, and tells streams apart."""

import pytest

from brummerbus.watch.detect.prefixes import strip

from .helpers import find

TRACEBACK = """\
Traceback (most recent call last):
  File "app.py", line 6, in main
    1 / 0
ZeroDivisionError: by zero
"""


@pytest.mark.parametrize(
    "prefix",
    [
        "api-1  | ",
        "09:30:00 api.1   | ",
        "0|api  | ",
        "[1] ",
        "[api] ",
        "[pod/api-1/app] ",
        "@acme/api:dev: ",
        "api:dev: ",
        "May 17 09:30:00 host gunicorn[7]: ",
        "2024-05-17T09:30:00.1+02:00 host app[7]: ",
        "<11>1 2024-05-17T09:30:00Z host app 7 - - ",
        "2024-05-17T09:30:00.123Z ",
        "[2024-05-17T09:30:00.123Z] ",
        "2024-05-17T09:30:00.1Z stderr F ",
        "2024-05-17T09:30:00.1+00:00 app[web.1]: ",
        "#12 3.456 ",
        "api-1  | 09:30:00 web.1 | ",
    ],
)
def test_a_traceback_is_found_behind_a_prefix(prefix: str) -> None:
    text = "".join(f"{prefix}{line}\n" for line in TRACEBACK.splitlines())
    [error] = find(text).errors
    assert (error.message, error.location) == ("ZeroDivisionError: by zero", "app.py:6")
    assert (error.first, error.last) == (0, 3)


def test_a_record_of_docker_is_read_as_its_line() -> None:
    lines = (line.replace('"', '\\\\"') for line in TRACEBACK.splitlines())
    text = "".join(f'{{"log":"{line}\\\\n","stream":"stderr","time":"x"}}\n' for line in lines)
    text = text.replace("\\\\", "\\")
    [error] = find(text).errors
    assert error.message == "ZeroDivisionError: by zero"


def test_mixed_tracebacks_of_two_containers_are_two_errors() -> None:
    """Each prefix has its own detectors."""
    one = [f"a-1 | {line}" for line in TRACEBACK.splitlines()]
    two = [f"b-1 | {line.replace('app.py', 'b.py')}" for line in TRACEBACK.splitlines()]
    mixed = [line for pair in zip(one, two, strict=True) for line in pair]
    assert {error.location for error in find("\n".join(mixed)).errors} == {"app.py:6", "b.py:6"}


def test_a_trace_without_the_prefix_of_its_logged_error_belongs_to_it() -> None:
    """A logger writes a name in brackets in front of its own line only."""
    [error] = find("[api] ERROR request failed\n" + TRACEBACK).errors
    assert (error.first, error.last) == (0, 4)


@pytest.mark.parametrize(
    "line",
    [
        "[ERROR] it broke",
        "[error] it broke",
        "ERROR | it broke",
        "error: it broke",
        "ERROR:root:it broke",
        "bad.c:3:19: error: it broke",
        "1 | fn main() {}",
        "a || b",
        "[ 12%] Building C object",
        "http://host: no",
    ],
)
def test_what_only_resembles_a_prefix_stays(line: str) -> None:
    assert strip(line).text == line
