"""`python -m brummerbus watch` as used: real processes, real signals."""

import json
import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .helpers import TIMEOUT, Refusal, Watcher, wait_for


def exact_bytes(watcher: Watcher, process: str, stream: str) -> bytes:
    """Return a stream as it is stored."""
    rows = watcher.rows(
        "SELECT coalesce(raw, text), ending FROM lines WHERE process = ? AND stream = ?"
        " ORDER BY number",
        process,
        stream,
    )
    return b"".join(
        (body if isinstance(body, bytes) else body.encode()) + ending.encode()
        for body, ending in rows
    )


@pytest.mark.slow
class TestNothingIsLost:
    """Whatever a process prints, every byte of it is in the store."""

    @pytest.mark.parametrize(
        ("output", "rows"),
        [
            (b"", 0),
            (b"\n", 1),
            (b"no newline", 1),
            (b"one\r\ntwo\rthree\n\n", 3),
            (b"\xff\xfe\x00\n\xc3", 2),
            (b"x" * 5_000_000 + b"\nend", 2),
            (b"line\n" * 30_000, 30_000),
        ],
        ids=["nothing", "newline", "no newline", "returns", "no utf-8", "5 MB", "flood"],
    )
    def test_the_store_has_every_byte(self, output: bytes, rows: int, watcher: Watcher) -> None:
        """Of both streams, exactly as it was."""
        (watcher.directory / "data").write_bytes(output)
        source = "import sys; data = open('data', 'rb').read(); sys.stdout.buffer.write(data)"
        command = watcher.script("write.py", source + "; sys.stderr.buffer.write(data)")
        report = watcher.report("--", *command.split())
        name = report["processes"][0]["name"]
        assert exact_bytes(watcher, name, "stdout") == output
        assert exact_bytes(watcher, name, "stderr") == output
        assert report["balance"]["lines_read"] == report["balance"]["rows_stored"] == 2 * rows
        assert report["balance"]["adds_up"]
        assert report["by_type"].get("log.line", {}).get("dropped", 0) == 0

    def test_a_process_that_dies_at_once_has_said_all_it_said(self, watcher: Watcher) -> None:
        """What is in the pipe outlives it."""
        source = "import os; os.write(1, b'a' * 60000); os.kill(os.getpid(), 9)"
        report = watcher.report("--", sys.executable, "-c", source)
        assert report["exit_code"] == 128 + 9
        assert watcher.rows("SELECT length(text) FROM lines") == [(60000,)]

    def test_several_floods_at_once_all_arrive(self, watcher: Watcher) -> None:
        """More than the queue and the pipes can hold, from four processes and both streams."""
        source = (
            "import sys\n"
            "for number in range(5000):\n"
            "    print('out', number)\n"
            "    print('err', number, file=sys.stderr)\n"
        )
        command = watcher.script("flood.py", source)
        procfile = watcher.procfile(a=command, b=command, c=command, d=command)
        report = watcher.report(procfile, "--keep-going")
        events = report["balance"]["events"]
        assert 0 < events < 40_000
        assert report["balance"] == {
            "lines_read": 40_000,
            "rows_stored": 40_000,
            "events": events,
            "deliveries": dict.fromkeys(("store", "find", "count", "print"), 40_000),
            "processed": 4 * events,
            "dropped": 0,
            "failed": 0,
            "adds_up": True,
        }
        for process in "abcd":
            expected = "".join(f"err {number}\n" for number in range(5000))
            assert exact_bytes(watcher, process, "stderr") == expected.encode()

    def test_handlers_that_stand_still_slow_the_process_down(self, watcher: Watcher) -> None:
        """Nothing is dropped while another program holds the store; the pipe fills up instead."""
        source = (
            "import os, time\n"
            "print('ready', flush=True)\n"
            "while not os.path.exists('go'): time.sleep(0.01)\n"
            "for number in range(30_000): print('line', number, 300 * 'x')\n"
            "open('through', 'w').close()\n"
        )
        process = watcher.start("--", *watcher.script("flood.py", source).split())
        wait_for(process, "| ready")
        other = sqlite3.connect(watcher.database, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        (watcher.directory / "go").touch()
        time.sleep(1.5)  # not to wait for something: this is the duration of the standstill
        through = (watcher.directory / "through").exists()
        other.execute("ROLLBACK")
        other.close()
        out, _ = process.communicate(timeout=TIMEOUT)
        assert not through
        assert "30,001 lines read, 30,001 rows stored" in out
        assert "0 dropped, 0 failed: all counts agree" in out

    def test_a_process_left_behind_does_not_keep_the_watcher(self, watcher: Watcher) -> None:
        """It holds the pipe open; earlier output is kept."""
        report = watcher.report(watcher.procfile(web="sleep 300 & echo $! && echo said"))
        [process] = report["processes"]
        [(pid,), (said,)] = watcher.rows("SELECT text FROM lines ORDER BY number")
        subprocess.run(["kill", pid], check=True)
        assert process["held_open"]
        assert (process["exit_code"], said) == (0, "said")
        assert report["run_time"] < 60


class TestOutput:
    """Printed and written output."""

    def test_lines_are_printed_with_time_and_name(self, watcher: Watcher) -> None:
        """`HH:MM:SS name | text`."""
        result = watcher.run("--", "sh", "-c", "echo one; echo two >&2")
        lines = result.stdout.splitlines()
        assert {line[9:] for line in lines if " | " in line} == {"sh | one", "sh | two"}
        assert "all counts agree" in lines[-2]
        assert result.stderr == ""

    def test_a_stream_s_lines_are_printed_in_order(self, watcher: Watcher) -> None:
        """Although several workers handle them."""
        result = watcher.run("--", "seq", "20000")
        numbers = [int(line[15:]) for line in result.stdout.splitlines() if " seq | " in line]
        assert numbers == list(range(1, 20_001))

    def test_a_command_line_that_is_no_text_is_stored_with_its_bytes_escaped(
        self, watcher: Watcher
    ) -> None:
        """As its lines are."""
        assert watcher.run("--", "echo", os.fsdecode(b"\xff")).returncode == 0
        assert watcher.rows("SELECT target, command, text FROM runs, processes, lines") == [
            ("echo '\\xff'", "echo '\\xff'", "\\xff")
        ]

    def test_json_alone_is_on_standard_output(self, watcher: Watcher) -> None:
        """The lines go to standard error."""
        result = watcher.run("--json", "--", "echo", "hello")
        assert json.loads(result.stdout)["target"] == "echo hello"
        assert "echo | hello" in result.stderr

    def test_errors_and_tests_are_found_and_stored(self, watcher: Watcher) -> None:
        """A traceback on standard error, tests on standard output, of one process."""
        source = "print('--- PASS: A (0.0s)\\n--- FAIL: B (0.0s)')\n1 / 0\n"
        report = watcher.report("--", *watcher.script("app.py", source).split())
        assert (report["tests"]["passed"], report["tests"]["failed"]) == (1, 1)
        assert [found["message"] for found in report["errors"]["found"]] == [
            "ZeroDivisionError: division by zero"
        ]
        assert watcher.rows("SELECT stream, kind FROM errors") == [("stderr", "python")]
        assert report["by_priority"]["3"]["processed"] > 0

    @pytest.mark.slow
    def test_the_report_tells_of_the_bus_or_of_everything_on_request(
        self, watcher: Watcher
    ) -> None:
        """Otherwise it is about the processes, on one screen."""
        command = watcher.script("app.py", "for n in range(40): print('ERROR', chr(65 + n) * 3)")
        assert "Deliveries by type" in watcher.run("--bus", "--", *command.split()).stdout
        lines = watcher.run("--", *command.split()).stdout.splitlines()
        report = lines[lines.index("") :]
        assert len(report) <= 23
        assert any("... and" in line for line in report)
        full = watcher.run("--full", "--", *command.split()).stdout
        assert "... and" not in full
        assert "\x1b" not in full

    @pytest.mark.slow
    def test_a_reader_that_leaves_does_no_harm(self, watcher: Watcher) -> None:
        """As with `watch ... | head`: all is watched to the end, silently."""
        process = watcher.start("--", "seq", "50000")
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(TIMEOUT) == 0
        assert process.stderr.read() == ""
        assert watcher.rows("SELECT count(*) FROM lines") == [(50_000,)]


class TestExitCode:
    """That of the process that failed first."""

    def test_all_well_is_0(self, watcher: Watcher) -> None:
        """No process failed."""
        assert watcher.run(watcher.procfile(a="true", b="true")).returncode == 0

    @pytest.mark.slow
    def test_the_first_to_fail_counts_not_the_first_in_the_file(self, watcher: Watcher) -> None:
        """The first process waits for the last action of the second, and longer."""
        slow = "until test -e gone; do sleep 0.02; done; sleep 1.5; exit 3"
        procfile = watcher.procfile(slow=slow, quick="touch gone && exit 4", fine="true")
        assert watcher.run(procfile, "--keep-going").returncode == 4

    def test_a_death_by_signal_is_128_and_its_number(self, watcher: Watcher) -> None:
        """As in a shell."""
        assert watcher.run("--", "sh", "-c", "kill -TERM $$").returncode == 128 + 15

    def test_a_command_runs_with_its_own_options(self, watcher: Watcher) -> None:
        """Nothing after the dashes is the watcher's."""
        command = ("--", sys.executable, "-c", "import sys; print(sys.argv[1:])", "--db", "--", "x")
        assert "['--db', '--', 'x']" in watcher.run(*command).stdout


class TestRefusals:
    """One line, exit code 2, and nothing was started."""

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["missing"], "watch: missing: No such file or directory"),
            ([], "watch: Procfile: No such file or directory"),
            (
                ["--", "no-such-command"],
                "watch: no-such-command: command not found: no-such-command",
            ),
            (["--"], "watch: no command after '--'"),
            (["--report", "r.txt", "--", "true"], "watch: --report: expected a name that ends in"),
            (["--links", "emacs", "--", "true"], "watch: --links: expected file, kitty, vscode"),
            (["--report", "no/r.html", "--", "true"], "watch: --report: no directory 'no'"),
            (["--db", "no/log.db", "--", "true"], "watch: no/log.db: No such file or directory"),
        ],
    )
    def test_it_is_said_in_one_line(
        self, arguments: list[str], message: str, refusal: Refusal
    ) -> None:
        """Files, commands and options."""
        said = refusal(*arguments)
        assert said.startswith(message)
        assert said.count("\n") == 1

    @pytest.mark.parametrize("bad", ["web serve", "web: no-such-command", "web: 'open"])
    def test_one_bad_line_and_no_other_process_is_started(
        self, bad: str, watcher: Watcher, refusal: Refusal
    ) -> None:
        """The valid line is before it."""
        (watcher.directory / "Procfile").write_text(f"first: touch started\n{bad}\n")
        assert refusal("Procfile").count("\n") == 1
        assert not (watcher.directory / "started").exists()

    def test_the_command_ends_with_that_code(self, watcher: Watcher) -> None:
        """In a process."""
        result = watcher.run("missing")
        message = "watch: missing: No such file or directory\n"
        assert (result.returncode, result.stdout, result.stderr) == (2, "", message)

    def test_a_program_that_the_system_refuses_stops_the_others(self, watcher: Watcher) -> None:
        """It exists and is executable, so only starting it shows that it is not a program."""
        broken = watcher.directory / "broken"
        broken.write_bytes(b"\x00\x01\x02")
        broken.chmod(0o755)
        result = watcher.run(watcher.procfile(web="sleep 300", bad="./broken", late="touch late"))
        assert result.returncode == 2
        assert "bad: cannot start: " in result.stderr
        assert not (watcher.directory / "late").exists()

    def test_options_behind_a_procfile_are_options(
        self, watcher: Watcher, refusal: Refusal
    ) -> None:
        """As well as those before it."""
        procfile = watcher.procfile(a="true")
        assert "unrecognized arguments: --nonsense" in refusal(procfile, "--nonsense")
        assert watcher.run("Procfile", "--json").stdout.startswith("{")


_TWO_FLOODS = """\
import sqlite3
import time

def stored():
    with sqlite3.connect("log.db", timeout=60) as connection:
        return connection.execute("SELECT count(*) FROM line_data").fetchone()[0]

for n in range(100):
    print("line", n, "x" * 80, flush=n == 99)
while stored() < 100:  # else all lines may be stored in one step, which fails as a whole
    time.sleep(0.02)
for n in range(100, 5000):
    print("line", n, "x" * 80)
"""


def test_lines_that_a_full_disk_does_not_take_are_an_error_and_an_exit_code(
    watcher: Watcher,
) -> None:
    """The processes have succeeded; what is in the file is counted, and the rest reported."""
    script = watcher.script("flood.py", _TWO_FLOODS)
    watch = [sys.executable, "-m", "brummerbus", "watch", "--db", "log.db", "--json", "--"]
    command = [*watch, *script.split()]
    # A limit on the size of files: writing beyond it fails as on a full disk.
    result = subprocess.run(
        ["bash", "-c", 'ulimit -f 200; exec "$@"', "bash", *command],
        cwd=watcher.directory,
        capture_output=True,
        encoding="utf-8",
        timeout=TIMEOUT,
        check=False,
    )
    report = json.loads(result.stdout)
    balance = report["balance"]
    assert result.returncode == 1
    assert 0 < balance["rows_stored"] < balance["lines_read"] == 5000
    assert any(error.startswith("store: ") for error in report["handler_errors"])
    assert f"{5000 - balance['rows_stored']:,} lines not stored" in result.stderr
    assert result.stderr.count(" | line ") == 5000, "lines are printed all the same"
    assert watcher.rows("SELECT ended IS NOT NULL FROM runs") == [(1,)]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_an_output_that_is_full_is_an_error_and_an_exit_code(watcher: Watcher) -> None:
    """The lines are stored all the same."""
    with Path("/dev/full").open("w") as full:
        result = subprocess.run(
            [sys.executable, "-m", "brummerbus", "watch", "--db", "log.db", "--", "seq", "3"],
            cwd=watcher.directory,
            stdout=full,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            timeout=TIMEOUT,
            check=False,
        )
    assert result.returncode == 1
    assert "watch: standard output: No space left on device" in result.stderr
    assert watcher.rows("SELECT count(*) FROM lines") == [(3,)]
