"""The adviser's results for measurements, artificial and real."""

import json
import sys
from time import thread_time
from typing import Any

import pytest

from brummerbus import Advice, BackpressurePolicy, Event, EventBus
from brummerbus._measurements import MeasuredLoad, Timer, Windows
from brummerbus.sizing._adviser import MIN_DELIVERIES, advise
from helpers.buses import BusFactory
from helpers.handlers import Recorder
from helpers.internals import load_of, type_numbers
from helpers.waiting import HANG, pause

pytestmark = pytest.mark.slow  # tests here take a second and more

S = 1_000_000_000
MS = 1_000_000


def timer(deliveries: int, wall: int, cpu: int) -> Timer:
    """Return the timer of equal deliveries, in nanoseconds each."""
    squares = deliveries * float(wall) ** 2, deliveries * float(cpu) ** 2
    return Timer(deliveries, deliveries * wall, deliveries * cpu, *squares)


def poisson(rate: float, seconds: float) -> list[Windows]:
    """Return the windows of random arrivals, as they are on average."""
    found = []
    for length in (0.01, 0.1, 1.0):
        n, mean = int(seconds / length), rate * length
        found.append(Windows(n, n * mean, n * (mean + mean * mean)))
    return found


def measured(rate: float, *timers: Timer, seconds: int = 30, cpu: float = 0.0) -> MeasuredLoad:
    """Return a queue's measurements with random arrivals; `cpu` in cores of the whole process."""
    ns = seconds * S
    numbered = dict(enumerate(timers, start=1))
    return MeasuredLoad(
        int(rate * seconds), 0, ns, int(cpu * ns), ns, poisson(rate, seconds), numbered
    )


def advice(load: MeasuredLoad, workers: int = 4, target: float = 0.01) -> Advice:
    """Return the advice for a queue with subscriptions named a, b, c."""
    return advise(load, {1: "a", 2: "b", 3: "c"}, workers, (0.001, 0.05), target)


@pytest.fixture(autouse=True)
def one_compute_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """The interpreter has a GIL."""
    monkeypatch.setattr("brummerbus.sizing._adviser.compute_servers", lambda: 1)


# ---- made up -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("gil", "turn"), [(True, sys.getswitchinterval()), (False, 0.0)])
def test_free_workers_wait_for_the_gil_where_there_is_one(
    monkeypatch: pytest.MonkeyPatch, gil: bool, turn: float
) -> None:
    """Many workers for much computing: p99 is several switch intervals, without a GIL 0."""
    monkeypatch.setattr("brummerbus.sizing._host.gil_enabled", lambda: gil)
    found = advice(measured(60, timer(1_800, 20 * MS, 6 * MS), cpu=0.36), workers=32)
    assert found.load is not None
    assert found.load.turn == turn
    now = next(row for row in found.table if row.workers == 32)
    assert (now.p99_wait > 0) is gil


def test_waiting_work_gets_as_many_workers_as_the_target_needs() -> None:
    """500/s at 10 ms keep 5 workers busy; the minimum that stays under 10 ms is somewhat higher."""
    found = advice(measured(500, timer(15_000, 10 * MS, 50_000), cpu=0.025))
    assert found.recommended is not None
    assert 6 <= found.recommended <= 9
    table = {row.workers: row for row in found.table}
    assert table[found.recommended].p99_wait <= 0.01
    assert table[found.recommended - 1].p99_wait > 0.01
    assert found.load is not None
    assert found.load.wait == pytest.approx(0.00995, rel=0.05)
    assert found.busy == pytest.approx(1.0)


def test_computing_work_is_told_that_workers_do_not_help() -> None:
    """300/s at 3 ms of CPU each are 90 % of the only server."""
    found = advice(measured(300, timer(9_000, 11 * MS, 3 * MS), cpu=0.9))
    assert found.recommended is None
    assert "more workers do not help" in found.reason
    assert "one server for the whole process (the GIL)" in found.reason


def test_more_computing_than_there_is_time_for_is_told_so() -> None:
    """400/s at 3 ms."""
    found = advice(measured(400, timer(12_000, 12 * MS, 3 * MS), cpu=1.0))
    assert found.recommended is None
    assert found.reason.endswith("make handlers compute less")


@pytest.mark.slow
def test_waiting_for_the_gil_is_not_taken_for_blocking() -> None:
    """A server busy for 60 % takes 7.5 ms for 3 ms of random work: 3 / (1 - 0.6), M/M/1."""
    n, wall, cpu = 6_000, 7.5 * MS, 3.0 * MS
    exponential = Timer(n, int(n * wall), int(n * cpu), 2 * n * wall**2, 2 * n * cpu**2)
    found = advice(measured(200, exponential, cpu=0.6), workers=32)
    assert found.load is not None
    assert found.load.wait < 0.001
    assert found.handlers[0].blocking_factor < 0.2


def test_what_other_threads_compute_lengthens_computing() -> None:
    """Publishers that take half of the GIL leave the handlers the other half."""
    found = advice(measured(100, timer(3_000, 3 * MS, 1 * MS), cpu=0.6))
    assert found.others == pytest.approx(0.5)
    assert found.load is not None
    assert found.load.compute == pytest.approx(0.002)


def test_more_cpu_time_than_one_core_shows_that_handlers_release_the_gil(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Then the servers are the cores."""
    monkeypatch.setattr("brummerbus.sizing._adviser.available_cores", lambda: 8)
    found = advice(measured(1000, timer(30_000, 3 * MS, 2 * MS), cpu=2.0))
    assert found.load is not None
    assert found.load.compute_servers > 1


def test_the_dominant_handler_comes_first_with_its_blocking_factor() -> None:
    """By its share of the handling time, not by the number of its runs."""
    found = advice(
        measured(500, timer(14_000, MS // 10, MS // 10), timer(1_000, 40 * MS, MS), cpu=0.1)
    )
    assert found.dominant is not None
    assert (found.dominant.subscription, found.dominant.deliveries) == ("b", 1_000)
    assert found.dominant.share == pytest.approx(40_000 / 41_400)
    assert found.dominant.blocking_factor == pytest.approx(39 / 40, rel=0.01)
    assert found.handlers[1].blocking_factor < 0.2


@pytest.mark.parametrize(
    "load",
    [
        measured(0, seconds=30),
        measured(10, timer(MIN_DELIVERIES - 1, MS, MS)),
        MeasuredLoad(10_000, 0, S // 2, 0, 0, [], {1: timer(10_000, MS, MS)}),
    ],
    ids=["nothing", "few deliveries", "a short time"],
)
def test_too_little_data_is_said_and_no_number_is_given(load: MeasuredLoad) -> None:
    """With what there is and what is needed."""
    found = advice(load)
    assert (found.recommended, found.load, found.table) == (None, None, ())
    assert "too little data" in found.reason
    assert "too little data" in str(found)
    json.dumps(found.as_dict())


def test_bursts_need_more_workers_than_the_same_load_at_random() -> None:
    """Found in the variance of the windows."""
    load = measured(300, timer(9_000, 10 * MS, 50_000))
    bursts = Windows(3_000, 9_000, 3_000 * (9 + 3 * 9.0))
    bursts_10 = Windows(300, 9_000, 300 * (900 + 30 * 9.0))
    in_bursts = advice(load._replace(windows=[bursts, bursts_10]))
    at_random = advice(load)
    assert at_random.load is not None
    assert in_bursts.load is not None
    assert at_random.load.arrival_variability == pytest.approx(1)
    assert in_bursts.load.arrival_variability == pytest.approx(9)
    assert at_random.recommended is not None
    assert in_bursts.recommended is not None
    assert in_bursts.recommended > at_random.recommended + 2


def test_events_with_several_handlers_need_more_workers_than_as_many_deliveries_alone() -> None:
    """Though both handlers and rates are the same: three deliveries come at once."""
    timers = [timer(3_000, 10 * MS, 50_000) for _ in range(3)]
    alone = measured(300, *timers)
    together = alone._replace(
        windows=[Windows(3_000, 9_000, 3_000 * (9 + 3 * 3.0))],
        routes={(1, 1): (1, 2, 3)},
        types={1: 9_000},
        levels={1: 9_000},
    )
    fewer, more = advice(alone, target=0.005), advice(together, target=0.005)
    assert fewer.recommended is not None
    assert more.recommended is not None
    assert more.recommended > fewer.recommended


def test_what_was_measured_outweighs_a_model_that_expects_worse() -> None:
    """The wait is within the target already: the present number is kept, and that is the reason."""
    load = measured(300, timer(9_000, 10 * MS, 50_000))
    load = load._replace(windows=[Windows(3000, 9_000, 3000 * (9 + 3 * 200))])
    found = advise(load, {1: "a"}, 5, (0.0, 0.002), 0.01)
    assert found.recommended == 5
    assert "as now: 99 of 100 deliveries have waited 0.002 s at most" in found.reason


def test_the_report_has_the_number_the_table_and_the_assumptions() -> None:
    """And the measured figures beside them."""
    found = advice(measured(500, timer(15_000, 10 * MS, 50_000), cpu=0.025))
    text = str(found)
    for part in (
        f"Advice: {found.recommended} workers",
        "<- advised",
        "(now)",
        "p99 50 ms",
        "500 deliveries/s",
        "no end",
        "Assumed:",
        "deliveries, on the present number of workers with a p99 of no end",
        "one server for the whole process (the GIL)",
        "key, max_concurrency and reserved_workers are ignored",
    ):
        assert part in text
    assert json.loads(json.dumps(found.as_dict()))["table"][0]["p99_wait"] is None


# ---- real --------------------------------------------------------------------------------------


def publish_for(bus: EventBus, seconds: float, per_event: float, *types: str) -> None:
    """Publish events of these types in turn, as many as the time has room for."""
    for number in range(round(seconds / per_event)):
        bus.publish(Event(types[number % len(types)]))
        pause(per_event)


def compute(_: Any) -> None:
    """Compute for half a millisecond of CPU time."""
    end = thread_time() + 0.0005
    while thread_time() < end:
        pass


def test_a_bus_tells_waiting_handlers_from_computing_ones(factory: BusFactory) -> None:
    """By the wall and the CPU time of each subscription."""
    bus = factory.bus(workers=3, queue_size=100, policy=BackpressurePolicy.BLOCK)
    bus.subscribe("wait", lambda _: pause(0.02))
    bus.subscribe("compute", compute)
    publish_for(bus, 3.0, 0.012, "wait", "compute")
    assert bus.flush(HANG)
    found = bus.advise()
    by_name = {handler.subscription.split(" -> ")[0]: handler for handler in found.handlers}
    assert by_name["wait"].blocking_factor > 0.8
    assert by_name["wait"].handling_time >= 0.02
    assert by_name["compute"].compute_time == pytest.approx(0.0005, rel=0.5)
    assert by_name["compute"].blocking_factor < by_name["wait"].blocking_factor
    assert found.dominant is by_name["wait"]
    assert found.recommended is not None or "more workers do not help" in found.reason
    assert found.workers == 3


def test_each_subscription_of_one_event_has_its_own_times(factory: BusFactory) -> None:
    """Deliveries of one event are distinguished, in whatever order they are handled."""
    bus = factory.bus(workers=2, queue_size=100, policy=BackpressurePolicy.BLOCK)
    for _ in range(3):
        bus.subscribe("a", lambda _: None)
    bus.subscribe("a", lambda _: pause(0.02))
    publish_for(bus, 1.2, 0.015, "a")
    assert bus.flush(HANG)
    times = [handler.handling_time for handler in bus.advise().handlers]
    assert len(times) == 4
    assert times[0] >= 0.02
    assert all(time < 0.01 for time in times[1:])


def test_what_ended_subscriptions_took_is_kept_under_one_name(factory: BusFactory) -> None:
    """Handlers subscribed repeatedly leave one row, and later ones are still distinguished."""
    bus, seen = factory.bus(queue_size=10, policy=BackpressurePolicy.BLOCK), Recorder()
    for _ in range(6000):
        with bus.subscribe("a", seen):
            assert bus.publish(Event("a"))
    bus.subscribe("late", compute)
    assert bus.publish(Event("late"))
    assert bus.flush(HANG)
    assert len(seen.events) == 6000
    load, labels = load_of(bus)
    took = {labels[number]: one.deliveries for number, one in load.timers.items()}
    assert took == {"(other)": 6000, "late -> compute": 1}


def test_deliveries_that_arrive_together_are_known_by_type_and_level(factory: BusFactory) -> None:
    """By subscription, globs and classes included; what has ended is among the others."""
    bus = factory.bus(queue_size=10, policy=BackpressurePolicy.BLOCK)
    bus.subscribe("a", lambda _: None)
    ended = bus.subscribe("a", lambda _: None)
    bus.subscribe("*", lambda _: None)
    bus.subscribe(int, lambda _: None)
    assert bus.publish(Event("a"))
    ended.cancel()
    assert bus.publish(7, priority=1)
    assert bus.flush(HANG)
    load, labels = load_of(bus)
    number = type_numbers(bus)
    assert load.routes == {(number["a"], 2): (1, 0, 2), (number["int"], 1): (3,)}
    assert (labels[0], labels[2].split(" -> ")[0]) == ("(other)", "*")
    assert load.types[number["a"]] == 3
    assert (load.levels[2], load.levels[1]) == (3, 1)
    assert sum(deliveries for _, deliveries in load.processing) == 4


def test_a_bus_without_monitoring_has_no_data(factory: BusFactory) -> None:
    """The reason says so."""
    bus = factory.bus(monitoring=False)
    bus.subscribe("a", lambda _: None)
    bus.publish_many([Event("a")] * 5)
    assert "with monitoring on" in bus.advise().reason


def test_advice_of_a_stopped_bus_is_still_to_be_had(factory: BusFactory) -> None:
    """For a report at the end."""
    bus = factory.bus()
    assert bus.stop()
    assert bus.advise().recommended is None


@pytest.mark.parametrize("target", [-1, float("nan")])
def test_a_target_out_of_range_is_refused(factory: BusFactory, target: float) -> None:
    """Named, with its value."""
    with pytest.raises(ValueError, match="target_wait must be a number of seconds, at least 0"):
        factory.bus().advise(target)


@pytest.mark.parametrize("target", ["1", None, True])
def test_a_target_that_is_no_number_is_refused(factory: BusFactory, target: Any) -> None:
    """A bool is not a number."""
    with pytest.raises(TypeError, match="target_wait must be a number of seconds, at least 0"):
        factory.bus().advise(target)
