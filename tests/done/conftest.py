"""Fixtures of the tests of `on_done`."""

import pytest

from helpers.handlers import Outcomes


@pytest.fixture
def done() -> Outcomes:
    """Return an `on_done` hook that keeps what it was called with."""
    return Outcomes()
