"""A test is tried with many seeds, and the one that fails is named."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from brummerbus.testing import TestBus, seeds


@pytest.fixture(autouse=True)
def no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests themselves may be run with one."""
    monkeypatch.delenv("BRUMMERBUS_SEED", raising=False)


def test_a_test_is_called_with_each_seed() -> None:
    seen: list[int] = []

    @seeds(3)
    def tried(seed: int) -> None:
        seen.append(seed)

    tried()
    assert seen == [0, 1, 2] == list(seeds(3))


def test_the_seed_that_fails_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    @seeds(100)
    def tried(seed: int) -> None:
        assert seed < 17

    with pytest.raises(AssertionError) as caught:
        tried()
    assert "tried fails with seed 17: BRUMMERBUS_SEED=17 tries" in capsys.readouterr().err
    if sys.version_info >= (3, 11):
        assert "BRUMMERBUS_SEED=17" in caught.value.__notes__[0]


def test_the_variable_replays_one_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRUMMERBUS_SEED", "17")
    assert list(seeds(3)) == [17]
    with TestBus() as bus:
        assert bus.seed == 17
    with TestBus(seed=3) as bus:
        assert bus.seed == 3
    monkeypatch.setenv("BRUMMERBUS_SEED", "x")
    with pytest.raises(ValueError, match=r"BRUMMERBUS_SEED must be an int .* got 'x'"):
        TestBus()


def test_a_block_that_raises_prints_its_seed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ZeroDivisionError), TestBus(seed=23):
        1 / 0
    assert "seed=23" in capsys.readouterr().err


def test_without_a_seed_there_is_one_at_random() -> None:
    several = []
    for _ in range(5):
        with TestBus() as bus:
            several.append(bus.seed)
            assert f"seed={bus.seed}" in repr(bus)
    assert len(set(several)) > 1


def test_what_cannot_be_tried_is_refused() -> None:
    async def coroutine(seed: int) -> None:
        """Do nothing."""

    with pytest.raises(ValueError, match="n must be"):
        seeds(0)
    with pytest.raises(TypeError, match="argument named seed"):
        seeds(3)(lambda: None)
    with pytest.raises(TypeError, match="coroutine function"):
        seeds(3)(coroutine)


FILE = """
import pytest
from brummerbus import Event
from brummerbus.testing import TestBus, seeds


@seeds(50)
def test_decorated(seed, tmp_path):
    assert tmp_path.exists()
    with TestBus(seed=seed) as bus:
        order = []
        bus.subscribe("a", lambda event: order.append(event.data))
        bus.publish_many(Event("a", n) for n in range(3))
        bus.run_until_idle()
        assert order == [0, 1, 2]


@pytest.mark.parametrize("seed", seeds(3))
def test_parametrized(seed):
    with TestBus(seed=seed) as bus:
        assert bus.seed == seed


class TestMethods:
    @seeds(2)
    def test_method(self, seed):
        assert isinstance(self, TestMethods)
"""


@pytest.mark.slow
def test_pytest_runs_tests_with_seeds_and_does_not_collect_the_bus(tmp_path: Path) -> None:
    (tmp_path / "test_file.py").write_text(FILE)

    def run(*arguments: str, **environment: str) -> Any:
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-W", "error", *arguments, "test_file.py"],
            check=False,
            cwd=tmp_path,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=120,
        )

    result = run()
    assert "1 failed, 4 passed" in result.stdout
    seed = result.stdout.partition("test_decorated fails with seed ")[2].partition(":")[0]
    again = run("-k", "decorated", BRUMMERBUS_SEED=seed)
    assert "1 failed" in again.stdout
    assert f"fails with seed {seed}" in again.stdout
    orders = [
        [line for line in one.stdout.splitlines() if "assert [" in line] for one in (result, again)
    ]
    assert orders[0] == orders[1] != []
