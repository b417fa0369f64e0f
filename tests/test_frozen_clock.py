"""A program that freezes time, as freezegun and time-machine do: every wait still ends.

Each program runs in its own process, whose clocks are frozen: those of Python from before the
library is imported, or from after it, as seen by every module.
"""

import pytest

from brummerbus import BackpressurePolicy
from helpers.processes import SOON, Ended, run_python

pytestmark = pytest.mark.slow  # tests here take a second and more

FREEZE = """
import sys, time
def freeze():
    frozen = {name: (lambda value: lambda: value)(getattr(time, name)())
              for name in ("monotonic", "time", "perf_counter", "monotonic_ns", "time_ns")}
    real = {id(getattr(time, name)): name for name in frozen}
    for module in [m for n, m in sys.modules.items() if n == "time" or n.startswith("brummerbus")]:
        for name, value in list(vars(module).items()):
            if id(value) in real:
                setattr(module, name, frozen[real[id(value)]])
    first = [clock() for clock in frozen.values()]
    time.sleep(0.01)
    assert [clock() for clock in frozen.values()] == first
"""

FULL = """
bus, gate = bus_of(queue_size=1, publish_timeout=0.05, {settings}), Gate()
bus.subscribe("gate", gate)
bus.subscribe("a", lambda event: None)
bus.publish(Event("gate"))
gate.entered.acquire()
bus.publish(Event("a"))
"""


def run(code: str, when: str = "before") -> Ended:
    """Run a program with frozen clocks, and check that it ended soon."""
    first = f"import threading\n{FREEZE}\n" + ("freeze()" if when == "before" else "")
    end = run_python(("freeze()\n" if when == "after" else "") + code, first=first)
    assert (end.code, end.err) == (0, "")
    assert end.seconds < SOON
    return end


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("policy", BackpressurePolicy, ids=lambda policy: policy.value)
def test_waits_for_room_end_while_clocks_stand_still(policy: BackpressurePolicy, when: str) -> None:
    """By the standstill rule, and by its own time-out; then the policy applies."""
    settings = f"policy=BackpressurePolicy.{policy.name}"
    end = run(
        f"""
import logging
logging.disable()
{FULL.format(settings=settings)}
def publish(**more):
    try:
        say(bus.publish(Event("a"), **more))
    except QueueFull:
        say("full")
if bus.config.policy is not BackpressurePolicy.BLOCK:
    publish()
publish(timeout=0.05)
say(bus.publish_many([], timeout=0.05))
gate.opened.set()
assert bus.flush()
assert bus.stop()
""",
        when,
    )
    answer = {
        BackpressurePolicy.DROP_NEWEST: "False",
        BackpressurePolicy.DROP_LOWEST: "False",
        BackpressurePolicy.REJECT: "full",
        BackpressurePolicy.BLOCK: "full",
    }.get(policy, "True")
    waits = 1 if policy is BackpressurePolicy.BLOCK else 2
    assert end.lines == [answer] * waits + ["0"]


@pytest.mark.parametrize("when", ["before", "after"])
def test_flush_and_stop_end_while_clocks_stand_still(when: str) -> None:
    """In the main thread and in another."""
    end = run(
        f"""
import logging
logging.disable()
{FULL.format(settings="name='frozen'")}
def wait():
    say(bus.flush(0.05), bus.flush(timeout=0))
wait()
thread = threading.Thread(target=wait)
thread.start()
thread.join()
say(bus.stop(timeout=0.05))
gate.opened.set()
say(bus.stop(timeout=20), bus.stats().running)
""",
        when,
    )
    assert end.lines == ["False False", "False False", "False", "False 0"]


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_drain_gives_up_a_standstill_while_clocks_stand_still(when: str) -> None:
    """After an exception in a `with` block, and at exit."""
    end = run(
        f"""
import logging
logging.disable()
{FULL.format(settings="shutdown_timeout=0.1")}
other = bus_of(shutdown_timeout=0.1)
other.subscribe("gate", gate)
other.publish(Event("gate"))
gate.entered.acquire()
try:
    with bus:
        raise LookupError
except LookupError:
    say("left")
""",
        when,
    )
    assert end.lines == ["left"]


@pytest.mark.parametrize("when", ["before", "after"])
def test_pools_grow_and_slow_handlers_are_seen_while_clocks_stand_still(when: str) -> None:
    """The monitor uses the same clock."""
    end = run(
        """
import logging
slow = threading.Event()
class Handler(logging.Handler):
    def emit(self, record):
        if "a handler is slow" in record.getMessage():
            slow.set()
logging.getLogger("brummerbus").addHandler(Handler())
bus, gate = bus_of(workers=(1, 2), slow_handler_after=0.05), Gate()
bus.subscribe("gate", gate)
for _ in range(2):
    bus.publish(Event("gate"))
for _ in range(2):
    assert gate.entered.acquire(timeout=20)
assert slow.wait(20)
gate.opened.set()
assert bus.flush()
while not bus.stats().sizing:  # the step is noted once the new worker is there
    time.sleep(0.001)
stats = bus.stats()
say(bus.workers, len(stats.sizing), stats.queue_wait.max > 0.04, stats.age > stats.queue_wait.max)
""",
        when,
    )
    assert end.lines == ["2 1 True True"]
