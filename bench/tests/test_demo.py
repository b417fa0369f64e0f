"""The demo's own functions, on which the result of `make run` depends."""

import subprocess
import sys
from pathlib import Path

import pytest

from bench.demo import run

DEMO = Path(run.__file__).parent


@pytest.mark.parametrize(
    ("recorded", "lines"), [(b"", 0), (b"\n", 1), (b"a\nb", 2), (b"a\r\n\nb\n", 3), (b"\xff", 1)]
)
def test_lines_are_counted_by_their_newlines(recorded: bytes, lines: int) -> None:
    assert run.count_lines(recorded) == lines


def test_the_recorder_keeps_and_passes_on_every_byte(tmp_path: Path) -> None:
    """And the exit code."""
    source = (
        "import sys; sys.stdout.buffer.write(bytes(range(256)) * 1000);"
        "sys.stderr.buffer.write(b'\\xff no newline'); sys.exit(5)"
    )
    result = subprocess.run(
        [sys.executable, str(DEMO / "recorder.py"), "app", sys.executable, "-c", source],
        env={"DEMO_RECORDS": str(tmp_path)},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 5
    assert result.stdout == (tmp_path / "app.stdout").read_bytes() == bytes(range(256)) * 1000
    assert result.stderr == (tmp_path / "app.stderr").read_bytes() == b"\xff no newline"
