"""`python -m brummerbus log`: lines, errors and runs found again."""

import argparse
import csv
import json
import os
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from brummerbus import Event
from brummerbus.watch.log import arguments, command
from brummerbus.watch.payloads import ErrorFound, LogLine, ProcessExited, ProcessStarted
from brummerbus.watch.store import LogStore

from ..helpers import TIMEOUT, lines_event  # noqa: TID252

NOON = time.mktime((2024, 5, 17, 12, 0, 0, 0, 0, -1))
ERROR = ErrorFound("api", "stderr", 0, 1, NOON + 30, "python", "KeyError", "", "Trace\nKeyError")


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store of two runs: a line of an earlier one, then two processes with a line a minute."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "brummerbus.db"
    with LogStore(path, "make test") as store:
        store.on_lines([lines_event(LogLine("api", "stdout", 0, "earlier", NOON - 3600))])
        store.on_process(Event("process.exited", ProcessExited("api", 7, 2, 1.0, NOON)))
    with LogStore(path, "Procfile") as store:
        for name in ("api", "web"):
            started = ProcessStarted(name, 7, "serve", NOON)
            store.on_process(Event("process.started", started))
            for number in range(3):
                line = LogLine(name, "stdout", number, f"line {number}", NOON + 60 * number)
                store.on_lines([lines_event(line)])
        store.on_lines([
            lines_event(LogLine("web", "stderr", 0, "\\xff", NOON + 90, "", b"\xff"))
        ])  # fmt: skip
        store.on_errors([Event("error.detected", ERROR)])
    return path


def parsed(*words: str) -> argparse.Namespace:
    """Return the options as the command gets them."""
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args(words)


def log(*words: str) -> int:
    """Run the command."""
    return command.run(parsed(*words))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--process", "web", "--stream", "out"],
         ["00 web | line 0", "01 web | line 1", "02 web | line 2"]),
        (["--tail", "2"], ["02 api | line 2", "02 web | line 2"]),
        (["--since", "2024-05-17 12:01", "--until", "2024-05-17T12:01:30"],
         ["01 api | line 1", "01 web | line 1"]),
        (["--errors"], ["00:30 api | Trace", "00:30 api | KeyError"]),
        (["--process", "api", "--errors", "--tail", "20"],
         ["00:30 api | Trace", "00:30 api | KeyError"]),
        (["--process", "web", "--errors"], []),
        (["--run", "all", "--until", "2024-05-17 12:00"], ["00 api | earlier"]),
        (["--run", "1"], ["00 api | earlier"]),
        (["--since", "5m"], []),
        (["--stream", "err"], ["01:30 web | \\xff"]),
        (["--grep", "[02]$", "--process", "api"], ["00 api | line 0", "02 api | line 2"]),
        (["--grep", "^LINE 1"], []),
        (["--grep", "(?i)^LINE 1", "--process", "api", "--process", "web"],
         ["01 api | line 1", "01 web | line 1"]),
        (["--grep", "^line 1", "--redact", "line (1)", "--process", "web"],
         ["01 web | line [redacted]"]),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("database")
def test_lines_are_printed_as_watch_prints_them(
    words: list[str], expected: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert log(*words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(expected)
    for line, wanted in zip(lines, expected, strict=True):
        minute, rest = wanted.split(" ", 1)
        hour = "11" if "earlier" in wanted else "12"
        assert line.startswith(f"{hour}:{minute}")
        assert line.split(" ", 1)[1] == rest


def test_lines_are_aligned_and_control_no_terminal(
    database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As `watch` prints them, with colours where they are wanted."""
    text = "10%\r\x1b[2J\x1b[31mred"
    with LogStore(database) as store:
        for name in ("a", "bcd"):
            store.on_process(Event("process.started", ProcessStarted(name, 7, "serve", NOON)))
        store.on_lines([lines_event(LogLine("a", "stdout", 0, text, NOON))])
    assert log() == 0
    assert capsys.readouterr().out.endswith(" a   | red\n")
    assert log("--color", "always") == 0
    assert capsys.readouterr().out.endswith(" a   | \x1b[0m\x1b[31mred\x1b[0m\n")


@pytest.mark.usefixtures("database")
class TestJson:
    """One object per line, with the fields that the documentation names."""

    def test_lines(self, capsys: pytest.CaptureFixture[str]) -> None:
        """With their ends, and bytes that are no text as base64."""
        assert log("--json", "--process", "web", "--tail", "2") == 0
        first, last = map(json.loads, capsys.readouterr().out.splitlines())
        assert first == {
            "run": 2, "process": "web", "stream": "stderr", "number": 0, "time": NOON + 90,
            "text": "\\xff", "ending": "", "raw": "/w==",
        }  # fmt: skip
        assert (last["text"], last["ending"], last["raw"]) == ("line 2", "\n", None)

    def test_errors(self, capsys: pytest.CaptureFixture[str]) -> None:
        """With all their lines in one text."""
        assert log("--json", "--errors", "--redact", "Key") == 0
        assert json.loads(capsys.readouterr().out) == {
            "run": 2, "process": "api", "stream": "stderr", "first": 0, "last": 1,
            "time": NOON + 30, "kind": "python", "message": "[redacted]Error", "location": "",
            "text": "Trace\n[redacted]Error",
        }  # fmt: skip

    def test_runs(self, capsys: pytest.CaptureFixture[str]) -> None:
        """With their processes."""
        assert log("--json", "--runs") == 0
        first, second = map(json.loads, capsys.readouterr().out.splitlines())
        assert first["processes"] == [
            {"process": "api", "pid": 7, "command": "", "started": NOON - 1, "exited": NOON,
             "exit_code": 2}
        ]  # fmt: skip
        chosen = ("run", "target", "state", "lines", "size", "errors", "exit_code")
        assert [first[name] for name in chosen] == [1, "make test", "ended", 1, 7, 0, 2]
        assert [second[name] for name in chosen] == [2, "Procfile", "ended", 7, 40, 1, None]
        assert set(first) == {*chosen, "started", "ended", "processes"}


def test_the_runs_are_a_table(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the exit code, or what became of the watcher."""
    with LogStore(database, "cargo run token=abc"):
        assert log("--runs", "--redact", "token=(.+)") == 0
    head, *rows = (line.split() for line in capsys.readouterr().out.splitlines())
    assert head == ["run", "started", "seconds", "exit", "lines", "errors", "target"]
    assert [row[0] for row in rows] == ["1", "2", "3"]
    assert rows[0][-5:] == ["2", "1", "0", "make", "test"]
    assert rows[1][-4:] == ["-", "7", "1", "Procfile"]
    assert rows[2][3:] == ["running", "0", "0", "cargo", "run", "token=[redacted]"]


@pytest.mark.usefixtures("database")
class TestExport:
    """Files by their suffix, for their owner alone."""

    @pytest.mark.parametrize("name", ["x.log", "x.TXT"])
    def test_plain_text_has_date_and_zone(self, name: str, tmp_path: Path) -> None:
        """It is read on another day."""
        assert log("--export", name, "--errors") == 0
        offset = time.strftime("%z", time.localtime(NOON))
        stamp = f"2024-05-17T12:00:30.000{offset[:3]}:{offset[3:]}"
        expected = f"{stamp} api | Trace\n{stamp} api | KeyError\n"
        assert (tmp_path / name).read_text() == expected
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600

    def test_plain_text_has_no_colours(self, database: Path, tmp_path: Path) -> None:
        """They are in the store, and in JSON."""
        with LogStore(database) as store:
            store.on_lines([lines_event(LogLine("api", "stdout", 0, "\x1b[31mred\x1b[0m", NOON))])
        assert log("--export", "x.log") == 0
        assert (tmp_path / "x.log").read_text().endswith(" api | red\n")

    @pytest.mark.parametrize("suffix", ["jsonl", "ndjson"])
    def test_json_lines_are_those_of_the_option(
        self, suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The same fields."""
        assert log("--export", f"x.{suffix}", "--run", "all") == 0
        assert capsys.readouterr().out == ""
        log("--json", "--run", "all")
        assert (tmp_path / f"x.{suffix}").read_text() == capsys.readouterr().out

    def test_csv_has_a_header(self, tmp_path: Path) -> None:
        """And a row per line."""
        assert log("--export", "x.csv", "--process", "api") == 0
        with (tmp_path / "x.csv").open(newline="") as file:
            rows = list(csv.reader(file))
        assert rows[0] == ["run", "process", "stream", "number", "time", "text"]
        assert rows[1] == ["2", "api", "stdout", "0", str(NOON), "line 0"]
        assert len(rows) == 4

    def test_csv_of_errors_has_their_fields(self, tmp_path: Path) -> None:
        """Several lines in one cell."""
        assert log("--export", "x.csv", "--errors") == 0
        with (tmp_path / "x.csv").open(newline="") as file:
            head, row = csv.reader(file)
        assert dict(zip(head, row, strict=True))["text"] == "Trace\nKeyError"

    def test_nothing_to_export_is_an_empty_file(self, tmp_path: Path) -> None:
        """In CSV with its header."""
        assert log("--export", "x.csv", "--since", "1s") == 0
        assert (tmp_path / "x.csv").read_text() == "run,process,stream,number,time,text\n"
        assert log("--export", "x.log", "--since", "1s") == 0
        assert (tmp_path / "x.log").read_text() == ""

    def test_a_file_that_cannot_be_written_is_an_error(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """And an exit code."""
        assert log("--export", "none/x.csv") == 1
        assert capsys.readouterr().err == "log: none/x.csv: No such file or directory\n"


def test_a_time_without_a_date_is_today() -> None:
    moment = arguments._moment("9:30")
    today = time.localtime()
    assert time.localtime(moment)[:5] == (*today[:3], 9, 30)


@pytest.mark.parametrize(
    ("ago", "seconds"), [("30s", 30), ("10m", 600), ("1.5h", 5400), ("2d", 172_800)]
)
def test_a_time_ago_is_counted_from_now(ago: str, seconds: float) -> None:
    assert time.time() - arguments._moment(ago) == pytest.approx(seconds, abs=5)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--since", "yesterday"], "expected a time such as"),
        (["--since", "25:00"], "expected a time such as"),
        (["--tail", "0"], "expected a number from 1 up, got '0'"),
        (["--tail", "-3"], "expected a number from 1 up, got '-3'"),
        (["--run", "first"], "expected 'last', 'all' or a number"),
        (["--stream", "both"], "expected 'out' or 'err', got 'both'"),
        (["--grep", "a(b"], "expected a regular expression, got 'a(b': missing ), unterminated"),
        (["--export", "x.xml"],
         "expected a name that ends in .log, .txt, .jsonl, .ndjson, .csv, got 'x.xml'"),
    ],
)  # fmt: skip
def test_a_wrong_argument_is_refused(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        parsed(*words)
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--runs", "--grep", "x"], "--grep has no meaning with --runs"),
        (["--follow", "--until", "9:30"], "--until has no meaning with --follow"),
        (["--follow", "--export", "x.csv"], "--export has no meaning with --follow"),
        (["--export", "x.csv", "--json"], "--json has no meaning with --export"),
        (["--redact", "("], "--redact: '(' is no regular expression"),
        (["--process", "wbe"], "brummerbus.db: no process 'wbe' in it; known: api, web"),
    ],
)
@pytest.mark.usefixtures("database")
def test_what_cannot_be_shown_is_said_in_one_line(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert log(*words) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith(f"log: {message}")
    assert output.err.count("\n") == 1


def test_a_missing_store_is_said_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert log("--db", str(tmp_path / "none.db")) == 2
    assert capsys.readouterr().err == f"log: {tmp_path}/none.db: no such file; 'watch' writes it\n"
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_store_is_said_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "Procfile"
    path.write_text("web: serve\n" * 100)
    assert log("--db", str(path)) == 2
    assert capsys.readouterr().err == f"log: {path}: file is not a database\n"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")  # noqa: PTH110
def test_an_output_that_is_full_is_an_error_and_an_exit_code(database: Path) -> None:
    with Path("/dev/full").open("w") as full:
        result = run_log(database, stdout=full)
    assert result.returncode == 1
    assert result.stderr == "log: standard output: No space left on device\n"


def test_a_reader_that_leaves_does_no_harm(database: Path) -> None:
    """What is in the buffer is not written at the interpreter's exit either."""
    read, write = os.pipe()
    os.close(read)
    result = run_log(database, stdout=write)
    os.close(write)
    assert (result.returncode, result.stderr) == (0, "")


def run_log(database: Path, **streams: Any) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "brummerbus", "log", "--db", str(database)],
        stderr=subprocess.PIPE,
        text=True,
        timeout=TIMEOUT,
        check=False,
        **streams,
    )
