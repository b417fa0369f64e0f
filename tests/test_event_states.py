"""Copies of subclasses of Event: their own state."""

import copy
import pickle
import threading
from dataclasses import dataclass
from typing import Any

import pytest

from brummerbus import Event


@dataclass(frozen=True, slots=True)
class Frozen(Event):
    """A subclass whose state is described by its dataclass."""

    number: int

    def __post_init__(self) -> None:
        """Make the event."""
        Event.__init__(self, "frozen")


class Guarded(Event):
    """A subclass with an attribute that cannot be copied, which it omits itself."""

    def __init__(self) -> None:
        super().__init__("guarded")
        self.lock = threading.Lock()
        self.number = 4

    def __getstate__(self) -> dict[str, int]:
        return {"number": self.number}


@pytest.mark.parametrize("make", [lambda: Frozen(4), Guarded], ids=["frozen", "guarded"])
@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))]
)
def test_a_subclass_says_itself_what_its_state_is(make: Any, copied: Any) -> None:
    """As `copy` and `pickle` do for any other class."""
    event = make()
    other = copied(event)
    assert (other.number, other.id, other.type) == (4, event.id, event.type)
