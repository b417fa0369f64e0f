"""`python -m brummerbus log`: lines and errors found again."""

import argparse
import time
from pathlib import Path

import pytest

from brummerbus import Event
from brummerbus.watch import log_command
from brummerbus.watch.payloads import ErrorFound, LogLine, ProcessStarted
from brummerbus.watch.store import LogStore

from .helpers import lines_event

NOON = time.mktime((2024, 5, 17, 12, 0, 0, 0, 0, -1))
ERROR = ErrorFound("api", "stderr", 0, 1, NOON + 30, "python", "KeyError", "", "Trace\nKeyError")


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store of two runs: a line of an earlier one, then two processes with a line a minute."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "brummerbus.db"
    with LogStore(path) as store:
        store.on_lines([lines_event(LogLine("api", "stdout", 0, "earlier", NOON - 3600))])
    with LogStore(path) as store:
        for name in ("api", "web"):
            started = ProcessStarted(name, 7, "serve", NOON)
            store.on_process(Event("process.started", started))
            for number in range(3):
                line = LogLine(name, "stdout", number, f"line {number}", NOON + 60 * number)
                store.on_lines([lines_event(line)])
        store.on_errors([Event("error.detected", ERROR)])
    return path


def log(*arguments: str) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser()
    log_command.add_arguments(parser)
    return log_command.run(parser.parse_args(arguments))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--process", "web"], ["00 web | line 0", "01 web | line 1", "02 web | line 2"]),
        (["--tail", "2"], ["02 api | line 2", "02 web | line 2"]),
        (["--since", "2024-05-17 12:01", "--until", "2024-05-17T12:02"],
         ["01 api | line 1", "01 web | line 1"]),
        (["--errors"], ["00:30 api | Trace", "00:30 api | KeyError"]),
        (["--process", "api", "--errors", "--tail", "20"],
         ["00:30 api | Trace", "00:30 api | KeyError"]),
        (["--process", "web", "--errors"], []),
        (["--run", "all", "--until", "2024-05-17 12:00"], ["00 api | earlier"]),
        (["--run", "1"], ["00 api | earlier"]),
        (["--since", "5m"], []),
    ],
)  # fmt: skip
def test_lines_are_printed_as_watch_prints_them(
    arguments: list[str], expected: list[str], database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert log(*arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(expected)
    for line, wanted in zip(lines, expected, strict=True):
        minute, rest = wanted.split(" ", 1)
        hour = "11" if "earlier" in wanted else "12"
        assert line.startswith(f"{hour}:{minute}")
        assert line.split(" ", 1)[1] == rest


def test_a_time_without_a_date_is_today(monkeypatch: pytest.MonkeyPatch) -> None:
    moment = log_command._moment("9:30")
    today = time.localtime()
    assert time.localtime(moment)[:5] == (*today[:3], 9, 30)


@pytest.mark.parametrize(
    ("ago", "seconds"), [("30s", 30), ("10m", 600), ("1.5h", 5400), ("2d", 172_800)]
)
def test_a_time_ago_is_counted_from_now(ago: str, seconds: float) -> None:
    assert time.time() - log_command._moment(ago) == pytest.approx(seconds, abs=5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--since", "yesterday"], "expected a time such as"),
        (["--since", "25:00"], "expected a time such as"),
        (["--tail", "0"], "expected a number from 1 up, got '0'"),
        (["--tail", "-3"], "expected a number from 1 up, got '-3'"),
        (["--run", "first"], "expected 'last', 'all' or a number"),
    ],
)
def test_a_wrong_argument_is_refused(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        log(*arguments)
    assert message in capsys.readouterr().err


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


def test_an_unknown_process_is_refused_with_those_there_are(
    database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert log("--process", "wbe") == 2
    assert "no process 'wbe' in brummerbus.db; known: api, web" in capsys.readouterr().err
