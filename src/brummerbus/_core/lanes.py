"""The lanes of a subscription with a key: one for each key that is in use.

Guarantees
- Equal keys find one lane as long as any delivery of theirs is in the queue or runs.
- Keys that are no longer in use are forgotten: at most `MAX_IDLE` of them, or as many as are in
  use, are kept.
- Keys are hashed and compared in the publisher's thread, and no lock is held: a key's `__eq__` may
  publish, and a signal handler may interrupt anything here.

A table has two generations. A key is looked for in the young one, then taken over from the old one,
or made. Then its lane is pinned, and only after that is the table looked at again: if the young
generation is still one of the two, nothing that began since can have missed the lane. When the
young one has grown, it becomes the old one, and a new young one begins with those lanes of the
former old one that are pinned; the rest of that one is forgotten. A lane that is pinned just then
was taken over into the generation that stays, or its publisher sees that its own is gone.

What does not work: to remove single keys when their lanes are idle. Between the look-up of a lane
and its pin another thread may remove it and a third make a second one for the same key.
"""

from collections.abc import Callable, Hashable
from typing import Any

from brummerbus._core._ext import Lane, Recipient

MAX_IDLE = 1024

Generations = tuple[dict[Hashable, Lane], dict[Hashable, Lane]]


class LaneTable:
    """The lanes of one subscription in one process."""

    __slots__ = ("_generations", "_key", "_limit", "_recipient", "_turning")

    def __init__(self, recipient: Recipient, key: Callable[[Any], Hashable]) -> None:
        self._recipient = recipient
        self._key = key
        self._generations: Generations = ({}, {})
        self._limit = MAX_IDLE
        self._turning: dict[int, object] = {}

    def pinned(self, event: Any) -> Lane:
        """Return the lane of an event's key, pinned: `unpin` it, or make a ticket with it.

        Raises:
            TypeError: The key cannot be hashed.
            Whatever the key function, or the key's own methods, raise.
        """
        key = self._key(event)
        while True:
            generations = self._generations
            young, old = generations
            lane = young.get(key)
            if lane is None:
                lane = young.setdefault(key, old.get(key) or Lane(self._recipient))
            lane.pin()
            now = self._generations
            if now[0] is young or now[1] is young:
                break
            lane.unpin()
        if len(young) > self._limit and now is generations:
            self._turn(generations)
        return lane

    def _turn(self, generations: Generations) -> None:
        young, old = generations
        me = object()
        if self._turning.setdefault(id(young), me) is not me:
            return  # another thread does it, or the one that this interrupted
        try:
            if self._generations is not generations:
                return
            kept = {key: lane for key, lane in list(old.items()) if lane.pins}
            self._limit = max(MAX_IDLE, 2 * len(kept))
            self._generations = (kept, young)
        finally:
            del self._turning[id(young)]

    def __len__(self) -> int:
        young, old = self._generations
        return len(young) + len(old)
