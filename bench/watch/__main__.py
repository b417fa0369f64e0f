"""`make bench-watch`: the CPU seconds of a watcher of one process that prints a million lines.

Contestants alternate; the medians of the rounds count. The CPU time is that of the watcher and of
all processes that it starts for itself, without that of the watched process. Their output goes
through a pipe to `wc -l`, which shows whether lines are missing.
"""

import argparse
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.watch import log

EMIT = Path(__file__).with_name("emit.py")
ROUNDS = 5


@dataclass(frozen=True)
class Cost:
    """The cost of one run."""

    cpu: float
    seconds: float
    megabytes: float
    lines: int
    """All lines that were printed, those of the watcher itself too."""


def contestants(child: list[str], modules: Path) -> dict[str, list[str]]:
    """Return the commands of those that are installed."""
    command = " ".join(child)
    scripts = Path(sysconfig.get_path("scripts"))
    found = {
        "brummerbus watch": [
            *(sys.executable, "-m", "brummerbus", "watch", "--plain"),
            *("--db", "log.db", "Procfile"),
        ],
        "honcho": [str(scripts / "honcho"), "start"],
        "foreman": [shutil.which("foreman") or "foreman", "start"],
        "concurrently": [
            *(
                shutil.which("node") or "node",
                str(modules / "concurrently/dist/bin/concurrently.js"),
            ),
            *("--names", "log", command),
        ],
        "a pipe to cat": ["sh", "-c", f"{command} | cat"],
    }
    return {
        name: words
        for name, words in found.items()
        if all(Path(word).exists() for word in words[:2] if word.startswith("/"))
        and shutil.which(words[0])
    }


def measure(words: list[str], directory: Path) -> Cost:
    """Run a contestant once."""
    for path in (*directory.glob("log.db*"), directory / "cpu"):
        path.unlink(missing_ok=True)
    with subprocess.Popen(["wc", "-l"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as counter:
        began = time.monotonic()
        process = subprocess.Popen(
            words, cwd=directory, stdout=counter.stdin, stderr=subprocess.DEVNULL
        )
        assert counter.stdin is not None
        assert counter.stdout is not None
        counter.stdin.close()
        _, status, usage = os.wait4(process.pid, 0)  # with what the kernel knows of it
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.monotonic() - began
        lines = int(counter.stdout.read())
    own = float((directory / "cpu").read_text(encoding="ascii"))
    cpu = usage.ru_utime + usage.ru_stime - own
    return Cost(cpu, seconds, usage.ru_maxrss / 1024, lines)


def main() -> None:
    """Measure all, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--lines", type=int, default=log.LINES)
    parser.add_argument("--flush", action="store_true", help="the process flushes each line")
    parser.add_argument("--modules", type=Path, default=Path("build/bench-watch/node_modules"))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        log.write(directory / "log", args.lines)
        child = [sys.executable, str(EMIT), "log", "cpu", *(["--flush"] if args.flush else [])]
        (directory / "Procfile").write_text(f"log: {' '.join(child)}\n", encoding="utf-8")
        commands = contestants(child, args.modules.absolute())
        costs: dict[str, list[Cost]] = {who: [] for who in commands}
        for number in range(args.rounds):
            for who, words in commands.items():
                costs[who].append(measure(words, directory))
                print(f"round {number + 1}, {who}: {costs[who][-1]}", file=sys.stderr)
        size = (directory / "log").stat().st_size
    print(f"{args.lines:,} lines, {size / 1e6:.0f} MB, {args.rounds} rounds, medians:\n")
    print("| | CPU s | s | MB of memory | lines printed |\n|---|---|---|---|---|")
    for who, some in costs.items():
        cpu, seconds, megabytes = (
            median(getattr(cost, key) for cost in some) for key in ("cpu", "seconds", "megabytes")
        )
        lines = min(cost.lines for cost in some)
        print(f"| {who} | {cpu:.1f} | {seconds:.1f} | {megabytes:.0f} | {lines:,} |")


if __name__ == "__main__":
    main()
