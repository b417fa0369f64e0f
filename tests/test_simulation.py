"""The simulation against closed forms, and by hand where the GIL comes in."""

import math
import random
from collections.abc import Callable
from itertools import accumulate

import pytest

from brummerbus.sizing._simulation import Script, simulate

MS = 1e-3
COUNT = 60_000
Draw = Callable[[random.Random], float]


def constant(mean: float) -> Draw:
    return lambda rng: mean


def exponential(mean: float) -> Draw:
    return lambda rng: rng.expovariate(1 / mean)


def lognormal(mean: float, variability: float) -> Draw:
    variance = math.log1p(variability)
    return lambda rng: mean * rng.lognormvariate(-variance / 2, math.sqrt(variance))


NOTHING = constant(0.0)


def at_random(
    rate: float, blocked: Draw, compute: Draw = NOTHING, batch: int = 1, count: int = COUNT
) -> Script:
    """Return a script of Poisson arrivals of batches, at `rate` deliveries per second."""
    rng = random.Random(1)
    times = list(accumulate(rng.expovariate(rate / batch) for _ in range(count // batch)))
    due = [time for time in times for _ in range(batch)]
    numbers = [0] * len(due)
    blocked_for = [blocked(rng) for _ in due]
    return Script(due, numbers, numbers, blocked_for, [compute(rng) for _ in due])


def by_hand(*deliveries: tuple[float, float, float], level: tuple[int, ...] = ()) -> Script:
    """Return a script of due, blocked and computing seconds."""
    due, blocked, compute = (list(column) for column in zip(*deliveries, strict=True))
    numbers = [0] * len(due)
    return Script(due, numbers, level or numbers, blocked, compute)


def erlang_c(workers: int, offered: float) -> float:
    """Return the share that waits in M/M/c, by the recursion of Erlang B."""
    lost = 1.0
    for servers in range(1, workers + 1):
        lost = offered * lost / (servers + offered * lost)
    return lost / (1 - offered / workers * (1 - lost))


class TestClosedForms:
    """Where queueing theory has an exact answer."""

    @pytest.mark.parametrize(("workers", "offered"), [(1, 0.6), (4, 2.8), (16, 12.0)])
    def test_poisson_and_exponential_are_erlang_c(self, workers: int, offered: float) -> None:
        found = simulate(at_random(offered / MS, exponential(MS)), workers)
        waits, pace = erlang_c(workers, offered), MS / (workers - offered)
        assert found.mean == pytest.approx(waits * pace, rel=0.1)
        assert found.quantile(0.99) == pytest.approx(pace * math.log(waits / 0.01), rel=0.1)
        assert found.busy == pytest.approx(offered / workers, rel=0.02)

    @pytest.mark.parametrize(
        ("times", "variability"),
        [(constant(MS), 0.0), (exponential(MS), 1.0), (lognormal(MS, 2.25), 2.25)],
    )
    def test_one_worker_is_pollaczek_khinchine(self, times: Draw, variability: float) -> None:
        """The mean wait of M/D/1, M/M/1 and M/G/1."""
        found = simulate(at_random(0.6 / MS, times), 1)
        assert found.mean == pytest.approx(0.6 / 0.4 * MS * (1 + variability) / 2, rel=0.1)

    def test_batches_wait_for_each_other(self) -> None:
        """M^X/M/1 with batches of three: each takes 2 / (1 - rho) times its own time."""
        found = simulate(at_random(0.5 / MS, exponential(MS), batch=3), 1)
        assert found.mean == pytest.approx(2 * MS / 0.5 - MS, rel=0.1)

    @pytest.mark.parametrize("servers", [1, 3])
    def test_cores_are_erlang_c_however_many_workers_there_are(self, servers: int) -> None:
        """What is not waited for in the queue is waited for in the handler."""
        offered = 0.7 * servers
        script = at_random(offered / MS, NOTHING, exponential(MS))._replace(servers=servers)
        found = simulate(script, 1000)
        assert found.quantile(0.99) == 0
        pace = MS / (servers - offered)
        walls = MS + erlang_c(servers, offered) * pace
        assert mean(found.walls) == pytest.approx(walls, rel=0.1)

    def test_short_turns_share_the_processor(self) -> None:
        """M/G/1 with processor sharing: c / (1 - rho) on average, whatever the distribution."""
        script = at_random(0.6 / MS, NOTHING, lognormal(MS, 2.25), count=COUNT // 3)
        found = simulate(script._replace(turn=0.05 * MS), 1000)
        total = mean(found.walls) + found.mean
        assert total == pytest.approx(MS / 0.4, rel=0.15)

    def test_a_worker_each_is_the_same_whether_it_computes_or_is_blocked(self) -> None:
        """On a core of its own; two ways through the program."""
        blocked = at_random(3.5 / MS, exponential(MS))
        nothing = [0.0] * len(blocked.due)
        computing = blocked._replace(blocked=nothing, compute=blocked.blocked, servers=4)
        assert simulate(computing, 4).waits == pytest.approx(simulate(blocked, 4).waits, abs=1e-9)


def mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)


class TestByHand:
    """A few deliveries, all of which are counted; seconds are whole."""

    def test_two_that_compute_take_turns(self) -> None:
        """The second is taken after the first's first turn; they are done at 5 and 6."""
        found = simulate(by_hand((0, 0, 3), (0, 0, 3))._replace(turn=1.0), 2)
        assert found.waits == [0, 1]
        assert found.walls == [5, 5]

    def test_a_free_worker_waits_for_the_gil_until_a_turn_is_over_or_it_is_given_up(self) -> None:
        long = by_hand((0, 0, 10), (4, 1, 0))._replace(turn=2.0)
        assert simulate(long, 2).waits == [0, 2]  # published at 6, the first goes on until 8
        short = by_hand((0, 0, 5), (4, 1, 0))._replace(turn=2.0)
        assert simulate(short, 2).waits == [0, 0]  # published and taken when it is given up

    def test_a_publisher_that_computes_holds_the_gil(self) -> None:
        """The first is published at 2; the second, which is due before, at 4."""
        script = by_hand((0, 1, 0), (1, 1, 0))._replace(turn=5.0, publishing=2.0)
        found = simulate(script, 2)
        assert found.waits == [0, 0]
        assert found.walls == [2, 1]  # the first, unblocked at 3, wants the GIL to end

    def test_a_publisher_that_lost_the_gil_goes_on_where_it_was(self) -> None:
        """Published at 3 and, in three turns between those of the first, at 9; taken at 10."""
        script = by_hand((0, 0, 8), (1, 0, 1))._replace(turn=1.0, publishing=3.0)
        found = simulate(script, 2)
        assert found.waits == [0, 1]
        assert found.walls == [12, 1]

    def test_workers_wake_one_another(self) -> None:
        """The third only when the second takes; then the first, which is in line, is before it."""
        script = by_hand((0, 0, 4), (0, 0, 4), (0, 0, 4))._replace(turn=1.0)
        assert simulate(script, 3).waits == [0, 1, 3]

    def test_one_worker_is_woken_at_a_time(self) -> None:
        """The second delivery is taken by the worker that ends; it wakes no other beside that."""
        script = by_hand((0, 0, 0.5), (0, 0, 4), (0, 0, 4), (0, 0, 4))._replace(turn=1.0)
        assert simulate(script, 3).waits == [0, 0.5, 1.5, 3.5]

    def test_urgent_deliveries_are_taken_first_and_each_level_in_order(self) -> None:
        script = by_hand((0, 5, 0), (1, 1, 0), (2, 1, 0), (3, 1, 0), level=(1, 1, 2, 1))
        assert simulate(script, 1).waits == [0, 3, 4, 5]  # at 5 the third; by order it was 4, 4, 4

    def test_a_starved_delivery_is_taken_next(self) -> None:
        script = by_hand((0, 5, 0), (1, 1, 0), (2, 1, 0), level=(1, 1, 2))
        assert simulate(script._replace(starvation=3.0), 1).waits == [0, 4, 4]
        assert simulate(script._replace(starvation=4.0), 1).waits == [0, 3, 5]

    def test_cores_are_first_come_first_served(self) -> None:
        script = by_hand((0, 0, 3), (0, 0, 3), (1, 0, 3))._replace(servers=2)
        assert simulate(script, 3).walls == [3, 3, 5]


def test_the_beginning_is_not_counted() -> None:
    """The queue begins empty, which is not how it is found later."""
    script = by_hand(*[(0, 1, 0)] * 20)
    assert simulate(script, 1).waits == list(range(2, 20))


def test_workers_that_are_always_busy_are_saturated() -> None:
    assert simulate(at_random(1.2 / MS, constant(MS), count=2_000), 1).saturated
    assert not simulate(at_random(0.8 / MS, constant(MS), count=2_000), 1).saturated


@pytest.mark.parametrize("change", [{}, {"turn": 0.5 * MS}, {"turn": 0.5 * MS, "publishing": MS}])
def test_the_same_script_gives_the_same_figures(change: dict[str, float]) -> None:
    script = at_random(0.5 / MS, exponential(MS), exponential(0.4 * MS), count=2_000)
    script = script._replace(**change)
    assert simulate(script, 3) == simulate(script, 3)
