"""How long a free worker waits for the GIL."""

import math
from itertools import pairwise

import pytest

from brummerbus.sizing._gil_wait import GilWait
from brummerbus.sizing._queueing_model import Load, predict

MS = 1e-3
TURNS = GilWait(turn=5 * MS, used=0.4, residue=4 * MS, ahead=3)


def test_longer_waits_are_less_probable_and_none_exceeds_the_turns_of_all() -> None:
    waits = [step * MS / 4 for step in range(70)]
    chances = [TURNS.beyond(wait) for wait in waits]
    assert all(sooner >= later for sooner, later in pairwise(chances))
    assert chances[0] == pytest.approx(0.4 * math.exp(-5 / 4))
    assert TURNS.beyond(14.9 * MS) > 0
    assert TURNS.beyond(15.1 * MS) == 0


def test_second_turn_takes_two_that_compute() -> None:
    first, second = TURNS.beyond(4.999999 * MS), TURNS.beyond(5.000001 * MS)
    assert second / first == pytest.approx(0.4, rel=1e-3)


def test_mean_is_the_area_under_the_probabilities() -> None:
    step = 1e-6
    area = sum(TURNS.beyond((i + 0.5) * step) * step for i in range(15_000))
    assert TURNS.mean == pytest.approx(area, rel=1e-3)


@pytest.mark.parametrize(
    "nobody",
    [
        GilWait(0.0, 0.4, 4 * MS, 3),
        GilWait(5 * MS, 0.0, 4 * MS, 3),
        GilWait(5 * MS, 0.4, 0.0, 3),
        GilWait(5 * MS, 0.4, 4 * MS, 0),
    ],
)
def test_nobody_waits_without_a_gil_or_where_nobody_computes(nobody: GilWait) -> None:
    assert nobody.beyond(0.0) == 0
    assert nobody.mean == 0


def test_many_workers_wait_for_the_gil_where_without_it_they_would_not() -> None:
    load = {"rate": 60.0, "compute": 6 * MS, "wait": 14 * MS}
    free = predict(Load(**load), 12)
    gil = predict(Load(**load, turn=5 * MS), 12)
    assert free.p99_wait == 0
    assert 5 * MS < gil.p99_wait < 15 * MS
    assert gil.p50_wait == 0
    assert gil.mean_wait > free.mean_wait
    assert gil.utilization == free.utilization


@pytest.mark.parametrize("change", [{"compute_servers": 2}, {"compute": 0.0}])
def test_turns_do_not_count_with_several_servers_or_nothing_to_compute(
    change: dict[str, float],
) -> None:
    load = {"rate": 60.0, "compute": 6 * MS, "wait": 14 * MS, **change}
    assert predict(Load(**load, turn=5 * MS), 12) == predict(Load(**load), 12)


def test_one_worker_is_never_free_while_another_computes() -> None:
    load = {"rate": 40.0, "compute": 10 * MS, "wait": 0.0}
    one, alone = predict(Load(**load, turn=5 * MS), 1), predict(Load(**load), 1)
    assert one == alone


def test_turns_too_short_to_count_in_are_as_good_as_none() -> None:
    load = {"rate": 60.0, "compute": 6 * MS, "wait": 14 * MS}
    assert predict(Load(**load, turn=1e-320), 2).p99_wait == predict(Load(**load), 2).p99_wait
    assert GilWait(1e-320, 0.4, 4 * MS, 3).beyond(1.0) == 0
