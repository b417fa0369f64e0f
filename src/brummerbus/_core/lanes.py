"""The lanes of a subscription with a key: one for each key that is in use.

Guarantees
- Equal keys find one lane as long as any delivery of theirs is in the queue or runs.
- Keys that are no longer in use are forgotten: at most `MAX_IDLE` of them, or as many as are in
  use, are kept.
- Keys are hashed and compared in the publisher's thread, and no lock is held: a key's `__eq__` may
  publish, and a signal handler or an exception may interrupt anything here.

A table has two generations. A key is looked for in the young one, then taken over from the old one,
or made. Then its lane is pinned, and only after that is the table looked at again: if the young
generation is still the young one, every publish that began since finds the lane. When the young one
has grown, it becomes the old one, and a new young one begins with those lanes of the former old one
that are pinned; the rest of that one is forgotten.

What does not work
- To remove single keys when their lanes are idle. Between the look-up of a lane and its pin another
  thread may remove it and a third make a second one for the same key.
- To be content with a generation that has become the old one concurrently: another publish may have
  missed the lane there, before it was put in, and have made a second one.
"""

from collections.abc import Callable, Hashable
from typing import Any

from brummerbus._core._ext import Lane, Recipient, Ticket, swap_item

MAX_IDLE = 1024

Lanes = dict[Hashable, Lane]


class LaneTable:
    """The lanes of one subscription, which owns the table, in one process."""

    __slots__ = ("_generations", "_key", "_limit")

    def __init__(self, key: Callable[[Any], Hashable]) -> None:
        self._key = key
        self._generations: dict[str, tuple[Lanes, Lanes]] = {"": ({}, {})}  # for `swap_item`
        self._limit = MAX_IDLE

    def assign(self, ticket: Ticket, index: int, recipient: Recipient, event: Any) -> None:
        """Put a delivery of an event to the owner of the table into the lane of its key.

        Raises:
            TypeError: The key cannot be hashed.
            Whatever the key function, or the key's own methods, raise.
        """
        key = self._key(event)
        while True:
            generations = self._generations[""]
            young, old = generations
            lane = young.get(key)
            if lane is None:
                lane = young.setdefault(key, old.get(key) or Lane(recipient))
            ticket.set_lane(index, lane)
            if self._generations[""][0] is young:
                break
        if len(young) > self._limit:
            self._turn(generations)

    def _turn(self, generations: tuple[Lanes, Lanes]) -> None:
        young, old = generations
        try:
            # A lane of the old one that another lane of its key has replaced is not in use, even
            # if a publish has pinned it for the moment.
            kept = {
                k: lane for k, lane in list(old.items()) if lane.pins and young.get(k, lane) is lane
            }
        except Exception:  # another key's __hash__ or __eq__: nothing of this publish
            self._limit *= 2
            return
        if swap_item(self._generations, "", generations, (kept, young)):
            self._limit = max(MAX_IDLE, 2 * len(kept))
