"""What the flight recorder says: why an event was not delivered, and what happened last.

The recorder itself is `csrc/queue/recorder.c`. Nothing here takes a lock of Python's, so that both
may be called from a signal handler.
"""

from collections.abc import Iterable, Iterator, Mapping
from time import gmtime, strftime, time

from brummerbus._core.in_flight import running, stack_of
from brummerbus._core.log import shown_event
from brummerbus._core.queue import Note, Queue
from brummerbus._text import counted

_WORDS = (  # by bb_noted
    "accepted",
    "its publisher waits: the queue is full",
    "began",
    "handled",
    "failed",
    "failed, to be retried",
    "evicted",
    "refused: the queue was full",
    "expired before it began",
    "dropped: the bus was stopped",
)
_EVICTED = 6


def explanation(queue: Queue, event_id: int, labels: Mapping[int, str]) -> str:
    """Return all that the recorder still knows of an event, a line for each decision."""
    notes = queue.notes(event_id)
    if not notes:
        kept = counted(queue.notes_kept, "decision")
        return (
            f"event {event_id}: nothing is recorded: it was not published here, no subscription "
            f"matched it, or it is not among the last {kept}"
        )
    return f"event {event_id}:\n" + "\n".join(_lines(queue, notes, labels, {}))


def report(name: str, queue: Queue, labels: Mapping[int, str], types: Mapping[str, int]) -> str:
    """Return the whole record, the oldest first, and the stacks of the handlers that run."""
    names = {number: name for name, number in types.items()}
    notes = queue.notes(0)
    lines = [f"{name}: the last {counted(len(notes), 'decision')}, at {_shown_time(time())}"]
    lines += _lines(queue, notes, labels, names, with_id=True)
    for one in running(queue):
        lines.append(f"{name}: runs: {one}")
        if len(one.events) > 1:
            lines += [f"  with {shown_event(event)}" for event in one.events]
        lines.append(stack_of(one.thread).rstrip())
    return "\n".join(lines) + "\n"


def _lines(
    queue: Queue,
    notes: Iterable[Note],
    labels: Mapping[int, str],
    types: Mapping[int, str],
    *,
    with_id: bool = False,
) -> Iterator[str]:
    offset = time() - queue.clock() * 1e-9
    for note in notes:
        words = [_shown_time(note.time * 1e-9 + offset), f"level {note.level + 1}"]
        if with_id:
            words.insert(1, f"event {note.event} ({types.get(note.type, '?')})")
        what = _WORDS[note.what]
        if note.what == _EVICTED:
            what += f" by event {note.by}"
        if note.recipient:
            what += f": {labels.get(note.recipient, 'a subscription that has ended')}"
        yield "  ".join([*words, what])


def _shown_time(seconds: float) -> str:
    whole, micros = divmod(round(seconds * 1e6), 1_000_000)  # without datetime, a ms of our import
    return f"{strftime('%H:%M:%S', gmtime(whole))}.{micros:06}"
