"""The checker of histories: it accepts what a queue may do, and nothing else."""

from dataclasses import replace

import pytest
from history import Call, History, Publish, Take
from model import ACCEPTED, REFUSED, RUN

from brummerbus import BackpressurePolicy

CAPACITY = 2
DROP_OLDEST, DROP_NEWEST, DROP_LOWEST, REJECT, BLOCK, CALLER_RUNS = BackpressurePolicy


def publish(number: int, outcome: str = ACCEPTED, *, level: int = 1, evicts: int = 0) -> Publish:
    """Publish an event with one handler, for which another may be evicted."""
    evicted = ((evicts, 0),) if evicts else ()
    return Publish(0, 0, level, ((number, 0),), outcome, evicted)


def takes(*numbers: int) -> tuple[Take, ...]:
    """Take the deliveries of such events."""
    return tuple(Take(0, 0, (number, 0)) for number in numbers)


FULL = (publish(1), publish(2))
URGENT_SECOND = (publish(1, level=1), publish(2, level=2))

ALLOWED = {
    "nothing": (BLOCK, ()),
    "first in, first out": (BLOCK, (*FULL, *takes(1, 2))),
    "urgent first": (BLOCK, (*URGENT_SECOND, *takes(2, 1))),
    "refused when full": (REJECT, (*FULL, publish(3, REFUSED), *takes(1, 2))),
    "newest refused": (DROP_NEWEST, (*FULL, publish(3, REFUSED, level=3), *takes(1, 2))),
    "oldest evicted": (DROP_OLDEST, (*FULL, publish(3, evicts=1), *takes(2, 3))),
    "lowest evicted": (
        DROP_LOWEST,
        (*URGENT_SECOND, publish(3, level=3, evicts=1), *takes(3, 2)),
    ),
    "run by the caller": (CALLER_RUNS, (*FULL, publish(3, RUN), *takes(1, 2))),
}

FORBIDDEN = {
    "two takes swapped": (BLOCK, (*FULL, *takes(2, 1))),
    "less urgent first": (BLOCK, (*URGENT_SECOND, *takes(1, 2))),
    "lost": (BLOCK, (*FULL, *takes(1))),
    "taken twice": (BLOCK, (publish(1), *takes(1, 1))),
    "taken before it was published": (BLOCK, (*takes(1), publish(1))),
    "accepted over the capacity": (BLOCK, (*FULL, publish(3), *takes(1, 2, 3))),
    "refused while there is room": (REJECT, (publish(1), publish(2, REFUSED), *takes(1))),
    "refused and yet taken": (REJECT, (*FULL, publish(3, REFUSED), *takes(1, 2, 3))),
    "evicted while there is room": (DROP_OLDEST, (publish(1), publish(2, evicts=1), *takes(2))),
    "evicted and yet taken": (DROP_OLDEST, (*FULL, publish(3, evicts=1), *takes(1, 2, 3))),
    "the second-oldest evicted": (DROP_OLDEST, (*FULL, publish(3, evicts=2), *takes(1, 3))),
    "an equal evicted": (DROP_LOWEST, (*FULL, publish(3, evicts=1), *takes(2, 3))),
    "an urgent one evicted": (
        DROP_OLDEST,
        (publish(1, level=3), publish(2, level=3), publish(3, evicts=1), *takes(2, 3)),
    ),
    "evicted where the newest is refused": (
        DROP_NEWEST,
        (*FULL, publish(3, evicts=1), *takes(2, 3)),
    ),
    "run by the caller while slots are free": (
        CALLER_RUNS,
        (publish(1), publish(2, RUN), *takes(1)),
    ),
}


def one_by_one(calls: tuple[Call, ...]) -> tuple[Call, ...]:
    """Have each call end before the next begins."""
    return tuple(
        call._replace(begin=2 * moment, end=2 * moment + 1) for moment, call in enumerate(calls)
    )


@pytest.mark.parametrize("name", ALLOWED)
def test_calls_one_by_one_as_the_model_does_them_are_explained(name: str) -> None:
    """The explanation is exactly that order."""
    policy, calls = ALLOWED[name]
    history = History(policy, CAPACITY, one_by_one(calls))
    assert history.explanation() == list(history.calls)


@pytest.mark.parametrize("name", FORBIDDEN)
def test_no_order_explains_what_a_queue_must_not_do(name: str) -> None:
    """Each of these is a fault that a queue might have."""
    policy, calls = FORBIDDEN[name]
    assert History(policy, CAPACITY, one_by_one(calls)).explanation() is None


def test_calls_change_places_only_while_they_overlap() -> None:
    """Two takes out of order are explained if they overlapped, and only then."""
    first, second, late, early = one_by_one((*FULL, *takes(2, 1)))
    apart = History(BLOCK, CAPACITY, (first, second, late, early))
    assert apart.overlapping() == 0
    assert apart.explanation() is None
    early = early._replace(begin=late.begin)
    together = replace(apart, calls=(first, second, late, early))
    assert together.overlapping() == 1
    assert together.explanation() == [first, second, early, late]
