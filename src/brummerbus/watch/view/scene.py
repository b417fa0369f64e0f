"""What the view shows, apart from the moment and from what the user has chosen."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from brummerbus import BusStats
from brummerbus.watch.counters import Counters
from brummerbus.watch.places import Links
from brummerbus.watch.view.recent import Recent


@dataclass(frozen=True)
class Scene:
    """The processes and what was found in their output."""

    target: str
    counters: Counters
    recent: Recent
    links: Links


class Bus(NamedTuple):
    """The bus's own figures."""

    stats: BusStats
    queue_size: int
    depth: Sequence[tuple[float, int]]
