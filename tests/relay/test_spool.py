"""The spool: bounded, in order, and its counts agree in every step."""

import random
import threading
from collections import deque

import pytest

from brummerbus import BackpressurePolicy
from brummerbus.relay._broker import Message
from brummerbus.relay._spool import OVERHEAD, Spool
from helpers.waiting import HANG, poll

P = BackpressurePolicy


def message(number: int, size: int = 0) -> Message:
    return Message("t", {}, b"x" * size, str(number))


def spool(events: int = 10, policy: P = P.DROP_NEWEST, size: int = 1 << 20) -> Spool:
    return Spool(events, size, policy)


def taken(one: Spool, events: int = 100, size: int = 1 << 20) -> list[int]:
    return [int(entry.message.id) for entry in one.take(events, size)[0]]


def check(one: Spool) -> None:
    figures = one.figures()
    assert figures["spooled"] == figures["acked"] + figures["queued"] + figures["dropped"]  # type: ignore[operator]
    assert figures["queued"] == len(one)


def test_events_are_taken_in_order_up_to_a_window() -> None:
    one = spool()
    messages = [message(number) for number in range(6)]
    for m in messages:
        assert one.put(m, 2) is None
    assert taken(one, 4) == [0, 1, 2, 3]
    assert one.take(4, 1 << 20) == ([], True)
    one.answer(messages[1])
    assert taken(one, 4) == [4]
    assert (one.acked, one.sent, one.resent) == (1, 5, 0)
    check(one)


def test_after_a_rewind_what_was_not_acknowledged_comes_first_in_order() -> None:
    one = spool()
    messages = [message(number) for number in range(6)]
    for m in messages:
        one.put(m, 2)
    taken(one, 4)
    one.answer(messages[1])
    one.rewind()
    assert one.unanswered == 0
    one.answer(messages[2])  # late, from the connection before
    assert taken(one) == [0, 3, 4, 5]
    assert (one.sent, one.resent) == (6, 2)
    one.answer(messages[2])
    assert one.acked == 2
    check(one)


def test_a_deferred_event_waits_for_the_next_rewind() -> None:
    one = spool()
    first = message(0)
    one.put(first, 2)
    taken(one)
    one.defer(first)
    assert (one.unanswered, one.oldest_unanswered(), taken(one)) == (0, None, [])
    one.rewind()
    assert taken(one) == [0]
    assert one.oldest_unanswered() is not None


def test_bytes_are_bounded_and_one_event_may_be_larger() -> None:
    one = spool(size=3 * OVERHEAD)
    assert one.put(message(0, 10 * OVERHEAD), 2) is None
    assert one.put(message(1), 2) == "full"
    check(one)
    assert one.take(10, 1)[0][0].message.id == "0"
    assert one.put(message(2), 2) == "full"


def test_a_window_of_bytes_admits_one_event_that_is_larger() -> None:
    one = spool()
    for number in range(3):
        one.put(message(number, 1000), 2)
    assert taken(one, 10, 1) == [0]
    assert one.take(10, 1) == ([], True)


def test_drop_oldest_drops_no_more_urgent_event() -> None:
    one = spool(3, P.DROP_OLDEST)
    for number, level in enumerate((3, 1, 2)):
        one.put(message(number), level)
    assert one.put(message(3), 2) == "evicted"  # 1, of level 1
    assert one.put(message(4), 2) == "evicted"  # 2
    assert one.put(message(5), 1) == "full"
    assert taken(one) == [0, 3, 4]
    check(one)


def test_drop_lowest_drops_what_is_less_urgent_lowest_first() -> None:
    one = spool(3, P.DROP_LOWEST)
    for number, level in enumerate((2, 1, 2)):
        one.put(message(number), level)
    assert one.put(message(3), 3) == "evicted"  # 1
    assert one.put(message(4), 3) == "evicted"  # 0
    assert one.put(message(5), 2) == "full"
    assert taken(one) == [2, 3, 4]
    check(one)


def test_nothing_is_dropped_for_an_event_that_has_no_room_then() -> None:
    one = spool(10, P.DROP_OLDEST, size=4 * OVERHEAD)
    for number, level in enumerate((1, 3, 3)):
        one.put(message(number), level)
    assert one.put(message(3, 3 * OVERHEAD), 1) == "full"
    assert taken(one) == [0, 1, 2]


def test_what_was_taken_is_never_dropped() -> None:
    one = spool(2, P.DROP_OLDEST)
    one.put(message(0), 2)
    one.put(message(1), 2)
    assert taken(one) == [0, 1]
    assert one.put(message(2), 3) == "full"
    one.rewind()
    assert one.put(message(3), 3) == "full"
    assert taken(one) == [0, 1]


def test_block_waits_for_room_and_close_ends_that() -> None:
    one = spool(1, P.BLOCK)
    first = message(0)
    one.put(first, 2)
    results: deque[str | None] = deque()
    threads = [
        threading.Thread(target=lambda n=n: results.append(one.put(message(n), 2)))  # type: ignore[misc]
        for n in (1, 2)
    ]
    for thread in threads:
        thread.start()
    poll(lambda: one._waiters == 2)
    check(one)
    taken(one)
    one.answer(first)
    poll(lambda: len(results) == 1)
    assert results[0] is None
    check(one)
    assert one.close() == 1
    for thread in threads:
        thread.join(HANG)
    assert list(results) == [None, "shutdown"]
    assert one.put(message(3), 2) == "shutdown"
    check(one)
    assert one.figures()["dropped_by"] == {"shutdown": 3}


def test_an_event_that_is_published_twice_is_in_the_spool_twice() -> None:
    one = spool()
    copies = [message(7), message(7)]
    for m in copies:
        one.put(m, 2)
    assert taken(one) == [7, 7]
    for m in copies:
        one.answer(m)
    assert (one.acked, len(one)) == (2, 0)


@pytest.mark.parametrize("policy", [P.DROP_NEWEST, P.DROP_OLDEST, P.DROP_LOWEST, P.REJECT])
@pytest.mark.parametrize("seed", range(10))
def test_in_whatever_order_things_happen_the_counts_agree_and_order_holds(
    policy: P, seed: int
) -> None:
    draw = random.Random(f"{policy} {seed}")
    one = spool(8, policy, size=12 * OVERHEAD)
    sent: dict[str, Message] = {}
    last_new = -1
    for number in range(500):
        step = draw.random()
        if step < 0.5:
            one.put(message(number, draw.choice((0, 0, 3 * OVERHEAD))), draw.randint(1, 3))
        elif step < 0.7:
            for entry in one.take(draw.randint(1, 6), 8 * OVERHEAD)[0]:
                if entry.message.id not in sent:
                    assert int(entry.message.id) > last_new
                    last_new = int(entry.message.id)
                sent[entry.message.id] = entry.message
        elif step < 0.9 and sent:
            reason = draw.choice((None, None, "rejected"))
            one.answer(sent.pop(draw.choice(list(sent))), dropped=reason)
        elif step < 0.95:
            one.rewind()
        elif sent:
            one.defer(draw.choice(list(sent.values())))
        check(one)
        assert len(one) <= 8
        assert one.unanswered <= 6
        assert one._bytes == sum(e.size for e in one._waiting if e.waits) + sum(
            e.size for e in one._taken.values()
        )
