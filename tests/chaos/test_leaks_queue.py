"""References and memory of the entry points below the bus, where they succeed and where they fail.

What the queue itself allocates, such as its slots and its workers, is not measured here: the tests
in `tests/c` end under AddressSanitizer with nothing left. What needs a worker is in
`test_leaks_bus.py`.
"""

import logging
import threading
from collections.abc import Callable

import pytest
from leaks import assert_keeps_nothing

from brummerbus import Event
from brummerbus._core._ext import Recipient, Route, Ticket, Turn, discard, running_in, swap_item
from brummerbus._core.engine import KEPT_STEPS
from brummerbus._core.hooks import LOST_FIELDS
from brummerbus._core.in_flight import running
from brummerbus._core.queue import ACCEPTED, CLOSED, FULL, REFUSE, REFUSED, WAITING, Queue
from helpers.buses import BusFactory
from helpers.internals import queue_of
from helpers.waiting import poll

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the log from storing records: they refer to events."""
    monkeypatch.setattr(logging.getLogger("brummerbus"), "disabled", True)


def new_queue(capacity: int = 4) -> Queue:
    """Create a queue without workers."""
    return Queue(
        capacity,
        3,
        reserve=2,
        reserved=0,
        notes=0,
        monitoring=True,
        starvation_after=None,
        standstill_after=0.0,
    )


def route_of(queue: Queue, count: int) -> Route:
    """Return a route with `count` deliveries."""
    recipients = tuple(Recipient(len, False) for _ in range(count))
    return Route(queue, queue.address, 2, 1, recipients, Event, None, False, ())


def admit(route: Route, event: Event, timeout: int, mode: int) -> int:
    """Admit an event, or have it refused."""
    return route.admit(event, timeout, True, mode, 1_000_000, print, None, None, None, None)[0]


def push_and_discard() -> None:
    """Deliveries discarded from a shut queue have their references."""
    queue = new_queue()
    route = route_of(queue, 2)
    assert [route.push(Event("a", bytearray(1000))) for _ in range(3)] == [ACCEPTED] * 2 + [FULL]
    queue.close(drain=False)
    assert route.push(Event("a")) == CLOSED
    lost, n = discard(queue.address)
    assert n == 4
    assert [event.type for event in lost[: LOST_FIELDS * n : LOST_FIELDS]] == ["a"] * 4


def push_more_than_there_are_places() -> None:
    """An empty queue grows for an event, and is discarded with it."""
    queue = new_queue(2)
    assert route_of(queue, 100).push(Event("a", bytearray(1000))) == ACCEPTED
    queue.close(drain=False)
    left = 100
    while left:
        left -= discard(queue.address)[1]


def refuse_with_and_without_a_wait() -> None:
    """A waiter is freed."""
    queue = new_queue(1)
    route = route_of(queue, 1)
    assert route.push(Event("a")) == ACCEPTED
    for timeout in (0, 1, 1000):
        assert admit(route, Event("a", bytearray(1000)), timeout, REFUSE) == REFUSED
    queue.close(drain=False)
    assert discard(queue.address)[1] == 1


def wait_without_a_thread() -> None:
    """A turn that was withdrawn, forgotten, accepted or rejected, of a plain event and a ticket."""
    for with_ticket in (False, True):
        queue = new_queue(1)
        route = route_of(queue, 1)
        assert route.push(Event("a")) == ACCEPTED

        def join(route: Route = route, with_ticket: bool = with_ticket) -> Turn:
            event = Event("a", bytearray(1000))
            turn = route.join(Ticket(route, event, 0, None, None, None) if with_ticket else event)
            assert isinstance(turn, Turn)
            return turn

        forgotten, withdrawn, rejected = join(), join(), join()
        assert withdrawn.withdraw()
        assert withdrawn.withdraw()
        assert (withdrawn.state(), rejected.state()) == (CLOSED, WAITING)
        del forgotten
        queue.close(drain=False)
        assert rejected.state() == CLOSED
        assert route.join(Event("a")) == CLOSED
        assert discard(queue.address)[1] == 1
        queue = new_queue(2)
        route = route_of(queue, 2)
        assert route.join(Event("a")) == ACCEPTED
        accepted = join(route)
        assert accepted.state() == WAITING
        queue.close(drain=False)
        assert discard(queue.address)[1] == 2


def look() -> None:
    """Figures of recipients, and of arrivals."""
    queue = new_queue()
    route = route_of(queue, 3)
    assert len(queue.snapshot(8, 8, route.recipients, durations=True).recipients) == 3
    assert len(queue.load(route.recipients)[1]) == 3
    assert running_in(queue.address) == []


def make_wrong_routes() -> None:
    """A route that cannot be created leaks nothing."""
    queue = new_queue()
    for level, number, recipients in (
        (0, 1, ()),
        (1, 5000, ()),
        (1, 1, (Recipient(len, False), 7)),
    ):
        with pytest.raises((ValueError, TypeError)):
            Route(queue, queue.address, level, number, recipients, Event, None, False, ())


def swap() -> None:
    """Items come and go."""
    table: dict[str, tuple[object, ...]] = {}
    one = (object(),)
    assert swap_item(table, "a", (), one)
    assert not swap_item(table, "a", (object(),), ())
    assert swap_item(table, "a", one, ())
    assert table == {}


ENTRY_POINTS = [
    push_and_discard,
    push_more_than_there_are_places,
    refuse_with_and_without_a_wait,
    wait_without_a_thread,
    look,
    make_wrong_routes,
    swap,
]


@pytest.mark.parametrize("work", ENTRY_POINTS, ids=lambda work: work.__name__)
def test_an_entry_point_keeps_no_memory(work: Callable[[], None]) -> None:
    """However often it is called."""
    assert_keeps_nothing(work, times=200)


def test_workers_that_come_and_go_keep_no_memory(factory: BusFactory) -> None:
    """Nor do their threads."""
    bus = factory.bus(workers=1)
    alone = threading.active_count()

    def come_and_go() -> None:
        bus.resize(3)
        bus.resize(1)
        poll(lambda: threading.active_count() == alone)

    for _ in range(KEPT_STEPS // 2):  # two steps each: the history of steps is full now
        come_and_go()
    assert_keeps_nothing(come_and_go, times=20)


def test_looking_at_what_runs_keeps_no_memory(factory: BusFactory) -> None:
    """Event and subscription are only borrowed."""
    bus = factory.bus(workers=2)
    factory.hold(bus)
    queue = queue_of(bus)
    assert_keeps_nothing(lambda: running(queue), times=200)
    assert len(running(queue)) == 2
