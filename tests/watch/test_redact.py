"""Secrets are masked before anything is done with a line."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from brummerbus.watch.lines import Lines
from brummerbus.watch.redact import RedactError, Redactor, read_patterns

from .helpers import TIMEOUT, Refusal, Watcher

SECRET = "hunter2-4711"


@pytest.mark.parametrize(
    ("patterns", "text", "expected"),
    [
        ([r"hunter\d"], "a hunter2 b hunter3", "a [redacted] b [redacted]"),
        ([r"password=(\S+)"], "password=x y", "password=[redacted] y"),
        ([r"(\w+):(\w+)@"], "as joe:pw@host", "as [redacted]:[redacted]@host"),
        ([r"key (a)|token b"], "token b", "[redacted]"),
        ([r"((a)b)c"], "abc", "[redacted]c"),
        ([r"(?=(abc))a(b)"], "abc", "[redacted]"),
        (["one", "two"], "one two", "[redacted] [redacted]"),
        (["^id$"], "id", "[redacted]"),
        (["^id$"], "an id", "an id"),
        (["(?i)SECRET"], "my secret", "my [redacted]"),
        ([r"(?<=token=)\S*"], "token= token=abc", "token= token=[redacted]"),
        ([], "anything", "anything"),
        (["x"], "", ""),
    ],
)
def test_what_a_pattern_matches_is_masked_or_its_groups(
    patterns: list[str], text: str, expected: str
) -> None:
    assert Redactor(patterns)(text) == expected


def test_a_colour_within_a_secret_does_not_hide_it() -> None:
    redact = Redactor(["password=(hunter2)"])
    assert redact("\x1b[1mpassword=\x1b[31mhunter2\x1b[0m!") == "password=[redacted]!"
    assert redact("\x1b[1mpassword=hunter2\x1b[0m") == "\x1b[1mpassword=[redacted]\x1b[0m"
    assert redact("\x1b[1mharmless\x1b[0m") == "\x1b[1mharmless\x1b[0m"


def test_a_masked_line_has_no_original_bytes() -> None:
    redact = Redactor(["hunter2"])
    read = Lines("\\xff hunter2\n\\xff", 2, ("\r\n", "\n"), {0: b"\xff hunter2", 1: b"\xff"})
    expected = Lines("\\xff [redacted]\n\\xff", 2, ("\r\n", "\n"), {1: b"\xff"})
    assert list(redact.lines([read])) == [expected]


def test_lines_that_are_read_at_once_are_masked_each_by_itself() -> None:
    """As they would be if they had come one by one."""
    redact = Redactor(["^id$", r"key\s+(\w+)"])
    [lines] = redact.lines([Lines("id\nan id\nkey\nvalue\nkey value", 5)])
    assert lines == Lines("[redacted]\nan id\nkey\nvalue\nkey [redacted]", 5)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(", "--redact: '(' is no regular expression: missing ), unterminated subpattern"),
        ("x*", "--redact: 'x*' matches the empty text, so every line"),
    ],
)
def test_a_pattern_that_cannot_be_used_is_refused(pattern: str, message: str) -> None:
    with pytest.raises(RedactError, match=re.escape(message)):
        Redactor([pattern])


def test_patterns_are_the_lines_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "secrets"
    file.write_text("# tokens\nghp_\\w+\n\n \npassword=(.+)\n")
    assert read_patterns(str(file)) == ["ghp_\\w+", "password=(.+)"]
    file.write_text("# none\n")
    with pytest.raises(RedactError, match="no pattern in it"):
        read_patterns(str(file))
    with pytest.raises(RedactError, match="No such file or directory"):
        read_patterns(str(tmp_path / "none"))


@pytest.mark.slow
def test_no_secret_is_in_anything_that_is_written(watcher: Watcher) -> None:
    """Printed lines, the store, reports, and what is found in the lines; on the command line too.

    One that arrives in parts, in colour, with bytes that are no text, and in a traceback.
    """
    pytest.importorskip("matplotlib")
    source = f"""
import os, sys, time
secret = {SECRET!r}
print("plain", secret, flush=True)
os.write(1, b"parts " + secret[:4].encode()); time.sleep(0.05)
os.write(1, secret[4:].encode() + b"\\n")
os.write(1, b"\\xff" + secret.encode() + b"\\r\\n")
os.write(1, b"colour " + secret[:3].encode() + b"\\x1b[1m" + secret[3:].encode() + b"\\n")
print("=== RUN   Test")
print("    a_test.go:3: expected", secret)
print("--- FAIL: Test_" + secret + " (0.00s)")
sys.stdout.flush()
os.write(2, b"ERROR " + secret.encode() + b" leaked\\n")
raise ValueError("no such token: " + secret)
"""
    (watcher.directory / "app.py").write_text(source)
    (watcher.directory / "secrets").write_text("# mine\nhunter2-\\d+\n")
    command = [sys.executable, "app.py", SECRET, "other-secret"]
    reports = ["--report", "r.html", "--report", "r.json"]
    result = watcher.run(
        *reports, "--redact-file", "secrets", "--redact", "other-secret", "--", *command
    )
    assert result.returncode == 1
    shown = subprocess.run(
        [sys.executable, "-m", "brummerbus", "log", "--db", "log.db", "--json"],
        cwd=watcher.directory,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=True,
    ).stdout
    written = {
        file.name: file.read_bytes()
        for file in watcher.directory.iterdir()
        if file.name not in ("app.py", "secrets")
    }
    written["printed"] = (result.stdout + result.stderr + shown).encode()
    assert {"log.db", "r.html", "r.json", "printed"} <= set(written)
    for name, content in written.items():
        for secret in (SECRET, SECRET[3:], "other-secret"):
            assert secret.encode() not in content, name
    assert watcher.rows("SELECT count(*) FROM lines WHERE text LIKE '%[redacted]%'")[0][0] >= 7
    assert watcher.rows("SELECT message FROM errors WHERE kind = 'python'") == [
        ("ValueError: no such token: [redacted]",)
    ]


def test_patterns_that_cannot_be_used_are_refused_before_anything_is_started(
    watcher: Watcher, refusal: Refusal
) -> None:
    said = refusal("--redact", "(", "--", "touch", "started")
    assert said.startswith("watch: --redact: '(' is no regular expression")
    assert not (watcher.directory / "started").exists()


def test_a_refusal_has_no_secret_either(watcher: Watcher, refusal: Refusal) -> None:
    (watcher.directory / "Procfile").write_text(f"web: no-such-program {SECRET} 'open\n")
    said = refusal("--redact", "hunter2-[0-9]+")
    assert "no-such-program [redacted]" in said
