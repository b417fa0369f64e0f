"""Errors in lines: each format's own output, and one error however many lines it has."""

from dataclasses import dataclass

import pytest

from brummerbus.watch.detect import StreamDetector
from brummerbus.watch.payloads import ErrorFound, LogLine

from .helpers import find, make_lines
from .samples import errors as samples


@dataclass(frozen=True)
class Expected:
    """What one error must contain."""

    kind: str
    message: str
    location: str
    first: int
    last: int


PYTHON = [
    (
        samples.TRACEBACK,
        Expected("python", "ZeroDivisionError: by zero", "app.py:6", 1, 7),
    ),
    (samples.CHAINED, Expected("python", "RuntimeError: cannot load", "load.py:9", 0, 11)),
    (samples.LOGGED, Expected("python", "KeyError: 'user'", "app.py:2", 0, 4)),
    (samples.GROUP, Expected("python", "ExceptionGroup: two (2 sub-exceptions)", "g.py:1", 0, 11)),
    (samples.SYNTAX, Expected("python", "SyntaxError: invalid syntax", "lib/bad.py:2", 1, 4)),
    (samples.CUT_SHORT, Expected("python", "Traceback without its end", "app.py:6", 0, 2)),
    (samples.RECURSION, Expected("python", "RecursionError: too deep", "deep.py:3", 0, 401)),
]
TRACES = [
    (samples.NODE, Expected("javascript", "TypeError: x is no function", "/app/j.js:1:25", 5, 8)),
    (samples.NODE_OBJECT, Expected("javascript", "Error: Cannot find module './nope'",
                                   "/app/k.js:1:1", 0, 9)),
    (samples.NODE_SYNTAX, Expected("javascript", "SyntaxError: Unexpected token '{'",
                                   "/app/parse.js:1", 4, 6)),
    (samples.RUBY_LOAD, Expected("ruby", "cannot load such file -- n (LoadError)", "app.rb:1",
                                 0, 2)),
    (samples.NPM_SCRIPT, Expected("npm", 'Missing script: "nothing"', "", 0, 4)),
    (samples.JAVA, Expected("java", "java.lang.RuntimeException: outer", "J.java:5", 0, 6)),
    (samples.JAVA_LOGGED, Expected("java", "java.io.IOException: closed", "S.java:41", 0, 2)),
    (samples.GO, Expected("go panic", "runtime error: index out of range [5] with length 3",
                          "/app/main.go:8", 0, 7)),
    (samples.GO_DEADLOCK, Expected("go panic", "all goroutines are asleep - deadlock!",
                                   "/app/main.go:5", 0, 4)),
    (samples.RUST, Expected("rust panic", "index out of bounds: the len is 0 but the index is 5",
                            "src/main.rs:1:116", 1, 7)),
    (samples.RUST_OLD, Expected("rust panic", "called `None`", "src/main.rs:2:5", 0, 1)),
]  # fmt: skip
COMPILERS = [
    (samples.CLANG, Expected("gcc/clang", "use of undeclared identifier 'y'", "bad.c:3:19", 0, 3)),
    (samples.DRIVER, Expected("gcc/clang", "nofile.c: No such file or directory", "", 0, 1)),
    (samples.LINKER, Expected("linker", "undefined reference to `missing'", "link.c", 1, 2)),
    (samples.RUSTC_PLAIN, Expected("rustc", "expected `!` or `::`", "src/main.rs:1:5", 0, 4)),
    (samples.GO_BUILD, Expected("go", "undefined: foo", "./main.go:5:2", 1, 3)),
    (samples.WEBPACK, Expected("webpack", "Module not found: Error: Can't resolve './nope'",
                               "./src/index.js 1:0-16", 1, 3)),
    (samples.VITE, Expected("vite", 'Could not resolve "./nope" from "src/main.js"', "", 1, 3)),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), PYTHON + TRACES + COMPILERS)
def test_one_error_is_found_with_all_its_lines(text: str, expected: Expected) -> None:
    [error] = find(text).errors
    found = Expected(error.kind, error.message, error.location, error.first, error.last)
    assert expected == found
    # Without its time stamp and prefix.
    assert text.splitlines()[error.first].endswith(error.text.splitlines()[0])


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [
        (samples.GCC, "gcc/clang", ["bad.c:3:19", "bad.c:4:18"]),
        (samples.RUSTC, "rustc", ["q.rs:1:39", "q.rs:1:26"]),
        (samples.TSC, "tsc", ["src/m.ts(1,7)", "src/m.ts(2,18)"]),
        (samples.TSC_PRETTY, "tsc", ["src/m.ts:1:7", "src/m.ts:2:18"]),
    ],
)
def test_a_compiler_s_errors_are_told_apart(text: str, kind: str, expected: list[str]) -> None:
    """Notes, carets, warnings and summaries are not errors of their own."""
    errors = find(text).errors
    assert expected == [error.location for error in errors]
    assert {kind} == {error.kind for error in errors}


def test_two_tracebacks_behind_each_other_are_two_errors() -> None:
    text = samples.LOGGED + samples.LOGGED
    assert [(error.first, error.last) for error in find(text).errors] == [(0, 4), (5, 9)]


def test_colours_do_not_hide_an_error() -> None:
    text = (
        "\x1b[96msrc/m.ts\x1b[0m:\x1b[93m1\x1b[0m:\x1b[93m7\x1b[0m - \x1b[91merror\x1b[0m"
        "\x1b[90m TS2322: \x1b[0mType 'string' is not assignable.\n"
    )
    [error] = find(text).errors
    assert error.message == "TS2322: Type 'string' is not assignable."


@pytest.mark.parametrize(
    "line",
    [
        "ERROR something broke",
        "ERROR:root:something broke",
        "ERROR: Could not find a version",
        "2024-05-17 09:30:00,123 ERROR app.db: no connection",
        "2024-05-17T09:30:00Z [CRITICAL] out of memory",
        "09:30:00 - app.core - ERROR - broken",
        "[error-handler] 2024 FATAL: role does not exist",
        "FATAL:  password authentication failed",
        'time="2024-05-17" level=error msg="no route"',
        '{"time": "09:30", "level": "fatal", "msg": "gone"}',
        "npm ERR! missing script: start",
        "error: pathspec 'x' did not match any file(s) known to git",
    ],
)
def test_a_line_at_level_error_is_an_error(line: str) -> None:
    [error] = find(f"fine\n{line}\nfine\n").errors
    assert (error.first, error.last) == (1, 1)


@pytest.mark.parametrize(
    "line",
    [
        "0 errors, 0 warnings",
        "INFO no errors found",
        "WARNING: deprecated",
        "the word ERROR in a sentence",
        "ERROR_COUNT=0",
        "--on-error=ERROR",
        "Compiling '/usr/lib/python3/errors.py'...",
        "GET /error 200",
        "ValueError: a message without a traceback",
        'File "report.txt" saved',
        "  at the end of the day",
        'error: could not compile `x` (bin "x") due to 1 previous error',
        "make: *** [Makefile:2: all] Error 1",
        "x" * 500 + " ERROR",
    ],
)
def test_a_line_that_only_resembles_an_error_is_none(line: str) -> None:
    assert find(f"fine\n{line}\nfine\n").errors == []


def test_what_looks_like_an_exception_does_not_keep_the_error_behind_it() -> None:
    """It may wait for a call that never follows; the certain error need not."""
    detector = StreamDetector()
    text = "ValueError: only mentioned\nsome text\nERROR true\nfine\n"
    found = [error for line in make_lines(text) for error in detector.feed(line)]
    assert [error.message for error in found] == ["true"]


def test_a_logged_error_before_something_that_is_no_trace_is_reported() -> None:
    [error] = find("ERROR first\nValueError: only mentioned\nfine\n").errors
    assert error.message == "first"


def test_an_error_waits_only_until_it_is_settled() -> None:
    """A traceback that looks complete is returned before a next line arrives."""
    detector = StreamDetector()
    lines = make_lines(samples.LOGGED)
    for line in lines[:-1]:
        assert detector.feed(line) == []
        assert (detector.settle() if line.number else []) == []
    assert detector.feed(lines[-1]) == []
    assert detector.waits
    assert [error.kind for error in detector.settle()] == ["python"]
    assert not detector.waits
    assert detector.finish() == []


def test_a_line_of_megabytes_is_looked_at_in_no_time() -> None:
    [error] = find("ERROR " + "error " * 1_000_000).errors
    assert len(error.text) < 1000


def test_the_lines_of_an_endless_error_are_counted_not_kept() -> None:
    [error] = find(samples.RECURSION).errors
    assert error.text.splitlines()[-1] == "... 302 more lines"


def test_an_error_that_may_have_a_trace_does_not_swallow_the_next_one() -> None:
    """As where two tests say something at the same time."""
    text = 'Error: "nope"\n\nrunning\n\n' + samples.RUST.lstrip()
    assert [(error.kind, error.first) for error in find(text).errors] == [
        ("log", 0),
        ("rust panic", 4),
    ]


def test_errors_of_a_shell_script_have_the_line_of_the_script() -> None:
    found = [(error.message, error.location) for error in find(samples.DASH).errors]
    assert found == [
        ("cd: can't cd to /nowhere", "run.sh:1"),
        ("UNSET: parameter not set", "run.sh:5"),
    ]


def test_a_traceback_may_be_indented_by_a_tab() -> None:
    text = (
        "2026-11-27T03:21:55+0000 [app#critical] it failed\n\tTraceback (most recent call last):\n"
        '\t  File "/app/a.py", line 3, in f\n\t    1 / 0\n\tbuiltins.ZeroDivisionError: zero\n\t\n'
    )
    [error] = find(text).errors
    assert (error.message, error.location) == ("builtins.ZeroDivisionError: zero", "/app/a.py:3")


def test_the_quoted_traceback_of_a_worker_process_is_part_of_the_error() -> None:
    frame = 'Traceback (most recent call last):\n  File "/app/a.py", line 3, in f\nValueError: x\n'
    text = (
        f'concurrent.futures.process._RemoteTraceback: \n"""\n{frame}"""\n\nThe above exception '
        f"was the direct cause of the following exception:\n\n{frame}"
    )
    assert [error.message for error in find(text).errors] == ["ValueError: x"]


def test_rich_s_log_has_errors_below_a_time_that_is_not_repeated() -> None:
    """Its columns break frames, too."""
    text = (
        "[03:21:25] INFO     no error                                             logs.py:7\n"
        "           ERROR    it failed                                            logs.py:10\n"
        "                    Traceback (most recent call last):\n"
        '                      File "/app/logs.py", line 9, in\n'
        "                    compute\n"
        "                        1 / 0\n"
        "                    ZeroDivisionError: division by zero\n"
        "           CRITICAL going down                                          logs.py:11\n"
    )
    assert [(error.first, error.message.split("  ")[0]) for error in find(text).errors] == [
        (1, "ZeroDivisionError: division by zero"),
        (7, "going down"),
    ]


def test_terraform_s_place_stands_below_its_error() -> None:
    text = "Error: Reference to undeclared resource\n\n  on main.tf line 3, in output:\n   3: x\n"
    [error] = find(text).errors
    assert (error.kind, error.location) == ("terraform", "main.tf:3")


def test_an_error_that_is_written_over_a_progress_bar_is_found() -> None:
    line = LogLine("api", "stdout", 0, "10%\r\x1b[KERROR: no space", 1000.0)
    detector = StreamDetector()
    [error] = [*detector.feed(line), *detector.finish()]
    assert isinstance(error, ErrorFound)
    assert error.message == "no space"
