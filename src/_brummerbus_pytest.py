"""The pytest plugin of brummerbus: fixtures `bus` and `bus_spy`, and the marker `brummerbus`.

It is not a module of the package, because pytest imports the plugins of all installed projects at
each start, whatever it tests. This module takes 0.5 ms of CPU time, the package takes 48 ms. So
brummerbus is imported by the first test that uses a fixture, and `--cov=brummerbus` sees all of it.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from brummerbus import EventBus
    from brummerbus._checked import CheckedBus
    from brummerbus._spy import Spy

_MARKER = (
    "brummerbus(**settings): settings of the fixture `bus`: those of EventBus, and allow_drops, "
    "allow_failures and stop_timeout."
)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line("markers", _MARKER)


@pytest.fixture
def bus(request: pytest.FixtureRequest) -> "Iterator[CheckedBus]":
    """An event bus with one worker, which is stopped and checked after the test.

    The test fails if a handler raised, a delivery was dropped, a handler or a worker still runs, or
    the counts do not agree. `bus.allow_failures = True` and `bus.allow_drops = True` permit the
    first two; `@pytest.mark.brummerbus(workers=4, allow_drops=True)` does that too, and sets what
    `EventBus` takes as keywords.
    """
    from brummerbus._checked import CheckedBus  # noqa: PLC0415

    settings: dict[str, object] = {"workers": 1}
    for marker in reversed(list(request.node.iter_markers("brummerbus"))):  # the closest one last
        if marker.args:
            pytest.fail(f"the marker brummerbus takes keywords only, got {marker.args}", False)
        settings.update(marker.kwargs)
    bus = CheckedBus(**settings)  # type: ignore[arg-type]
    yield bus
    problems = bus.end()
    if problems:
        pytest.fail("\n".join(problems), pytrace=False)


@pytest.fixture
def bus_spy(bus: "EventBus") -> "Iterator[Spy]":
    """Sees every event that is published to the fixture `bus`, also one of your own, in order.

    `with bus_spy.expect("build.*", count=2, timeout=1) as got`, `bus_spy.never("error.*")`,
    `bus_spy.events`.
    """
    from brummerbus._spy import Spy  # noqa: PLC0415

    spy = Spy(bus)
    yield spy
    problems = spy.end()
    if problems:
        pytest.fail("\n".join(problems), pytrace=False)
