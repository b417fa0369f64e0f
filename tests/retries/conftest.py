"""Fixtures of the tests of retries."""

from typing import Any

import pytest


@pytest.fixture
def errors() -> list[tuple[Any, Any, BaseException]]:
    """Return what `on_error` is called with."""
    return []
