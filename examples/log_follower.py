"""Follow log files: one thread for each file publishes lines, handlers count, find and show.

    python examples/log_follower.py                            # shows it with two files of its own
    python examples/log_follower.py /var/log/syslog --seconds 60

What it shows: threads that only read and publish; two handlers for one event, one of which takes
batches, the other the lines of each file in order; a handler that publishes what it has found;
errors that overtake lines, by the default table of priorities; a bounded queue, whose figures say
whether anything was dropped.
"""

import argparse
import re
import tempfile
import threading
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from brummerbus import Event, EventBus, EventType

ERROR = re.compile(r"\b(ERROR|CRITICAL|Traceback)\b")
PAUSE = 0.02  # seconds between two looks at a file that has not grown


def follow(path: Path, bus: EventBus, ending: threading.Event) -> None:
    """Publish each line of a file, and those that are appended, until the end is near."""
    with path.open(encoding="utf-8", errors="replace") as file:
        rest = ""
        while True:
            last_look = ending.is_set()  # before reading: what was written until then is read
            while text := file.readline():
                rest += text
                if rest.endswith("\n"):
                    bus.publish(Event(EventType.LOG_LINE, rest.rstrip("\n"), source=path.name))
                    rest = ""
            if last_look:
                return
            ending.wait(PAUSE)


class Findings:
    """What the handlers found. Each runs one call at a time, so they need no lock."""

    def __init__(self, bus: EventBus) -> None:
        self._bus = bus
        self.lines: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        bus.subscribe(EventType.LOG_LINE, self.count, batch=1_000, max_concurrency=1)
        bus.subscribe(EventType.LOG_LINE, self.find, key="source")
        bus.subscribe(EventType.ERROR_DETECTED, self.show, max_concurrency=1)

    def count(self, events: list[Event]) -> None:
        """Count lines of their files."""
        self.lines.update(event.source for event in events)

    def find(self, event: Event) -> None:
        """Publish an error if the line looks like one; it is HIGH and overtakes lines."""
        if ERROR.search(event.data):
            self._bus.publish(Event(EventType.ERROR_DETECTED, event.data, source=event.source))

    def show(self, event: Event) -> None:
        """Show an error."""
        self.errors[event.source] += 1
        print(f"{event.source}: {event.data}")


def follow_all(paths: Iterable[Path], ending: threading.Event) -> None:
    """Follow files until `ending` is set, then say what there was."""
    with EventBus(name="log", queue_size=10_000) as bus:
        findings = Findings(bus)
        followers = [threading.Thread(target=follow, args=(path, bus, ending)) for path in paths]
        for follower in followers:
            follower.start()
        for follower in followers:
            follower.join()
        bus.flush()
        stats = bus.stats()
    for name in sorted(findings.lines):
        print(f"{name}: lines {findings.lines[name]}, errors {findings.errors[name]}")
    print(f"deliveries: handled {stats.processed}, dropped {stats.dropped}")


def demonstrate(ending: threading.Event) -> None:
    """Follow two files while they are written."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, name) for name in ("api.log", "worker.log")]
        for path in paths:
            path.touch()

        def write() -> None:
            for number in range(1, 201):
                for path in paths:
                    bad = path.name == "worker.log" and number % 100 == 0
                    with path.open("a", encoding="utf-8") as file:
                        file.write(f"{'ERROR' if bad else 'INFO'} request {number}\n")
            ending.set()

        writer = threading.Thread(target=write)
        writer.start()
        follow_all(paths, ending)
        writer.join()


def main(arguments: list[str] | None = None) -> None:
    """Follow the files of the command line, or two of its own."""
    parser = argparse.ArgumentParser(description="Follow log files.")
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long (default: 10)")
    options = parser.parse_args(arguments)
    ending = threading.Event()
    if not options.files:
        demonstrate(ending)
        return
    timer = threading.Timer(options.seconds, ending.set)
    timer.start()
    try:
        follow_all(options.files, ending)
    except KeyboardInterrupt:
        ending.set()
    finally:
        timer.cancel()


if __name__ == "__main__":
    main()
