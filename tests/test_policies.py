"""What is evicted or refused when there are too few free slots."""

import threading

import pytest

from brummerbus import BackpressurePolicy, DropReason, Event, QueueFull
from helpers.buses import BusFactory
from helpers.handlers import Recorder
from helpers.scene import BLOCK, CALLER_RUNS, LOWEST, NEWEST, OLDEST, REJECT, Scene
from helpers.threads import InThread, run_together
from helpers.waiting import HANG

# ---- eviction ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("queued", "new", "evicted", "handled"),
    [
        ("2a 2b 2c", "2d", "2a", "2b 2c 2d"),
        ("2a 2b 2c", "2d 2e 2f 2g", "2a 2b 2c 2d", "2e 2f 2g"),
        ("1a 2b 3c", "3d", "1a", "3c 3d 2b"),
        ("3a 1b 2c", "3d", "3a", "3d 2c 1b"),  # the oldest, not the least urgent
        ("3a 1b 2c", "2d", "1b", "3a 2c 2d"),  # more urgent ones are not evicted
        ("3a 2b 1c", "1d", "1c", "3a 2b 1d"),
        ("2a 1b 2c 1d", "2e 2f 2g", "2a 1b 2c", "2e 2f 2g 1d"),
    ],
)
def test_drop_oldest_evicts_the_oldest_of_those_no_more_urgent(
    factory: BusFactory, queued: str, new: str, evicted: str, handled: str
) -> None:
    """Whatever their level, in the order in which they were accepted."""
    scene = Scene(factory, OLDEST, len(queued.split()))
    scene.publish(*queued.split())
    assert all(scene.publish(*new.split()))
    assert scene.drops.data == evicted.split()
    assert {reason for _, _, reason in scene.drops} == {DropReason.EVICTED}
    assert scene.finish() == handled.split()


@pytest.mark.parametrize(
    ("queued", "new", "evicted", "handled"),
    [
        ("1a 2b 2c", "3d", "1a", "3d 2b 2c"),
        ("2a 2b 1c", "3d 3e", "1c 2a", "3d 3e 2b"),  # lowest level first
        ("2a 1b 2c 1d", "3e 3f 3g", "1b 1d 2a", "3e 3f 3g 2c"),  # oldest first within it
        ("3a 2b 1c", "2d", "1c", "3a 2b 2d"),
    ],
)
def test_drop_lowest_evicts_the_least_urgent(
    factory: BusFactory, queued: str, new: str, evicted: str, handled: str
) -> None:
    """Lowest level first, oldest first within it."""
    scene = Scene(factory, LOWEST, len(queued.split()))
    scene.publish(*queued.split())
    assert all(scene.publish(*new.split()))
    assert scene.drops.data == evicted.split()
    assert {reason for _, _, reason in scene.drops} == {DropReason.EVICTED}
    assert scene.finish() == handled.split()


@pytest.mark.parametrize(
    ("policy", "queued", "new"),
    [
        (OLDEST, "3a 3b", "2c"),
        (OLDEST, "2a 3b", "1c"),
        (LOWEST, "2a 2b", "2c"),
        (LOWEST, "2a 3b", "1c"),
        (NEWEST, "1a 1b", "3c"),
        (REJECT, "1a 1b", "3c"),
    ],
)
def test_new_event_gives_way_if_no_other_must(
    factory: BusFactory, policy: BackpressurePolicy, queued: str, new: str
) -> None:
    """False, or `QueueFull` with REJECT; what was queued stays."""
    scene = Scene(factory, policy, 2)
    scene.publish(*queued.split())
    if policy is REJECT:
        with pytest.raises(QueueFull) as caught:
            scene.publish(new)
        assert caught.value.accepted == 0
    else:
        assert scene.publish(new) == [False]
    assert [(e.data, s, r) for e, s, r in scene.drops] == [
        (new, scene.subscription, DropReason.REFUSED)
    ]
    assert scene.bus.stats().dropped_by[DropReason.REFUSED][int(new[0])] == 1
    assert sorted(scene.finish()) == sorted(queued.split())


@pytest.mark.parametrize(("policy", "queued"), [(OLDEST, "2a 3b 3c"), (LOWEST, "1a 2b 2c")])
def test_nothing_is_evicted_for_an_event_that_is_then_refused(
    factory: BusFactory, policy: BackpressurePolicy, queued: str
) -> None:
    """An event of two deliveries needs two slots, and only one can be freed."""
    scene = Scene(factory, policy, 3)
    scene.publish(*queued.split())
    for _ in range(2):
        scene.bus.subscribe("pair", scene.recorder)
    assert scene.bus.publish(Event("pair", "pair"), priority=2) is False
    assert scene.drops.data == ["pair", "pair"]
    assert sorted(scene.finish()) == queued.split()


@pytest.mark.parametrize("policy", [OLDEST, LOWEST])
def test_event_with_several_deliveries_evicts_as_many_as_it_needs(
    factory: BusFactory, policy: BackpressurePolicy
) -> None:
    """Not more: free slots are used first."""
    scene = Scene(factory, policy, 4)
    scene.publish("1a", "1b", "1c")
    for _ in range(3):
        scene.bus.subscribe("wide", scene.recorder)
    assert scene.bus.publish(Event("wide", "w"), priority=3) is True
    assert scene.drops.data == ["1a", "1b"]
    assert scene.bus.depth == 4
    assert scene.finish() == ["w", "w", "w", "1c"]


def test_event_can_lose_some_of_its_deliveries(factory: BusFactory) -> None:
    """Eviction is by delivery: the first subscription's is evicted first, the others stay."""
    scene = Scene(factory, OLDEST, 3)
    second, third = Recorder(), Recorder()
    subscriptions = [scene.subscription, scene.bus.subscribe("a", second)]
    scene.bus.subscribe("a", third)
    scene.bus.subscribe("b", Recorder())
    scene.publish("2a")
    assert scene.bus.publish(Event("b"))
    assert scene.bus.publish(Event("b"))
    assert [s for _, s, _ in scene.drops] == subscriptions
    scene.finish()
    assert (scene.recorder.data, second.data, third.data) == ([], [], ["2a"])


# ---- BLOCK and CALLER_RUNS -------------------------------------------------------------------


def test_block_waits_without_limit(factory: BusFactory) -> None:
    """`publish_timeout` does not apply to it."""
    scene = Scene(factory, BLOCK, 1, publish_timeout=0)
    scene.publish("2a")
    calls = [InThread(lambda: scene.publish("2b")) for _ in range(3)]
    threading.Event().wait(0.5)  # there is a limit if this is too long
    for call in calls:
        call.await_waiter(scene.bus, 3)
    assert scene.finish()[:1] == ["2a"]
    assert [call.result() for call in calls] == [[True]] * 3
    assert scene.bus.flush(HANG)
    assert len(scene.recorder.data) == 4


@pytest.mark.parametrize("timeout", [0, 0.05])
def test_block_raises_queue_full_at_an_explicit_timeout(
    factory: BusFactory, timeout: float
) -> None:
    """Each time; it counts as refused."""
    scene = Scene(factory, BLOCK, 1)
    scene.publish("1a")
    for _ in range(2):
        with pytest.raises(QueueFull, match="full"):
            scene.bus.publish(Event("a", "3b"), priority=3, timeout=timeout)
    assert scene.bus.stats().dropped_by[DropReason.REFUSED] == {1: 0, 2: 0, 3: 2}
    assert scene.finish() == ["1a"]


def test_caller_runs_runs_the_handlers_in_the_publishing_thread(factory: BusFactory) -> None:
    """All of the event's, immediately, before what is queued, and counted like any others."""
    scene = Scene(factory, CALLER_RUNS, 1)
    scene.publish("2a")
    threads: list[threading.Thread] = []
    for _ in range(3):
        scene.bus.subscribe("b", lambda _: threads.append(threading.current_thread()))
    assert scene.bus.publish(Event("b")) is True
    assert threads == [threading.current_thread()] * 3
    stats = scene.bus.stats()
    assert (stats.processed, stats.running, stats.by_type["b"].processed) == (3, 1, 3)
    assert scene.finish() == ["2a"]


def test_caller_runs_only_without_room(factory: BusFactory) -> None:
    """As long as slots are free the workers run the handlers."""
    bus = factory.bus(policy=CALLER_RUNS)
    threads: list[threading.Thread] = []
    bus.subscribe("a", lambda _: threads.append(threading.current_thread()))
    for _ in range(10):
        assert bus.publish(Event("a"))
        assert bus.flush(HANG)
    assert threading.current_thread() not in threads


# ---- several publishers ----------------------------------------------------------------------


@pytest.mark.parametrize("policy", BackpressurePolicy)
@pytest.mark.parametrize("wide", [1, 3])
def test_counts_are_exact_with_several_publishers_at_the_brim(
    factory: BusFactory, policy: BackpressurePolicy, wide: int, frequent_switches: None
) -> None:
    """Each delivery is handled or reported as dropped, once; never both, never neither."""
    scene = Scene(factory, policy, 9)
    for _ in range(wide - 1):
        scene.bus.subscribe("a", scene.recorder)
    answers: list[list[bool]] = [[] for _ in range(6)]

    def work(number: int) -> None:
        for i in range(100):
            options = {"timeout": 0} if policy is BLOCK else {}
            try:
                answer = scene.bus.publish(Event("a", (number, i)), priority=1 + i % 3, **options)
            except QueueFull:
                answer = False
            answers[number].append(answer)

    run_together(6, work)
    handled = scene.finish()
    lost = scene.drops.data
    accepted = sum(map(sum, answers))
    every = sorted((n, i) for n in range(6) for i in range(100) for _ in range(wide))
    assert sorted(handled + lost) == every
    refused = [event.data for event, _, reason in scene.drops if reason is DropReason.REFUSED]
    assert len(refused) == (600 - accepted) * wide
    if policy in (NEWEST, REJECT, BLOCK):
        assert accepted == 9 // wide
    assert bool(lost) is (policy is not CALLER_RUNS)
