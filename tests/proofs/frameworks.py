"""asyncio, uvloop and trio, bare and under anyio; `make proofs` makes an environment with all."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from brummerbus import Event, EventBus

HANG = 60.0


class Framework(NamedTuple):
    """A way to run a coroutine."""

    name: str
    run: Callable[[Callable[[], Any]], Any]

    def module(self) -> Any:
        """Return the module whose calls work there."""
        return pytest.importorskip("trio" if "trio" in self.name else "asyncio")

    async def sleep(self, seconds: float = 0) -> None:
        """Sleep as that does."""
        await self.module().sleep(seconds)


def _uvloop(main: Callable[[], Any]) -> Any:
    uvloop = pytest.importorskip("uvloop")
    loop = uvloop.new_event_loop()
    try:
        return loop.run_until_complete(main())
    finally:
        loop.close()


def _trio(main: Callable[[], Any]) -> Any:
    return pytest.importorskip("trio").run(main)


def _anyio(backend: str) -> Callable[[Callable[[], Any]], Any]:
    def run(main: Callable[[], Any]) -> Any:
        pytest.importorskip(backend)
        return pytest.importorskip("anyio").run(main, backend=backend)

    return run


FRAMEWORKS = [
    Framework("asyncio", lambda main: asyncio.run(main())),
    Framework("uvloop", _uvloop),
    Framework("trio", _trio),
    Framework("anyio on asyncio", _anyio("asyncio")),
    Framework("anyio on trio", _anyio("trio")),
]


@pytest.fixture(params=FRAMEWORKS, ids=lambda one: one.name)
def framework(request: pytest.FixtureRequest) -> Framework:
    """Return a framework that is installed, or skip."""
    one: Framework = request.param
    if "uvloop" in one.name:
        pytest.importorskip("uvloop")
    if "trio" in one.name:
        pytest.importorskip("trio")
    return one


@pytest.fixture
def bus() -> Iterator[EventBus]:
    """Return a bus, which is stopped afterwards."""
    bus = EventBus(workers=2, queue_size=20)
    yield bus
    bus.stop(drain=False, timeout=HANG)


def in_threads(count: int, work: Callable[[int], object]) -> list[threading.Thread]:
    """Run something in threads."""
    threads = [threading.Thread(target=work, args=(n,), daemon=True) for n in range(count)]
    for thread in threads:
        thread.start()
    return threads


class Blocked:
    """A bus whose worker is stuck and whose queue is full, with `room` for more on demand."""

    def __init__(self, policy: str, **settings: Any) -> None:
        self._passes = threading.Semaphore(0)
        self.seen: list[Any] = []
        self.bus = EventBus(workers=1, queue_size=1, policy=policy, **settings)
        self.bus.subscribe("a", self._handle)
        self.bus.publish(Event("a", "first"))
        while self.bus.stats().running == 0:
            pass
        self.bus.publish(Event("a", "second"))

    def _handle(self, event: Event) -> None:
        assert self._passes.acquire(timeout=HANG)
        self.seen.append(event.data)

    def open(self) -> None:
        """Let all handlers return."""
        self._passes.release(10_000)

    def end(self) -> None:
        """Stop the bus."""
        self.open()
        assert self.bus.stop(timeout=HANG)
