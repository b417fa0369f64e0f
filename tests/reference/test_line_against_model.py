"""Publishers that wait are admitted as in the plain Python queue: by level, then in order.

The worker is released delivery by delivery, so that nothing is left to chance.
"""

import os

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from model import Queue

from brummerbus import BackpressurePolicy, Event, EventBus
from helpers.checks import assert_balance
from helpers.handlers import Gate
from helpers.threads import InThread
from helpers.waiting import HANG

LONG = os.environ.get("BRUMMERBUS_LONG") == "1"
LEVELS = 3
POLICIES = list(BackpressurePolicy)

waiters = st.lists(st.tuples(st.integers(1, LEVELS), st.integers(1, 3)), min_size=1, max_size=6)

Item = tuple[int, int]  # the event's number, and which of its handlers


class Scene:
    """A bus whose only worker records its deliveries, and waits for a signal after each."""

    def __init__(self, policy: BackpressurePolicy, size: int) -> None:
        self.entered: list[Item] = []
        self.gate = Gate()
        self.bus = EventBus(policy=policy, queue_size=size, workers=1, publish_timeout=HANG)
        for count in (1, 2, 3):
            for index in range(count):
                self.bus.subscribe(str(count), lambda event, i=index: self._handle((event.data, i)))

    def _handle(self, item: Item) -> None:
        self.entered.append(item)
        self.gate(item)

    def publish(self, number: int, level: int, count: int) -> bool:
        """Publish an event with `count` deliveries."""
        event = Event(str(count), number)
        return self.bus.publish(event, priority=level, timeout=HANG)


@given(policy=st.sampled_from(POLICIES), size=st.integers(1, 4), line=waiters)
@settings(max_examples=1000 if LONG else 40, deadline=None, suppress_health_check=list(HealthCheck))
def test_who_waits_is_let_in_as_in_the_model(
    policy: BackpressurePolicy, size: int, line: list[tuple[int, int]]
) -> None:
    """Whatever the policy, the sizes and the levels: no event is refused, none evicted."""
    scene, model = Scene(policy, size), Queue(size)
    assert scene.publish(-1, 1, 1)
    scene.gate.wait_entered()
    for number in range(size):
        assert scene.publish(number, 1, 1)
        model = model.offer(policy, 1, [(number, 0)])[0]
    publishers = []
    for number, (level, count) in enumerate(line, start=size):
        publish = lambda n=number, at=level, c=count: scene.publish(n, at, c)  # noqa: E731
        publishers.append(InThread(publish))
        publishers[-1].await_waiter(scene.bus, waiters=len(publishers))
        model = model.wait(level, [(number, index) for index in range(count)])
    expected = [(-1, 0)]
    while model.queued:
        model, item = model.take()
        expected.append(item)
        scene.gate.let_through()
        scene.gate.wait_entered()
        stats = scene.bus.stats()
        assert (stats.waiting, stats.queued) == (len(model.line), len(model.queued))
    scene.gate.open()
    assert all(publisher.result() for publisher in publishers)
    assert scene.bus.stop(timeout=HANG)
    assert scene.entered == expected
    assert_balance(scene.bus.stats())
