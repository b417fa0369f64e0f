"""Runs a command and forwards its output, keeping a copy of every byte.

    python recorder.py NAME COMMAND ARGS...

With the copies, `NAME.stdout` and `NAME.stderr` in the directory `DEMO_RECORDS`, run.py checks the
watcher's figures independently: the recorder does not use brummerbus, and does not split lines. The
exit code is the command's.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path
from threading import Thread
from typing import IO

CHUNK = 64 * 1024


def pass_on(source: IO[bytes], record: Path, target: int) -> None:
    """Copy all bytes of a pipe to a file and to a descriptor."""
    with record.open("wb", buffering=0) as copy:
        while chunk := os.read(source.fileno(), CHUNK):
            copy.write(chunk)
            while chunk:
                chunk = chunk[os.write(target, chunk) :]


def main() -> int:
    """Run the command and return its exit code as a shell shows it."""
    name, *command = sys.argv[1:]
    records = Path(os.environ["DEMO_RECORDS"])
    # Ctrl-C reaches the command too; the recorder runs until the end of its output.
    signal.signal(signal.SIGINT, lambda *_: None)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0)
    pumps = [
        Thread(target=pass_on, args=(pipe, records / f"{name}.{stream}", target))
        for pipe, stream, target in (
            (process.stdout, "stdout", 1),
            (process.stderr, "stderr", 2),
        )
    ]
    for pump in pumps:
        pump.start()
    for pump in pumps:
        pump.join()
    code = process.wait()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
