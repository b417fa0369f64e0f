"""`make run`: watches three real processes concurrently, then checks the watcher's figures.

The check is independent of brummerbus. Each process ran under recorder.py, which kept a copy of
every byte; here newlines are counted in those copies and compared with the rows in the store, read
by plain sqlite3, and with the deliveries in the report. In addition, the bytes of the rows, joined,
must be those of the copies.

The exit code is 0 if all counts agree, although two of the processes fail on purpose.
"""

import argparse
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import sysconfig
from contextlib import closing
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
STREAMS = ("stdout", "stderr")
NAMES = ("flood", "test", "fail")
FAILING_TESTS = 3
MIN_FLOOD = 500
"""Lines that the standard library yields at least; fewer would prove nothing."""


def main() -> int:
    """Watch, check, and print whether all counts agree."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=Path, default=HERE.parents[1] / "build" / "demo")
    build = parser.parse_args().build.resolve()
    shutil.rmtree(build, ignore_errors=True)
    (build / "records").mkdir(parents=True)
    code = watch(build)
    report = json.loads((build / "report.json").read_text(encoding="utf-8"))
    problems = check(build, report, code)
    print(f"\nThe report is in {build / 'report.html'}, the log store in {build / 'log.db'}")
    for problem in problems:
        print(f"  {problem}")
    print("The counts do not agree." if problems else "All counts agree.")
    return 1 if problems else 0


def watch(build: Path) -> int:
    """Run the watcher and return its exit code."""
    environment = {
        **os.environ,
        # `python` in the Procfile must be this interpreter.
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
        "DEMO_RECORDS": str(build / "records"),
        "DEMO_STDLIB": sysconfig.get_path("stdlib"),
        "PYTHONPYCACHEPREFIX": str(build / "pycache"),
    }
    command = [sys.executable, "-m", "brummerbus", "watch"]
    command += ["--db", str(build / "log.db"), "--keep-going"]
    command += ["--report", str(build / "report.json"), "--report", str(build / "report.html")]
    return subprocess.run(
        [*command, str(HERE / "Procfile")], env=environment, check=False
    ).returncode


def check(build: Path, report: dict[str, Any], code: int) -> list[str]:
    """Print the figures side by side and return those that differ."""
    problems: list[str] = []
    total = 0
    print("\nCounted by an independent reader, against the store:")
    print(f"{'process':<10}{'stream':<10}{'lines':>10}{'rows':>10}   bytes")
    with closing(sqlite3.connect(build / "log.db")) as connection:
        for name in NAMES:
            for stream in STREAMS:
                recorded = (build / "records" / f"{name}.{stream}").read_bytes()
                lines, rows, stored = count_lines(recorded), *stored_lines(connection, name, stream)
                same = stored == recorded
                print(f"{name:<10}{stream:<10}{lines:>10,}{rows:>10,}   {'same' if same else 'NO'}")
                if lines != rows or not same:
                    problems.append(f"{name} {stream}: {lines} lines, {rows} rows, same: {same}")
                total += lines
        all_rows = connection.execute("SELECT count(*) FROM lines").fetchone()[0]
        errors = connection.execute(
            "SELECT count(*) FROM errors WHERE process = 'fail'"
        ).fetchone()[0]
    balance = report["balance"]
    handlers = ", ".join(f"{name} {count:,}" for name, count in balance["deliveries"].items())
    print(
        f"{total:,} lines = {all_rows:,} rows = handled: {handlers}; {balance['dropped']} dropped"
    )
    deliveries = balance["events"] * len(balance["deliveries"])
    expectations = {
        "rows in the store": (all_rows, total),
        "lines read by the watcher": (balance["lines_read"], total),
        "lines handled": (set(balance["deliveries"].values()), {total}),
        "deliveries by the bus": (balance["processed"], deliveries),
        "deliveries dropped": (balance["dropped"], 0),
        "deliveries failed": (balance["failed"], 0),
        "the watcher's own verdict": (balance["adds_up"], True),
        "failing tests found": (report["tests"]["failed"], FAILING_TESTS),
        "errors found in fail.py's chained traceback": (errors, 1),
        "a flood": (balance["lines_read"] >= MIN_FLOOD, True),
        "an exit code of one that failed": (code in failures(report), True),
    }
    for what, (found, expected) in expectations.items():
        if found != expected:
            problems.append(f"{what}: {found}, expected {expected}")
    return problems


def count_lines(recorded: bytes) -> int:
    """Return the number of lines, the last of which may lack its newline."""
    return recorded.count(b"\n") + (recorded[-1:] not in (b"", b"\n"))


def stored_lines(connection: sqlite3.Connection, name: str, stream: str) -> tuple[int, bytes]:
    """Return the number of rows of a stream, and their joined bytes."""
    rows = connection.execute(
        "SELECT coalesce(raw, text), ending FROM lines WHERE process = ? AND stream = ?"
        " ORDER BY number",
        (name, stream),
    ).fetchall()
    return len(rows), b"".join(
        (body if isinstance(body, bytes) else body.encode()) + ending.encode()
        for body, ending in rows
    )


def failures(report: dict[str, Any]) -> set[int]:
    """Return the exit codes of the processes that failed; `test` and `fail` must have."""
    codes = {process["name"]: process["exit_code"] for process in report["processes"]}
    return {code for code in codes.values() if code} if codes["test"] and codes["fail"] else set()


if __name__ == "__main__":
    sys.exit(main())
