"""Tests of the shop, two of which fail on purpose; `make picture` watches them."""

import time

import pytest
from service import price


@pytest.mark.parametrize("count", range(12))
def test_apples(count: int) -> None:
    time.sleep(0.1)
    assert count * price("apple") == 30 * count


def test_bread() -> None:
    """Fail with an assertion."""
    assert price("bread") == 240


def test_tea() -> None:
    """Fail with an exception."""
    assert price("tea") > 0


@pytest.mark.parametrize("count", range(12))
def test_bread_again(count: int) -> None:
    time.sleep(0.1)
    assert count * price("bread") == 250 * count
