"""What runs and when: formation, order, restarts, terminals; real processes."""

import argparse
import signal
import subprocess
import sys
import urllib.request
from contextlib import suppress

import pytest

from brummerbus.watch import command
from brummerbus.watch.processes import options
from brummerbus.watch.processes.procfile import CommandError
from helpers.ports import free_port
from helpers.waiting import poll

from .helpers import TIMEOUT, Refusal, Watcher, wait_for

pytestmark = pytest.mark.slow

RAILS = """\
# bin/rails server, and what jsbundling-rails and cssbundling-rails add
web: env RAILS_ENV=development {python} -m http.server --bind 127.0.0.1 $PORT
js: {python} bundler.py build --watch
css: {python} bundler.py css:watch
release: echo must not run
"""
BUNDLER = """\
import os, sys
print(sys.argv[1], os.environ["PS"], os.environ["PORT"], os.environ["SECRET"], flush=True)
sys.stdin.read()  # as esbuild and tailwind do: they end when standard input does
"""


def answers(port: int) -> bool:
    """Whether a web server answers."""
    with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as page:
        return bool(page.status == 200)
    return False


def said(lines: list[str] | str) -> list[str]:
    """Return what processes have printed, with their names: "web: text"."""
    if isinstance(lines, str):
        lines = lines.splitlines()
    split = [line[9:].rstrip("\n").partition("| ") for line in lines if " | " in line]
    return [f"{name.strip()}: {text}" for name, _, text in split]


def test_the_procfile_of_a_rails_application_runs(watcher: Watcher) -> None:
    """The server answers on its port, and the bundlers watch until they are stopped."""
    watcher.script("bundler.py", BUNDLER)
    (watcher.directory / ".env").write_text('export SECRET="two words"\n')
    (watcher.directory / "Procfile.dev").write_text(RAILS.replace("{python}", sys.executable))
    port = free_port()
    process = watcher.start("-f", "Procfile.dev", "-p", str(port), "-m", "all=1,release=0")
    lines = wait_for(process, "build js.1", "css:watch css.1")
    poll(lambda: answers(port))
    lines += wait_for(process, '"GET / HTTP')
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=TIMEOUT)
    assert f"js: build js.1 {port + 100} two words" in said(lines)
    assert f"css: css:watch css.1 {port + 200} two words" in said(lines)
    assert err == "stopping; press Ctrl-C again to kill\n"
    assert "must not run" not in out


class TestChosen:
    """Which processes run."""

    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [
            ([], ["a", "b"]),
            (["Procfile"], ["a", "b"]),
            (["Procfile", "b"], ["b"]),
            (["b"], ["b"]),
            (["-f", "Procfile", "b"], ["b"]),
            (["b", "-m", "b=2"], ["b.1", "b.2"]),
        ],
    )
    def test_those_that_are_named_are_chosen(
        self,
        arguments: list[str],
        expected: list[str],
        watcher: Watcher,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """With and without the name of the Procfile."""
        watcher.procfile(a="true", b="true")
        monkeypatch.chdir(watcher.directory)
        chosen = options.setup(arguments_of(arguments)).commands
        assert [command.name for command in chosen] == expected

    def test_those_that_are_chosen_run(self, watcher: Watcher) -> None:
        """Each has the number of its instance."""
        line = "echo ${PS##*.}"
        result = watcher.run(watcher.procfile(a=line, b=line), "b", "-m", "b=2", "--keep-going")
        assert sorted(said(result.stdout)) == ["b.1: 1", "b.2: 2"]

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["c"], "c: No such file or directory"),
            (["Procfile", "c"], "no process 'c'; there are: a"),
            (["--ready", "a"], "--ready: expected 'NAME=...', got 'a'"),
            (["--ready", "a=("], "--ready: "),
            (["--ready", "a=:http"], "--ready: expected a port"),
            (["--ready", "b=exit"], "--ready: no process 'b'; there are: a"),
            (["--after", "a=b"], "--after: no process 'b'"),
            (["--after", "a=a"], "--after: these wait for each other: a after a"),
            (["--restart", "often"], "--restart: expected one of never, on-failure, always"),
            (["--restart", "b=always"], "--restart: no process 'b'"),
            (["--attach", "b"], "--attach: no process 'b'"),
            (["--ready", "x=port", "--", "true"], "--ready: no process 'x'"),
            (["--ready", "true=port", "--", "true"], "--ready: true has no PORT"),
        ],
    )
    def test_what_makes_no_sense_is_refused(
        self, arguments: list[str], message: str, watcher: Watcher, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Before anything is started."""
        watcher.procfile(a="touch started")
        monkeypatch.chdir(watcher.directory)
        with pytest.raises(CommandError) as caught:
            options.setup(arguments_of(arguments))
        assert message in str(caught.value)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["a", "--", "true"], "expected a Procfile or a command"),
            (["-p", "0"], "argument -p/--port"),
            (["--ready", "a"], "watch: --ready: expected 'NAME=...', got 'a'"),
        ],
    )
    def test_it_is_said_and_nothing_is_started(
        self, arguments: list[str], message: str, watcher: Watcher, refusal: Refusal
    ) -> None:
        """With exit code 2."""
        watcher.procfile(a="touch started")
        assert message in refusal(*arguments)
        assert not (watcher.directory / "started").exists()


def arguments_of(words: list[str]) -> argparse.Namespace:
    """Return the arguments of `watch`."""
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args(words)


class TestOrder:
    """A process is started once those before it are ready."""

    def test_after_a_line(self, watcher: Watcher) -> None:
        """The line may come in pieces, and without an end."""
        db = watcher.script(
            "db.py",
            "import os, time\n"
            "print('starting', flush=True); assert not os.path.exists('web')\n"
            "print('Listening on ', end='', flush=True); print('5432', end='', flush=True)\n"
            "while not os.path.exists('web'): time.sleep(0.01)\n",
        )
        result = watcher.run(
            watcher.procfile(web="touch web; exec sleep 600", db=db),
            *("--after", "web=db", "--ready", r"db=Listening on \d"),
        )
        assert result.returncode == 0
        assert (watcher.directory / "web").exists()

    def test_after_its_port_answers(self, watcher: Watcher) -> None:
        """`port` is its own; the server listens before it prints anything."""
        db = f"{sys.executable} -m http.server --bind 127.0.0.1 $PORT >&2"
        web = watcher.script(
            "web.py",
            "import socket, sys; socket.create_connection(('127.0.0.1', int(sys.argv[1])))\n",
        )
        port = free_port()
        result = watcher.run(
            watcher.procfile(db=db, web=f"{web} {port}"),
            *("-p", str(port), "--after", "web=db", "--ready", "db=port"),
        )
        assert result.returncode == 0
        assert result.stderr.startswith("web ended with code 0")

    def test_after_its_end(self, watcher: Watcher) -> None:
        """Its end does not stop the others, and all instances wait for it."""
        result = watcher.run(
            watcher.procfile(web="test -e migrated && echo up", migrate="touch migrated"),
            *("-m", "all=1,web=2", "--after", "web=migrate", "--ready", "migrate=exit"),
            "--keep-going",
        )
        assert sorted(said(result.stdout)) == ["web.1: up", "web.2: up"]
        assert (result.returncode, result.stderr) == (0, "")

    @pytest.mark.parametrize("options", [[], ["--keep-going"]])
    def test_it_is_not_started_if_that_never_happens(
        self, options: list[str], watcher: Watcher
    ) -> None:
        """The exit code is that of what failed."""
        result = watcher.run(
            watcher.procfile(web="touch web", migrate="exit 3"),
            *("--after", "web=migrate", "--ready", "migrate=exit"),
            *options,
        )
        assert result.returncode == 3
        assert "web is not started" in result.stderr or not options
        assert not (watcher.directory / "web").exists()


class TestRestart:
    """What ends is started again."""

    def test_what_fails_is_restarted_until_it_succeeds(self, watcher: Watcher) -> None:
        """Its lines are numbered on, and the last exit code counts."""
        line = "echo try >> tries; cat tries; test $(wc -l < tries) = 3"
        result = watcher.run(
            watcher.procfile(web=line), "--restart", "on-failure", "--restart-delay", "0.05"
        )
        assert result.returncode == 0
        assert said(result.stdout) == ["web: try"] * 6
        assert result.stderr.splitlines() == [
            "web ended with code 1: restart in 0.05 s",
            "web ended with code 1: restart in 0.1 s",
        ]
        assert watcher.rows("SELECT number FROM lines ORDER BY number") == [(n,) for n in range(6)]
        pids = [line.split()[-1] for line in result.stdout.splitlines() if "started, pid " in line]
        assert watcher.rows("SELECT pid, exit_code FROM processes") == [(int(pids[-1]), 0)]
        assert "all counts agree" in result.stdout

    def test_always_means_after_a_success_too_and_for_one_process_only(
        self, watcher: Watcher
    ) -> None:
        """Until another one ends."""
        other = "until test $(wc -l < tries) = 2; do sleep 0.02; done"
        result = watcher.run(
            watcher.procfile(web="echo try >> tries; test $(wc -l < tries) = 1 || sleep 600",
                             other=f"touch tries; {other}"),
            *("--restart", "web=always", "--restart-delay", "0"),
        )  # fmt: skip
        assert result.returncode == 0
        assert result.stderr.startswith("web ended with code 0: restart in 0 s\nother ended")

    def test_a_signal_ends_the_restarts(self, watcher: Watcher) -> None:
        """Also while one waits for its restart."""
        process = watcher.start(
            watcher.procfile(web="exit 4"), "--restart", "always", "--restart-delay", "600"
        )
        wait_for(process, "web exited with code 4")
        process.send_signal(signal.SIGTERM)
        assert process.wait(TIMEOUT) == 4


class TestStreams:
    """Standard input, and terminals."""

    STREAMS = "import sys; print([s.isatty() for s in (sys.stdin, sys.stdout, sys.stderr)])"

    @pytest.mark.parametrize(("options", "expected"), [([], False), (["--pty"], True)])
    def test_a_process_has_terminals_if_asked(
        self, options: list[str], expected: bool, watcher: Watcher
    ) -> None:
        """All three streams."""
        script = watcher.script("app.py", self.STREAMS)
        result = watcher.run(*options, "--", *script.split())
        assert str([expected] * 3) in result.stdout

    def test_terminals_change_no_byte_and_keep_the_streams_apart(self, watcher: Watcher) -> None:
        """Many lines, and the last one without an end."""
        source = (
            "import sys\n"
            "for number in range(3000):\n"
            "    print('out', number); print('err', number, file=sys.stderr)\n"
            "print('end', end='')\n"
        )
        report = watcher.report("--pty", "--", *watcher.script("app.py", source).split())
        assert report["balance"]["adds_up"]
        for stream in ("out", "err"):
            rows = watcher.rows(
                f"SELECT text, ending FROM lines WHERE stream = 'std{stream}' ORDER BY number"
            )
            assert rows[:3000] == [(f"{stream} {number}", "\n") for number in range(3000)]
        assert rows[3000:] == []
        assert watcher.rows("SELECT text, ending FROM lines WHERE number = 3000") == [("end", "")]

    @pytest.mark.parametrize("text", ["one\ntwo\n", ""])
    @pytest.mark.parametrize("options", [[], ["--pty"]])
    def test_standard_input_goes_to_the_attached_process(
        self, options: list[str], text: str, watcher: Watcher
    ) -> None:
        """To its end."""
        (watcher.directory / "Procfile").write_text("web: cat; echo end\nother: sleep 600\n")
        result = subprocess.run(
            [sys.executable, "-m", "brummerbus", "watch", *options, "--attach", "web"],
            cwd=watcher.directory,
            input=text,
            capture_output=True,
            encoding="utf-8",
            timeout=TIMEOUT,
            check=False,
        )
        assert said(result.stdout) == [f"web: {line}" for line in (*text.split(), "end")]
        assert result.returncode == 0

    def test_a_command_of_its_own_reads_nothing(self, watcher: Watcher) -> None:
        """It may be one that waits for the end of standard input."""
        assert watcher.run("--", "cat").returncode == 0


class TestColours:
    """Colours of names and of processes, on standard output."""

    PRINT = "print('\\x1b[31mred\\x1b[2J'); print('plain')"

    def test_there_are_none_where_there_is_no_terminal(self, watcher: Watcher) -> None:
        """Nor anything else for a terminal; the store has it."""
        script = watcher.script("app.py", self.PRINT)
        result = watcher.run(watcher.procfile(web=script, longer="true"), "--keep-going")
        assert "\x1b" not in result.stdout
        assert sorted(said(result.stdout)) == ["web: plain", "web: red"]
        assert " web    | red\n" in result.stdout
        assert watcher.rows("SELECT text FROM lines WHERE number = 0") == [("\x1b[31mred\x1b[2J",)]

    def test_they_are_kept_if_asked_and_end_with_their_line(self, watcher: Watcher) -> None:
        """The name has a colour of its own."""
        script = watcher.script("app.py", self.PRINT)
        result = watcher.run(watcher.procfile(web=script), "--color", "always")
        lines = [line[:5] + line[13:] for line in result.stdout.splitlines() if " | " in line]
        start = "\x1b[36m web | \x1b[0m"
        assert lines[0].startswith(f"{start}\x1b[31mred\x1b[0m")
        assert lines[1].startswith(f"{start}plain")
