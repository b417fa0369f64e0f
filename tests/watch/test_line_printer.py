"""Plain lines, for use without a terminal."""

import io
import time
from typing import Any

import pytest

from brummerbus import Event
from brummerbus.watch.line_printer import LinePrinter
from brummerbus.watch.payloads import ProcessExited, ProcessStarted

from .helpers import lines_event, make_lines

NOON = time.mktime((2024, 5, 17, 12, 0, 7, 0, 0, -1))


def test_a_line_has_a_time_a_name_and_its_text() -> None:
    out = io.StringIO()
    printer = LinePrinter(out)
    printer.on_process(Event("process.started", ProcessStarted("api", 7, "serve", NOON)))
    printer.on_process(Event("process.exited", ProcessExited("api", 7, 3, 1.26, NOON + 1)))
    printer.flush()
    assert (
        out.getvalue()
        == "12:00:07 api started, pid 7\n12:00:08 api exited with code 3 after 1.3 s\n"
    )


def test_a_line_of_a_process_has_its_name() -> None:
    out = io.StringIO()
    printer = LinePrinter(out)
    for line in make_lines("one\ntwo | 2\n\nfour\n"):
        printer.on_lines([lines_event(line)])
    printer.flush()
    assert [line[9:] for line in out.getvalue().splitlines()] == [
        "api | one",
        "api | two | 2",
        "api | ",
        "api | four",
    ]


def test_many_lines_are_printed_before_they_are_flushed() -> None:
    """The buffer is bounded."""
    out = io.StringIO()
    printer = LinePrinter(out)
    for line in make_lines("x" * 99 + "\n" + "y" * 40_000 + "\n"):
        printer.on_lines([lines_event(line)])
    assert len(out.getvalue()) > 40_000


class Closed(io.StringIO):
    """A pipe whose reader has closed it."""

    def write(self, *_: Any) -> int:
        """Fail."""
        raise BrokenPipeError

    flush = write


@pytest.mark.parametrize("flushed", [True, False])
def test_a_reader_that_leaves_fails_no_handler(
    flushed: bool,
) -> None:
    printer = LinePrinter(Closed())
    for line in make_lines("one\ntwo\n"):
        if flushed:
            printer.flush()
        printer.on_lines([lines_event(line)])
    printer.flush()
