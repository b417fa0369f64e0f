"""A frame of the live view, drawn by rich for a terminal of 80 columns and 24 rows."""

from collections.abc import Sequence
from io import StringIO
from pathlib import Path

import pytest

from brummerbus import Event, EventBus
from brummerbus.watch.counters import Counters
from brummerbus.watch.payloads import (
    BuildEvent,
    ErrorFound,
    LogLine,
    ProcessExited,
    ProcessStarted,
    TestResult,
)
from brummerbus.watch.places import Links
from brummerbus.watch.view.choice import Choice
from brummerbus.watch.view.recent import Recent
from brummerbus.watch.view.scene import Bus, Scene

from .helpers import lines_event

pytest.importorskip("rich", reason="the live view needs the extra 'live'")

from rich.console import Console, Group

from brummerbus.watch.view.frame import draw, scrollable

NAMES = [f"web-{number}" for number in range(16)]


class Stage:
    """Sixteen processes, what they printed, and a terminal."""

    def __init__(self, names: Sequence[str] = NAMES, directory: str = "/nowhere") -> None:
        self.counters = Counters(list(names))
        self.recent = Recent(names)
        links = Links(dict.fromkeys(names, directory))
        self.scene = Scene("Procfile", self.counters, self.recent, links)
        self.choice = Choice(names)
        self.bus: Bus | None = None
        self._numbers = dict.fromkeys(names, 0)
        for name in names:
            self.counters(Event("process.started", ProcessStarted(name, 7, "serve", 100.0)))

    def print(self, name: str, *texts: str, stream: str = "stdout") -> None:
        """Let a process print lines."""
        first = self._numbers[name]
        self._numbers[name] += len(texts)
        lines = [LogLine(name, stream, first + n, text, 100.0) for n, text in enumerate(texts)]
        events = [lines_event(*lines)]
        self.counters.on_lines(events)
        self.recent.on_lines(events)

    def fail(self, name: str, message: str, place: str = "", lines: Sequence[str] = ()) -> None:
        """Let an error be found in the output of a process."""
        text = "\n".join([*lines, message])
        error = ErrorFound(name, "stderr", 1, 1, 100.0, "python", message, place, text)
        self.counters(Event("error.detected", error))

    def fail_test(self, name: str, test: str, detail: str = "") -> None:
        """Let a failed test be found."""
        result = TestResult(name, "pytest", test, False, detail, 100.0)
        self.counters(Event("test.failed", result))

    def end(self, name: str, code: int, *, stopped: bool = False) -> None:
        """Let a process end."""
        self.counters(Event("process.exited", ProcessExited(name, 7, code, 1.0, 101.0, stopped)))

    def press(self, *keys: str) -> None:
        """Press keys, after a frame was drawn."""
        for key in keys:
            self.rows()
            self.choice.shown = scrollable(self.scene, self.choice)
            self.choice.press(key)

    def drawn(self, width: int = 80, height: int = 24) -> str:
        """Return a frame as it is written to a terminal."""
        out = StringIO()
        console = Console(file=out, force_terminal=True, width=width, height=height,
                          color_system="standard", legacy_windows=False)  # fmt: skip
        console.print(Group(*draw(self.scene, self.choice, self.bus, 5.0, (width, height))))
        return out.getvalue()

    def rows(self, width: int = 80, height: int = 24) -> list[str]:
        """Return the rows of a frame, without colours."""
        out = StringIO()
        console = Console(file=out, width=width, height=height, color_system=None)
        console.print(Group(*draw(self.scene, self.choice, self.bus, 5.0, (width, height))))
        rows = out.getvalue().split("\n")[:-1]
        assert len(rows) == height, "a frame fills the terminal, and no row is wrapped"
        return rows

    def output(self) -> list[str]:
        """Return what the window on the output shows."""
        rows = self.rows()
        rows = rows[row_with(rows, "──") + 1 : -1]
        while rows and not rows[-1].strip():
            rows.pop()
        return rows


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    monkeypatch.delenv("NO_COLOR", raising=False)
    return Stage()


def row_with(rows: Sequence[str], part: str) -> int:
    """Return the number of the first row with this text."""
    return next(number for number, row in enumerate(rows) if part in row)


@pytest.fixture
def busy(stage: Stage) -> Stage:
    """Sixteen processes, each of which has printed much, some of which have failed."""
    for name in NAMES:
        stage.print(name, *(f"{name} said {number}" for number in range(30)))
    for number in range(12):
        stage.fail(f"web-{number}", f"ValueError: case {chr(97 + number)}", f"app.py:{number + 1}")
        stage.fail_test("web-1", f"test_a.py::test_{number}", f"assert {number} == 0")
    stage.counters(Event("build.event", BuildEvent("web-2", "make", "failed", "make: ***", 100.0)))
    stage.end("web-15", 3)
    stage.print("web-15", "cannot bind to port 8080", stream="stderr")
    return stage


def test_errors_of_sixteen_processes_are_seen_on_80_by_24(busy: Stage) -> None:
    """With their reasons and places, and everything else has room as well."""
    rows = busy.rows()
    text = "\n".join(rows)
    assert "ValueError: case l" in text
    assert row_with(rows, "ValueError: case l") < 4
    assert rows[row_with(rows, "ValueError: case l")].endswith("app.py:12")
    assert "exit 3: cannot bind to port 8080" in text
    assert "test_a.py::test_11  assert 11 == 0" in text
    assert "make failed 1" in text
    for name in NAMES:
        assert sum(f"{name} " in row for row in rows) >= 1, name
    assert len(busy.output()) >= 4
    assert "12 errors" in rows[0]
    assert "12 of 12 tests failed" in rows[0]


def test_what_failed_is_above_builds_processes_and_output(busy: Stage) -> None:
    """And the bus, if it is wanted, below them."""
    with EventBus() as bus:
        busy.bus = Bus(bus.stats(), 64, [(0.1, 3)])
    rows = busy.rows(height=40)
    order = [
        row_with(rows, part)
        for part in (
            "Errors",
            "Failed tests",
            "Builds",
            "process ",
            "Bus",
            "── output of",
            "filter",
        )
    ]
    assert order == sorted(order)


def test_the_bus_is_shown_only_if_it_is_wanted(busy: Stage) -> None:
    assert "queued" not in "\n".join(busy.rows())


@pytest.mark.parametrize("height", [6, 10, 24, 60])
@pytest.mark.parametrize("width", [40, 80, 200])
@pytest.mark.parametrize("bus", [False, True])
def test_a_frame_fills_any_terminal_exactly(
    width: int, height: int, bus: bool, busy: Stage
) -> None:
    """`rows` compares the number of rows: none is wrapped, none is missing."""
    if bus:
        with EventBus() as made:
            busy.bus = Bus(made.stats(), 64, [(0.1, 3)])
    rows = busy.rows(width, height)
    assert "errors" in rows[0] or width == 40
    assert any("ValueError" in row for row in rows) or height < 10


def test_what_does_not_fit_are_the_processes_that_run_well() -> None:
    names = [f"web-{number}" for number in range(60)]
    stage = Stage(names)
    stage.end("web-59", 1)
    stage.press(*["right"] * 41)
    rows = stage.rows()
    processes = "\n".join(rows[: row_with(rows, "── output")])
    assert "failed 1" in processes
    assert "▸ web-40" in processes
    assert "more" in processes


def test_a_process_that_was_stopped_is_no_failure(stage: Stage) -> None:
    stage.end("web-3", 130, stopped=True)
    text = "\n".join(stage.rows())
    assert "web-3   stopped" in text
    assert "Errors" not in text
    assert "no errors" in text


def test_an_error_that_occurs_again_counts_up_and_comes_first(stage: Stage) -> None:
    for message in ("first", "second", "first"):
        stage.fail("web-1", message)
    rows = stage.rows()
    assert row_with(rows, "first (x2)") < row_with(rows, "second")


def test_a_place_is_a_link_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "app.py").touch()
    (tmp_path / "test_a.py").touch()
    stage = Stage(["web"], str(tmp_path))
    stage.fail("web", "KeyError: 'x'", f"{tmp_path}/app.py:3")
    stage.fail_test("web", "test_a.py::test_b")
    drawn = stage.drawn()
    assert f";file://{tmp_path}/app.py\x1b\\" in drawn
    assert "app.py:3" in drawn
    assert f";file://{tmp_path}/test_a.py\x1b\\" in drawn


class TestOutput:
    """The window on what the processes print."""

    def test_it_follows_the_newest_lines_of_all(self, busy: Stage) -> None:
        """With the name of the process of each."""
        busy.print("web-4", "the newest")
        assert busy.output()[-1].endswith("web-4   the newest")

    def test_a_chosen_process_is_shown_alone(self, busy: Stage) -> None:
        """Its errors and its lines."""
        busy.press("right", "right")
        rows = busy.rows()
        text = "\n".join(rows)
        assert busy.output()[-1].endswith("web-1 said 29")
        assert "web-2 said" not in text
        assert "ValueError: case b" in text
        assert "ValueError: case c" not in text

    def test_it_is_filtered_in_any_case(self, busy: Stage) -> None:
        """Every key of the filter has its effect at once."""
        busy.press("/", *"SAID 27", "enter")
        assert "── with 'SAID 27' ──" in "\n".join(busy.rows())
        assert busy.output()
        assert all("said 27" in row for row in busy.output())

    def test_it_is_scrolled_and_stays_while_lines_arrive(self, busy: Stage) -> None:
        """As far as it goes, and back to following."""
        busy.press("right", "up", "up")
        before = busy.output()
        assert before[-1].endswith("web-0 said 27")
        busy.print("web-0", "new")
        assert busy.output()[-1] == before[-1]
        assert "3 newer below" in "\n".join(busy.rows())
        busy.press("home")
        assert busy.output()[0].endswith("web-0 said 0")
        busy.press("page down")
        assert not busy.output()[0].endswith("web-0 said 0")
        busy.press("end")
        assert busy.output()[-1].endswith("new")

    def test_scrolling_down_to_the_newest_follows_again(self, busy: Stage) -> None:
        """As `less +F` would."""
        busy.press("right", "up", "down")
        busy.print("web-0", "new")
        assert busy.output()[-1].endswith("new")

    def test_errors_are_shown_with_all_their_lines(self, stage: Stage) -> None:
        """In place of the output, and of the short ones above."""
        stage.fail("web-1", "KeyError: 'x'", "app.py:3", ["Traceback:", "  in f"])
        stage.fail_test("web-2", "test_a.py::test_b", "assert 1 == 2")
        stage.press("e")
        rows = stage.rows()
        test = row_with(rows, "web-2   test_a.py::test_b")
        assert rows[test + 1].strip() == "assert 1 == 2"
        first = row_with(rows, "KeyError: 'x'  app.py:3")
        assert [row.strip() for row in rows[first + 1 : first + 4]] == [
            "Traceback:", "in f", "KeyError: 'x'",
        ]  # fmt: skip
        stage.press("right")
        assert "errors of web-0 ── none" in "\n".join(stage.rows())
        stage.press("e")
        assert "Traceback:" not in "\n".join(stage.rows())

    @pytest.mark.parametrize(
        ("printed", "shown"),
        [
            ("[bold]no markup[/bold]", "[bold]no markup[/bold]"),
            ("10 %\r50 %\r100 %", "100 %"),
            ("windows\r", "windows"),
            ("a\tb", "a       b"),
            ("\x1b[2J\x1b[5;5Hmoved", "moved"),
            ("\x1b[?1049l\x1b(0lqk\x1bcreset", "lqkreset"),
            ("\x1b]0;title\x07text", "text"),
            ("bell\x07 back\x08 shift\x0e eight\x9b2J", "bell back shift\\x0e eight\\x9b2J"),
            ("cut \x1b[", "cut"),
            ("", ""),
        ],
    )
    def test_what_is_printed_cannot_control_the_terminal(
        self, printed: str, shown: str, stage: Stage
    ) -> None:
        """Colours alone pass."""
        stage.print("web-0", printed)
        stage.press("right")
        assert stage.output()[0][9:].rstrip() == shown

    def test_it_keeps_its_colours(self, stage: Stage) -> None:
        """Those of the process, reset at the end of the row."""
        stage.print("web-0", "\x1b[31mred")
        stage.press("right")
        assert "\x1b[31mred\x1b[0m" in stage.drawn()


def test_a_flood_pushes_out_its_own_lines_only(stage: Stage) -> None:
    stage.print("web-0", "precious")
    stage.print("web-1", *(str(number) for number in range(5000)))
    assert [line.text for _, line in stage.recent.lines("web-0")] == ["precious"]
    kept = stage.recent.lines("web-1")
    assert [line.text for _, line in kept] == [str(number) for number in range(4000, 5000)]
    assert [number for number, _ in stage.recent.lines()] == [0, *range(4001, 5001)]
