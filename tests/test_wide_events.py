"""Events with more deliveries than the queue has slots."""

import pytest

from brummerbus import BackpressurePolicy, DropReason, Event, QueueFull
from helpers.buses import BusFactory
from helpers.checks import assert_balance
from helpers.handlers import Recorder
from helpers.scene import BLOCK, CALLER_RUNS, LOWEST, NEWEST, OLDEST, REJECT, Scene
from helpers.threads import InThread
from helpers.waiting import HANG

PLACES, WIDE = 2, 5


def scene_of(
    factory: BusFactory, policy: BackpressurePolicy, **more: object
) -> tuple[Scene, Recorder]:
    """Return a scene and the recorder that receives each wide event five times."""
    scene, recorder = Scene(factory, policy, PLACES, **more), Recorder()
    for _ in range(WIDE):
        scene.bus.subscribe("wide", recorder)
    return scene, recorder


@pytest.mark.parametrize("policy", BackpressurePolicy)
@pytest.mark.parametrize("timeout", [None, 0, HANG])
def test_it_is_accepted_whole_when_the_queue_is_empty(
    factory: BusFactory, policy: BackpressurePolicy, timeout: float | None
) -> None:
    """Otherwise it could never be delivered, whatever was evicted."""
    scene, recorder = scene_of(factory, policy)
    assert scene.bus.publish(Event("wide"), timeout=timeout) is True
    assert scene.bus.depth == WIDE
    assert recorder.events == []
    scene.finish()
    assert len(recorder.events) == WIDE
    assert len(scene.drops) == 0


@pytest.mark.parametrize("policy", BackpressurePolicy)
@pytest.mark.parametrize("queued", [("2a",), ("2a", "2b")], ids=["one_queued", "full"])
def test_it_waits_until_the_queue_is_empty(
    factory: BusFactory, policy: BackpressurePolicy, queued: tuple[str, ...]
) -> None:
    """And not only by a slot or two."""
    scene, recorder = scene_of(factory, policy, publish_timeout=HANG)
    scene.publish(*queued)
    call = InThread(lambda: scene.bus.publish(Event("wide")))
    call.await_waiter(scene.bus)
    assert scene.finish() == list(queued)
    assert call.result() is True
    assert scene.bus.flush(HANG)
    assert len(recorder.events) == WIDE


@pytest.mark.parametrize(
    ("policy", "queued", "accepted"),
    [
        (OLDEST, "2a 1b", True),
        (OLDEST, "1a", True),
        (OLDEST, "2a 3b", False),  # one is more urgent: nothing is evicted
        (LOWEST, "1a 1b", True),
        (LOWEST, "1a 2b", False),
        (NEWEST, "1a", False),
    ],
)
def test_all_that_is_queued_gives_way_or_nothing(
    factory: BusFactory, policy: BackpressurePolicy, queued: str, accepted: object
) -> None:
    """According to the policy: if one delivery may not be evicted, the event is refused."""
    scene, recorder = scene_of(factory, policy)
    scene.publish(*queued.split())
    assert scene.bus.publish(Event("wide", "wide"), priority=2) is accepted
    lost = {(event.data, reason) for event, _, reason in scene.drops}
    if accepted:
        assert lost == {(data, DropReason.EVICTED) for data in queued.split()}
    else:
        assert lost == {("wide", DropReason.REFUSED)}
    handled = scene.finish()
    assert sorted(handled) == ([] if accepted else sorted(queued.split()))
    assert len(recorder.events) == (WIDE if accepted else 0)


@pytest.mark.parametrize(("policy", "timeout"), [(REJECT, None), (BLOCK, 0.01)])
def test_it_is_refused_by_an_exception(
    factory: BusFactory, policy: BackpressurePolicy, timeout: float | None
) -> None:
    """It has the number of deliveries and of slots."""
    scene, _ = scene_of(factory, policy)
    scene.publish("1a")
    with pytest.raises(QueueFull, match=r"2 slots.*'wide' with 5 deliveries"):
        scene.bus.publish(Event("wide"), timeout=timeout)
    assert scene.bus.stats().dropped_by[DropReason.REFUSED][2] == WIDE
    assert scene.finish() == ["1a"]


def test_the_caller_runs_all_of_it(factory: BusFactory) -> None:
    """Nothing that is queued is evicted."""
    scene, recorder = scene_of(factory, CALLER_RUNS)
    scene.publish("1a")
    assert scene.bus.publish(Event("wide")) is True
    assert len(recorder.events) == WIDE
    assert scene.finish() == ["1a"]


def test_what_comes_after_it_waits_until_it_fits_again(factory: BusFactory) -> None:
    """All queued deliveries must be below `queue_size` first."""
    scene, _ = scene_of(factory, REJECT)
    assert scene.bus.publish(Event("wide"))
    for _ in range(2):
        with pytest.raises(QueueFull):
            scene.publish("3a")
    assert scene.bus.depth == WIDE
    scene.finish()
    assert scene.publish("3b") == [True]


def test_many_wide_events_from_a_batch_are_all_delivered(factory: BusFactory) -> None:
    """Each when the queue is empty."""
    bus, recorder = factory.bus(queue_size=PLACES, policy=BLOCK), Recorder()
    for _ in range(WIDE):
        bus.subscribe("wide", recorder)
    assert bus.publish_many([Event("wide", number) for number in range(100)]) == 100
    assert bus.flush(HANG)
    assert recorder.data == [number for number in range(100) for _ in range(WIDE)]
    assert_balance(bus.stats())
