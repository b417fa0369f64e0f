"""A pipeline of three stages, each a bus of its own: fetch, parse, store.

    python examples/pipeline.py

What it shows: stages with workers to suit what they do (many that wait, few that compute, one that
writes, many documents at once); `block`, so that the slowest stage paces the first and nothing is
lost; stopping in the order of the flow; figures that say where the time goes.
"""

import sqlite3
import threading
import time
from collections import Counter
from contextlib import closing
from functools import partial

from brummerbus import BusStats, Event, EventBus

DOCUMENTS = 300


def fetch(number: int) -> str:
    """Stand for a request: it waits, and needs no processor."""
    time.sleep(0.002)
    return " ".join(f"word{number * k % 97}" for k in range(1, 50))


def parse(text: str) -> list[tuple[str, int]]:
    """Count words: it computes."""
    return Counter(text.split()).most_common()


def store(database: sqlite3.Connection, events: list[Event]) -> None:
    """Write the counts of some documents, in one transaction. The only worker of its bus does."""
    documents = [event.data for event in events]
    rows = [(number, *pair) for number, counts in documents for pair in counts]
    with database:
        database.executemany("INSERT INTO words VALUES (?, ?, ?)", rows)


def describe(stats: BusStats, name: str) -> str:
    """Say what a stage did, and how long a delivery took at most, 99 times of 100."""
    assert stats.published == stats.processed + stats.dropped + stats.queued + stats.running
    return (
        f"{name:<6} {stats.processed:>4} handled {stats.dropped} dropped"
        f"  p99 in the queue {stats.queue_wait.p99 * 1e3:7.2f} ms"
        f"  in the handler {stats.processing_time.p99 * 1e3:6.2f} ms"
    )


def run(documents: int, database: sqlite3.Connection) -> list[BusStats]:
    """Send documents through the three stages; return the figures of each."""
    database.execute("CREATE TABLE words (document INTEGER, word TEXT, count INTEGER)")
    # Entered last, left first: fetching drains into parsing, parsing into storing.
    with (
        EventBus(name="store", workers=1, queue_size=50, policy="block") as storing,
        EventBus(name="parse", workers=2, queue_size=50, policy="block") as parsing,
        EventBus(name="fetch", workers=8, queue_size=50, policy="block") as fetching,
    ):

        @fetching.on("document")
        def fetched(event: Event) -> None:
            parsing.publish(Event("text", (event.data, fetch(event.data))))

        @parsing.on("text")
        def parsed(event: Event) -> None:
            number, text = event.data
            storing.publish(Event("counts", (number, parse(text))))

        storing.subscribe("counts", partial(store, database), batch=50)
        for number in range(documents):
            fetching.publish(Event("document", number))  # waits when 50 are queued
    return [fetching.stats(), parsing.stats(), storing.stats()]


def main() -> None:
    """Run it, and check that everything arrived."""
    # The connection is used by one worker and, after the buses have stopped, by this thread.
    with closing(sqlite3.connect(":memory:", check_same_thread=False)) as database:
        figures = run(DOCUMENTS, database)
        for name, stats in zip(("fetch", "parse", "store"), figures, strict=True):
            print(describe(stats, name))
        (stored,) = database.execute("SELECT COUNT(DISTINCT document) FROM words").fetchone()
    print(f"{stored} of {DOCUMENTS} documents stored, threads left: {threading.active_count()}")


if __name__ == "__main__":
    main()
