"""The report as text: what failed comes first, and it fits on a screen."""

from typing import Any

import pytest

from brummerbus.watch.summary import Shape, as_text
from brummerbus.watch.text import cells

from .figures import failure, found, long_report, process, small_report

CONTROLS = {chr(code) for code in (*range(32), *range(127, 160))} - {"\n"}


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    return small_report()


def places_of(text: str, *parts: str) -> list[int]:
    """Return where the parts stand in a text, each of which must be in it."""
    return [text.index(part) for part in parts]


@pytest.mark.parametrize(
    "part",
    [
        "Watched Proc<file> for 4.9 s, exit 1\n",
        "\n1 error\n  api  KeyError: '<x>'  a.py:3\n",
        "\n1 of 2 tests failed\n  api  t::bad - 1 != 2\n",
        "\nFailed, with no error in the output\n  web  exit 2; its last line: no <route>\n",
        "\nBuilds: make failed 1\n",
        "\nProcesses  exit  seconds  lines out  lines err  bytes  errors\napi           1",
        "5 lines read, 5 rows stored; 0 dropped, 0 failed: all counts agree",
    ],
)
def test_the_text_says_what_happened(part: str, report: dict[str, Any]) -> None:
    assert part in as_text(report)


def test_what_failed_comes_first_and_the_bus_last(report: dict[str, Any]) -> None:
    text = as_text(report, Shape(bus=True))
    order = places_of(
        text, "1 error", "tests failed", "Failed, with no error", "Builds", "Processes  exit",
        "Deliveries by type", "Milliseconds", "Utilisation of", "maximum 6 of 64",
        "too little data", "handled by store 5, find 5",
    )  # fmt: skip
    assert order == sorted(order)


def test_the_bus_has_no_figures_unless_they_are_wanted(report: dict[str, Any]) -> None:
    text = as_text(report)
    assert "log.line" not in text
    assert "Utilisation" not in text
    assert report["advice"]["text"] not in text


@pytest.mark.parametrize("errors", [0, 1, 100])
@pytest.mark.parametrize("tests", [0, 1, 50])
@pytest.mark.parametrize("processes", [1, 5, 40])
@pytest.mark.parametrize(("width", "height"), [(80, 24), (200, 60)])
def test_it_fits_on_a_screen(
    errors: int, tests: int, processes: int, width: int, height: int
) -> None:
    """With a blank line before it, the line about the store behind it, and the prompt."""
    report = long_report(errors=errors, tests=tests, processes=processes)
    report["errors"]["found"] = [
        {**each, "message": each["message"] + " and so on" * 30}
        for each in report["errors"]["found"]
    ]
    lines = as_text(report, Shape(width, height)).split("\n")
    assert len(lines) <= height - 3
    assert max(cells(line) for line in lines) <= width
    assert sum("ValueError" in line for line in lines) >= min(errors, 3)
    assert sum("::test_" in line for line in lines) >= min(tests, 2)


def test_it_fits_even_if_every_section_has_something_to_say() -> None:
    report = long_report(errors=9, tests=9, processes=3)
    report["processes"] += [process(f"db-{number}", exit_code=1) for number in range(9)]
    report["builds"] = {"make failed": 1}
    lines = as_text(report).split("\n")
    assert len(lines) <= 24 - 3
    for part in ("ValueError", "::test_", "exit 1", "Builds", "Processes"):
        assert any(part in line for line in lines), part


def test_a_screen_is_filled_before_anything_is_left_out() -> None:
    lines = as_text(long_report(errors=100, tests=0, processes=2)).split("\n")
    assert len(lines) == 24 - 3
    shown = sum("ValueError" in line for line in lines)
    assert f"  ... and {100 - shown} more: --full, or brummerbus log --errors" in lines


def test_all_of_it_is_told_on_request() -> None:
    report = long_report(errors=100, tests=50, processes=40)
    text = as_text(report, Shape(full=True))
    assert text.count("Traceback") == 100
    assert "      ValueError: case 99" in text
    assert "test_49" in text
    assert "web-39" in text
    assert "more" not in text


def test_a_process_that_was_stopped_has_not_failed() -> None:
    report = long_report(errors=0, tests=0, processes=0)
    report["processes"] = [
        process("web", exit_code=130, stopped=True),
        process("db", exit_code=1, last_line="disk full"),
    ]
    text = as_text(report)
    assert "  db   exit 1; its last line: disk full" in text
    assert "web  exit" not in text
    assert text.index("\ndb ") < text.index("\nweb ")


def test_a_run_in_which_nothing_failed_says_so() -> None:
    text = as_text(long_report(errors=0, tests=0, processes=1))
    assert text.startswith(
        "Watched Proc<file> for 4.9 s, exit 1\nNo errors found; 3 tests passed, none failed\n"
    )


def test_the_file_and_line_are_kept_when_a_row_is_shortened() -> None:
    report = long_report(errors=0, tests=0, processes=1)
    place = "/a/very/long/path" * 5 + "/models.py:33"
    report["errors"] = {"count": 1, "found": [found(0, place=place, message="no " * 60)]}
    [row] = [line for line in as_text(report).split("\n") if "no no" in line]
    assert row.endswith("/models.py:33")
    assert "…  …" in row
    assert cells(row) == 80


def test_places_are_links_on_a_terminal_only() -> None:
    report = long_report(errors=0, tests=0, processes=1)
    report["errors"] = {"count": 1, "found": [found(0, link="file:///srv/a.py")]}
    report["tests"] = {"passed": 0, "failed": 1, "failures": [failure(1, link="file:///srv/t.py")]}
    assert "\x1b" not in as_text(report)
    text = as_text(report, Shape(links=True))
    assert "\x1b]8;;file:///srv/a.py\x1b\\a.py:3\x1b]8;;\x1b\\" in text
    assert "\x1b]8;;file:///srv/t.py\x1b\\test_a.py::test_1 - assert 1 == 2\x1b]8;;\x1b\\" in text


@pytest.mark.parametrize("full", [False, True])
def test_what_processes_print_does_not_control_the_terminal(full: bool) -> None:
    """Names, messages, places, details and last lines."""
    evil = "a\x1b[2Jb\rc\x07d\x9b2Je\x0ef"
    report = long_report(errors=0, tests=0, processes=0)
    report["target"] = evil
    errors = [found(0, message=evil, place=evil, text=f"{evil}\n{evil}", kind=evil)]
    report["errors"] = {"count": 1, "found": errors}
    report["tests"] = {"passed": 0, "failed": 1, "failures": [failure(0, name=evil, detail=evil)]}
    report["processes"] = [process(evil, exit_code=1, last_line=evil)]
    report["handler_errors"] = [evil]
    text = as_text(report, Shape(width=300, height=60, full=full))
    assert not CONTROLS & set(text)
    assert "a\\x1b[2Jb c\\x07d" in text


def test_wide_characters_are_counted_as_two() -> None:
    report = long_report(errors=0, tests=0, processes=1)
    report["errors"] = {"count": 1, "found": [found(0, message="接続できません" * 20)]}
    assert max(cells(line) for line in as_text(report).split("\n")) <= 80
    assert cells("接続a") == 5
