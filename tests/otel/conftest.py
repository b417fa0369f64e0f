"""Fixtures of the tests of `brummerbus.otel`."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from helpers.telemetry import Telemetry


@pytest.fixture
def telemetry(no_thread_left: None) -> Iterator["Telemetry"]:
    """Providers whose threads have ended when the test has."""
    from helpers.telemetry import Telemetry  # noqa: PLC0415, the tests without it are skipped

    telemetry = Telemetry()
    yield telemetry
    for provider in telemetry.providers.values():
        provider.shutdown()
