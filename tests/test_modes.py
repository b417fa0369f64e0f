"""Options of Python that change what code may do: each runs a bus silently.

Each program runs in its own process. An empty standard error means that no warning was raised and
that no check of a debug build of memory failed.
"""

import os
import subprocess
import sys
import textwrap
from typing import NamedTuple

import pytest

from helpers.interpreter import needs_gil
from helpers.processes import modules_after
from helpers.waiting import HANG

pytestmark = pytest.mark.slow  # tests here take a second and more

USES_ALL = """
    import logging, threading
    from brummerbus import BackpressurePolicy, Event, EventBus, QueueFull

    logging.getLogger("brummerbus").addHandler(logging.NullHandler())  # losses are logged

    class Line:
        pass

    got = []

    def fail(event):
        raise ValueError(event)

    with EventBus(workers=2, queue_size=8, on_error=lambda *_: got.append("failed")) as bus:
        bus.subscribe("a", lambda event: got.append(event.data))
        bus.subscribe(Line, lambda event: got.append(type(event).__name__))
        bus.subscribe("fails", fail)
        bus.publish(Event("a", 1))
        bus.publish(Line())
        bus.publish_many([Event("a", 2), Event("fails")])
        bus.flush()
        bus.advise()
        bus.stats()

    small = {"workers": 1, "queue_size": 8, "publish_timeout": 0}
    opened = threading.Event()
    with EventBus(policy=BackpressurePolicy.REJECT, **small) as full:
        full.subscribe("a", lambda event: opened.wait())
        try:
            full.publish_many([Event("a")] * 10)
        except QueueFull:
            got.append("full")
        opened.set()

    stopped_at_exit = EventBus(workers=1)
    print(*sorted(map(str, got)))
"""
SAID = "1 2 Line failed full\n"


class Ended(NamedTuple):
    """How a process ended, and its output."""

    code: int
    out: str
    err: str


def python(code: str, *options: str, **variables: str) -> Ended:
    """Run a program with options of the interpreter and environment variables."""
    return command(*options, "-c", textwrap.dedent(code), **variables)


def command(*words: str, **variables: str) -> Ended:
    """Run the interpreter with a command line and environment variables."""
    done = subprocess.run(
        [sys.executable, *words],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=2 * HANG,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize(
    "options",
    [("-W", "error"), ("-X", "dev", "-W", "error"), ("-OO",), ("-I",), ("-bb",)],
    ids=" ".join,
)
def test_a_bus_works_and_is_silent(options: tuple[str, ...]) -> None:
    """Warnings as errors, no asserts and docstrings, without the user's paths."""
    end = python(USES_ALL, *options)
    assert end == (0, SAID, "")


@pytest.mark.parametrize(
    "allocator",
    ["debug", *(pytest.param(name, marks=needs_gil) for name in ("malloc_debug", "malloc"))],
)
def test_a_bus_works_on_another_allocator(allocator: str) -> None:
    """The debug ones end the process if a block is overrun, or freed without the GIL."""
    assert python(USES_ALL, PYTHONMALLOC=allocator) == (0, SAID, "")


def test_a_command_imports_no_other() -> None:
    """That of `watch` compiles hundreds of regular expressions."""
    code = """
from contextlib import suppress
from brummerbus.__main__ import main
with suppress(SystemExit):
    main(["size", "--help"])
"""
    assert not [name for name in modules_after(code) if name.startswith("brummerbus.watch")]


@pytest.mark.parametrize("name", ["watch", "log", "size"])
def test_the_commands_work_without_docstrings(name: str) -> None:
    """Their help must not come from docstrings."""
    end = command("-OO", "-W", "error", "-m", "brummerbus", name, "--help")
    assert (end.code, end.err) == (0, "")
    assert f"usage: brummerbus {name}" in end.out


def test_nothing_is_imported_from_distutils() -> None:
    """Python 3.12 has removed it; setuptools' replacement may be there, or not."""
    code = """
        import sys
        sys.modules["distutils"] = sys.modules["setuptools"] = None
        import pkgutil, brummerbus
        names = [m.name for m in pkgutil.walk_packages(brummerbus.__path__, "brummerbus.")]
        for name in names:
            if name.endswith(("._ffi_build", ".__main__")):
                continue
            try:
                __import__(name)
            except ImportError as error:  # it is for a project that is not installed
                assert error.name not in ("distutils", "setuptools"), name
                assert name.count(".") > 1 or "pip install 'brummerbus[" in str(error), error
        print(len(names) > 20)
    """
    assert python(code, "-W", "error") == (0, "True\n", "")


SUBINTERPRETER = """
    import sys, textwrap
    try:
        import _interpreters as interpreters
    except ImportError:
        import _xxsubinterpreters as interpreters
    {first}
    kind = "{kind}"
    if sys.version_info >= (3, 13):
        other = interpreters.create(kind)
    else:
        other = interpreters.create(isolated=kind == "isolated")
    interpreters.run_string(other, textwrap.dedent('''
        try:
            import brummerbus
        except ImportError as error:
            print("ImportError:", error, flush=True)
    '''))
    interpreters.destroy(other)
"""


@pytest.mark.parametrize("first", ["", "import brummerbus"], ids=["first", "after the main one"])
@pytest.mark.parametrize("kind", ["legacy", "isolated"])
def test_other_interpreters_get_an_import_error(kind: str, first: str) -> None:
    """The threads of a bus would outlive an interpreter that ends before the process."""
    end = python(SUBINTERPRETER.format(kind=kind, first=first))
    assert (end.code, end.err) == (0, "")
    assert end.out.startswith("ImportError: ")
    assert "interpreter" in end.out
