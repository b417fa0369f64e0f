"""`make picture`: a picture of the live view, from a real run on a terminal of 80x24.

The watcher runs on a pseudo-terminal, as for a user. Its last frame, as it was written to the
terminal, becomes an SVG without fonts or other files.
"""

import argparse
import codecs
import fcntl
import io
import os
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
COLUMNS, ROWS = 80, 24
READY = ("Failed tests", "exit 1: mailer", "Builds", "db:5432", "250 == 240")
"""What the picture should show."""
MAX_SECONDS = 60

HOME = "\x1b[H"
"""Begins each frame."""

THEME = TerminalTheme(
    (13, 17, 23),
    (201, 209, 217),
    [(72, 79, 88), (255, 123, 114), (63, 185, 80), (210, 153, 34),
     (88, 166, 255), (188, 140, 255), (57, 197, 207), (177, 186, 196)],
    [(110, 118, 129), (255, 161, 152), (86, 211, 100), (227, 179, 65),
     (121, 192, 255), (210, 168, 255), (86, 212, 221), (240, 246, 252)],
)  # fmt: skip


def main() -> None:
    """Watch, take the last frame, and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "watch-live.svg")
    parser.add_argument("--build", type=Path, default=ROOT / "build" / "picture")
    arguments = parser.parse_args()
    arguments.build.mkdir(parents=True, exist_ok=True)
    frame = last_frame(watch(arguments.build.resolve()))
    arguments.out.write_text(as_svg(frame), encoding="utf-8")
    print(f"The picture is in {arguments.out}")


def watch(build: Path) -> str:
    """Run the watcher until it shows what is wanted; return all that it wrote before its end."""
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    environment = {key: value for key, value in os.environ.items()
                   if key not in ("COLUMNS", "LINES", "NO_COLOR", "COLORTERM")}  # fmt: skip
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment["PATH"]])
    command = [sys.executable, "-m", "brummerbus", "watch", "--keep-going"]
    process = subprocess.Popen(
        [*command, "--db", str(build / "log.db"), "Procfile"],
        cwd=HERE / "shop",
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - no threads
        env={**environment, "TERM": "xterm", "PYTHONDONTWRITEBYTECODE": "1"},
    )
    try:
        return read(master)
    finally:
        process.send_signal(signal.SIGINT)
        while process.poll() is None:
            if select.select([master], [], [], 0.1)[0]:
                os.read(master, 65536)


def read(master: int) -> str:
    """Read from the terminal until all parts are in one frame."""
    written, decoder = "", codecs.getincrementaldecoder("utf-8")()
    deadline = time.monotonic() + MAX_SECONDS
    while time.monotonic() < deadline:
        if select.select([master], [], [], 1)[0]:
            written += decoder.decode(os.read(master, 65536))
        if written.count(HOME) > 1 and is_good(last_frame(written)):
            return written
    raise SystemExit(f"no frame with {READY}:\n{last_frame(written)}")


def is_good(frame: str) -> bool:
    """Whether a frame shows what it should, and not where this checkout is."""
    shown = "\n".join(Text.from_ansi(row).plain for row in frame.split("\r\n"))
    return all(part in shown for part in READY) and str(ROOT)[:12] not in shown


def last_frame(written: str) -> str:
    """Return the last frame that is complete."""
    return written.split(HOME)[-2]


def as_svg(frame: str) -> str:
    """Return a frame as a picture, without the fonts that rich would load."""
    console = Console(record=True, width=COLUMNS, height=ROWS, file=io.StringIO())
    for row in frame.split("\r\n"):
        console.print(Text.from_ansi(row), no_wrap=True, crop=True)
    svg = console.export_svg(title="brummerbus watch", theme=THEME, unique_id="watch")
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    return svg.replace("Fira Code, monospace", "ui-monospace, Menlo, Consolas, monospace")


if __name__ == "__main__":
    main()
