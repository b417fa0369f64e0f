"""What became of an event: what `publish(..., on_done=...)` reports."""

from typing import Any, NamedTuple

from brummerbus._core.subscriptions import Subscription
from brummerbus._policies import DropReason


class Outcome(NamedTuple):
    """How all deliveries of one event ended. `handled + len(failed) + len(dropped)` are all."""

    event: Any
    """The event."""
    handled: int
    """Deliveries whose handler returned."""
    failed: tuple[tuple[Subscription, BaseException], ...]
    """Deliveries whose handler raised, the last time if it was retried, and what."""
    dropped: tuple[tuple[Subscription, DropReason], ...]
    """Deliveries that were not made, and why."""


Outcome.__module__ = "brummerbus"  # the public module, as for all public names
