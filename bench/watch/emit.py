"""The watched process: prints a file as a program with buffered output does, in blocks of 8 KB.

With --flush it writes each line alone. Its CPU time, which is not the watcher's, goes to a second
file.
"""

import os
import resource
import sys
from pathlib import Path


def main() -> None:
    """Print, and write down the CPU seconds."""
    with Path(sys.argv[1]).open("rb") as file:
        blocks = file if "--flush" in sys.argv else iter(lambda: file.read(8192), b"")
        for block in blocks:
            rest = block
            while rest:
                rest = rest[os.write(1, rest) :]
    usage = resource.getrusage(resource.RUSAGE_SELF)
    Path(sys.argv[2]).write_text(str(usage.ru_utime + usage.ru_stime), encoding="ascii")


if __name__ == "__main__":
    main()
