"""`make bench-relay`: events per second and CPU time per event across a broker, beside other ways.

For each way one process sends and one receives, through a broker that this program starts: a
nats-server that syncs before it acknowledges, as the embedded one does, one as it comes, or a
redis-server with `appendonly`, which syncs once per second. Events have a payload of 100 bytes in
JSON; at most 256 are unacknowledged. The ways alternate; the medians of the rounds count.

The clock runs from the first event published to the last handled. CPU time is that of the sender,
the receiver and the broker together, from the moment both are ready.
"""

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from time import monotonic, process_time, sleep
from typing import NamedTuple
from uuid import uuid4

import psutil

from bench.relay_ways import common
from bench.relay_ways.common import PATIENCE, Task
from brummerbus.relay._nats_server import binary

EVENTS = 20_000
ROUNDS = 5
HOST = "127.0.0.1"


class Way(NamedTuple):
    """A line of the table."""

    name: str
    module: str
    broker: str
    share: float = 1.0
    """Of the events; slow ones would take too long with all of them."""


WAYS = [
    Way("brummerbus relay", "brummerbus_relay", "nats, synced", 0.2),
    Way("nats-py", "nats_py", "nats, synced", 0.2),
    Way("brummerbus relay", "brummerbus_relay", "nats"),
    Way("nats-py", "nats_py", "nats"),
    Way("abxbus bridge (nothing acknowledged)", "abxbus_bridge", "nats", 0.05),
    Way("brummerbus relay", "brummerbus_relay", "redis"),
    Way("redis-py", "redis_py", "redis"),
    Way("abxbus bridge (nothing acknowledged)", "abxbus_bridge", "redis", 0.05),
]
NEEDS = {"abxbus_bridge": "abxbus", "nats_py": "nats", "redis_py": "redis"}


class Figures(NamedTuple):
    """What one round of a way gave."""

    per_second: float
    clients: float
    """CPU microseconds per event of the sender and the receiver."""
    broker: float


# ---- brokers -------------------------------------------------------------------------------------


class Broker(NamedTuple):
    """A broker that runs."""

    url: str
    process: psutil.Process


@contextmanager
def started(kind: str, folder: Path) -> Iterator[Broker]:
    """Start a broker, and end it."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port = probe.getsockname()[1]
    folder.mkdir()
    if kind == "redis":
        command = ["redis-server", "--port", str(port), "--bind", HOST, "--dir", str(folder)]
        command += ["--appendonly", "yes", "--save", ""]
    else:
        sync = ", sync_interval: always" if kind == "nats, synced" else ""
        text = f"listen: '{HOST}:{port}'\njetstream {{ store_dir: '{folder}'{sync} }}\n"
        (folder / "conf").write_text(text)
        command = [binary(), "-c", str(folder / "conf")]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        deadline = monotonic() + 10
        while True:
            try:
                socket.create_connection((HOST, port), 1).close()
                break
            except OSError:
                if monotonic() > deadline or process.poll() is not None:
                    raise
                sleep(0.01)
        url = f"{'redis' if kind == 'redis' else 'nats'}://{HOST}:{port}"
        yield Broker(url, psutil.Process(process.pid))
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)


# ---- one round of one way ------------------------------------------------------------------------


def play(module: str, role: str, task: Task) -> None:
    """Be the sender or the receiver; print when, and how much CPU time that took."""
    way = import_module(f"bench.relay_ways.{module}")
    moment = (way.send if role == "send" else way.receive)(task)
    print(json.dumps({"moment": moment, "cpu": process_time() - common.cpu_at_start}), flush=True)


def start(way: Way, role: str, task: Task) -> "subprocess.Popen[str]":
    """Start a process, and wait until it is ready."""
    words = [sys.executable, "-m", "bench.bench_relay", "--role", role, "--way", way.module]
    words += ["--task", json.dumps(task)]
    pipe = subprocess.PIPE
    process = subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True)
    assert process.stdout
    line = process.stdout.readline()
    assert line == "ready\n", f"{way.name}, {role}: {line!r}"
    return process


def measure(way: Way, broker: Broker, events: int) -> Figures:
    """Send that many events from one process to another."""
    task = Task(broker.url, events, f"r{uuid4().hex[:12]}")
    processes = [start(way, "receive", task), start(way, "send", task)]
    before = sum(broker.process.cpu_times()[:2])
    for process in processes:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    received, sent = (json.loads(p.communicate(timeout=2 * PATIENCE)[0]) for p in processes)
    used = sum(broker.process.cpu_times()[:2]) - before
    seconds = received["moment"] - sent["moment"]
    clients = (received["cpu"] + sent["cpu"]) / events * 1e6
    return Figures(events / seconds, clients, used / events * 1e6)


def available() -> list[Way]:
    """Return the ways that can run here; say which cannot."""
    found = []
    for way in WAYS:
        missing = [name for name in [NEEDS.get(way.module)] if name and not find_spec(name)]
        if way.broker == "redis" and not shutil.which("redis-server"):
            missing.append("redis-server")
        if missing:
            print(f"NOT RUN: {way.name} over {way.broker}, which needs {', '.join(missing)}")
        else:
            found.append(way)
    return found


def main() -> int:
    """Play a role, or measure all ways and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--role", choices=("send", "receive"), help=argparse.SUPPRESS)
    parser.add_argument("--way", help=argparse.SUPPRESS)
    parser.add_argument("--task", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.role:
        play(arguments.way, arguments.role, Task(*json.loads(arguments.task)))
        return 0
    ways = available()
    figures: dict[Way, list[Figures]] = {way: [] for way in ways}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        brokers = {
            kind: stack.enter_context(started(kind, folder / f"broker{number}"))
            for number, kind in enumerate(dict.fromkeys(way.broker for way in ways))
        }
        for _ in range(arguments.rounds):
            for way in ways:
                figures[way].append(
                    measure(way, brokers[way.broker], int(arguments.events * way.share))
                )
    show(figures, arguments.events)
    return 0


def show(figures: dict[Way, list[Figures]], events: int) -> None:
    """Print the medians, as a table in Markdown."""
    rounds = max(len(rows) for rows in figures.values())
    machine = f"Python {sys.version.split()[0]}, {os.cpu_count()} cores"
    print(f"\n{events:,} events, of slow ways fewer, medians of {rounds}; {machine}\n")
    print("| broker | way | events per second | CPU us per event: clients | broker |")
    print("|---|---|--:|--:|--:|")
    for way, rows in figures.items():
        rate, clients, broker = (median(values) for values in zip(*rows, strict=True))
        print(f"| {way.broker} | {way.name} | {rate:,.0f} | {clients:.0f} | {broker:.0f} |")


if __name__ == "__main__":
    sys.exit(main())
