"""What the streams of a bus have counted, those that have ended included.

Guarantees
- At every moment published = taken + dropped + held.
- No lock: streams begin and end anywhere, also in finalizers.
- In the child of a fork all begin at 0.
"""

from typing import Any, NamedTuple

from brummerbus._core._ext import Buffer, swap_item
from brummerbus._core.queue import fork_count
from brummerbus._measurements import StreamTotals


class _State(NamedTuple):
    forks: int
    ended: tuple[int, int]
    """Published and dropped events of the streams that have ended."""
    open: frozenset[Buffer]


class StreamCounts:
    """Adds up what the streams of one bus count."""

    def __init__(self) -> None:
        self._states: dict[str, tuple[Any, ...]] = {
            "now": _State(fork_count(), (0, 0), frozenset())
        }

    def add(self, one: Buffer) -> None:
        """Count a stream."""
        while True:
            old, now = self._state()
            if swap_item(self._states, "now", old, now._replace(open=now.open | {one})):
                return

    def end(self, one: Buffer) -> None:
        """Keep the counts of a stream that has ended and holds nothing any more. Idempotent."""
        while True:
            old, now = self._state()
            if one not in now.open:
                return
            published, dropped, _ = one.counts()
            ended = now.ended[0] + published, now.ended[1] + dropped
            new = now._replace(ended=ended, open=now.open - {one})
            if swap_item(self._states, "now", old, new):
                return

    def totals(self) -> StreamTotals:
        """Return the sums."""
        _, now = self._state()
        counts = [one.counts() for one in now.open]
        published, dropped, held = map(sum, zip((*now.ended, 0), *counts, strict=True))
        return StreamTotals(len(now.open), published, dropped, held)

    def _state(self) -> tuple[_State, _State]:
        """Return the state as it is, and as it is in this process."""
        old: Any = self._states["now"]
        forks = fork_count()
        return old, old if old.forks == forks else _State(forks, (0, 0), frozenset())
