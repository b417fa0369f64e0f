"""Fixtures of the tests of `python -m brummerbus size`."""

from typing import Any

import pytest

from brummerbus._cli import size
from brummerbus.sizing import _host
from helpers.sizes import MB, MEASURED


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that simulates a machine; 6 of 64 cores and 8,000 MB by default."""

    def put(
        *,
        affinity: int = 6,
        quota: float | None = None,
        memory: int = 8000 * MB,
        container: int | None = None,
        ci: bool = False,
    ) -> None:
        monkeypatch.setattr(_host, "host_cores", lambda: 64)
        monkeypatch.setattr(_host, "affinity_cores", lambda: affinity)
        monkeypatch.setattr(_host, "quota_cores", lambda: quota)
        monkeypatch.setattr(_host, "machine_memory", lambda: memory)
        monkeypatch.setattr(_host, "container_memory", lambda: container)
        for name in _host.CI_VARIABLES:
            monkeypatch.delenv(name, raising=False)
        if ci:
            monkeypatch.setenv("CI", "true")

    put()
    return put


@pytest.fixture(autouse=True)
def measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measuring takes seconds, and is tested in test_measure_memory.py."""
    monkeypatch.setattr(size, "measure_memory", lambda: MEASURED)
