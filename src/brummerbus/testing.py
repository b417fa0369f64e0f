"""For tests of programs with a bus: `TestBus`, which has no threads, and `seeds`.

from brummerbus import Event
from brummerbus.testing import TestBus, seeds

@seeds(100)
def test_orders_are_confirmed(seed):
    with TestBus(seed=seed) as bus:
        shop = Shop(bus)
        shop.place(17)
        bus.run_until_idle()
        assert shop.mails == ["order 17"]
"""

import functools
import inspect
import os
import random
import sys
import weakref
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, overload

from brummerbus._arguments import check_int, check_timeout, shown
from brummerbus._bus import EventBus
from brummerbus._config import ConfigOverrides, EventBusConfig, configured
from brummerbus._core.engine import Engine
from brummerbus._core.hooks import OnDrop, OnError, OnUnrouted, WorkerHook
from brummerbus._core.queue import CLOCK_BEGINS
from brummerbus._core.stepped import SteppedEngine, SteppedSleepers
from brummerbus._core.taps import Tap
from brummerbus._errors import BusError
from brummerbus._policies import BackpressurePolicy
from brummerbus._text import counted
from brummerbus._typing import Unpack

if TYPE_CHECKING:
    from brummerbus._typing import Advice

__all__ = ["TestBus", "seeds"]

VARIABLE = "BRUMMERBUS_SEED"
"""The environment variable with the one seed that is to be tried."""

WORKERS = 4
QUEUE_SIZE = 1000

_MAX_SEED = 2**64 - 1


class TestBus(EventBus):
    """An `EventBus` without threads, for tests: the test runs it, and a seed decides the order.

    It has the queue, the policies and the options of the bus, and its workers' own code, but its
    workers are no threads. Publishing queues; `run_until_idle` runs. At each step, one of the
    workers takes a delivery, or runs the one that it has taken, as the seed draws: what threads do
    in some order or other they do here in one that is repeated with the same seed. Handlers do not
    interrupt each other.

    Time is the bus's own, and stands still until `advance` moves it, or something is waited for:
    `flush`, `barrier`, `stop`, `wait_for`, a listener, and `publish` where it would wait for free
    slots, do everything that there is to do, and let time pass when there is nothing. Expiry,
    retries, `batch_wait`, `publish_after` and all time-outs follow it. What would wait for ever
    raises `BusError`.

    Only the thread that made it can run it. It is not drained at interpreter exit. In the child of
    a fork it goes on at the same time, with an empty queue. There is no `advise`.

    Args:
        config: As for `EventBus`. `workers` is a number; `slow_handler_after` is None.
        seed: Which order, 0 to 2**64 - 1; by default that of the environment variable
            `BRUMMERBUS_SEED`, or one at random. If the `with` block raises, it is printed.
        name, on_error, on_drop, on_unrouted, on_worker_start, on_worker_stop: As for `EventBus`.
            The hooks of workers are called once for each of them, as a step of theirs.
        **overrides: Fields of `EventBusConfig`. Without a `config`, `workers` is 4 and `queue_size`
            1,000 on all machines, so that a seed means the same everywhere.

    Raises:
        TypeError, ValueError: As for `EventBus`; `seed` is no such int; or the configuration needs
            threads of its own.
    """

    __test__ = False  # pytest is not to collect it

    _has_threads: bool = False

    def __init__(
        self,
        config: EventBusConfig | None = None,
        /,
        *,
        seed: int | None = None,
        name: str = "bus",
        on_error: OnError | None = None,
        on_drop: OnDrop | None = None,
        on_unrouted: OnUnrouted | None = None,
        on_worker_start: WorkerHook | None = None,
        on_worker_stop: WorkerHook | None = None,
        **overrides: Unpack[ConfigOverrides],
    ) -> None:
        if seed is None:
            seed = _given_seed()
        if seed is None:
            seed = random.SystemRandom().randrange(2**32)
        self._seed = check_int("seed", seed, 0, _MAX_SEED)
        if config is None:
            overrides.setdefault("workers", WORKERS)
            overrides.setdefault("queue_size", QUEUE_SIZE)
        config = configured(config, overrides)
        _check_config(config)
        self._random = random.Random(self._seed)
        super().__init__(
            config,
            name=name,
            on_error=on_error,
            on_drop=on_drop,
            on_unrouted=on_unrouted,
            on_worker_start=on_worker_start,
            on_worker_stop=on_worker_stop,
        )
        self._subscriptions.uniform = random.Random(self._seed).uniform

    # ---- its engine --------------------------------------------------------------------------

    def _make_engine(self) -> Engine:
        return SteppedEngine(
            self._name,
            self._config,
            self._hooks,
            self._subscriptions,
            self._taps,
            self._random.random,
            self._engine.queue.clock() if self._engines else CLOCK_BEGINS,
        )

    def _steps(self) -> SteppedEngine:
        engine = self._started()
        assert isinstance(engine, SteppedEngine)
        return engine

    def _make_tap(self, maxsize: int, policy: BackpressurePolicy | None) -> Tap:
        bus = weakref.ref(self)

        def engine() -> SteppedEngine | None:
            this = bus()
            return None if this is None else this._steps()  # noqa: SLF001

        return Tap(maxsize, policy, functools.partial(SteppedSleepers, engine))

    # ---- running -----------------------------------------------------------------------------

    @property
    def seed(self) -> int:
        """The seed."""
        return self._seed

    @property
    def now(self) -> float:
        """Seconds that have passed since the bus was made, on its own clock."""
        return self._here().queue.monotonic()

    def run_until_idle(self) -> int:
        """Run everything that can be run without time passing, also what handlers publish.

        What waits for its time is left: retries, scheduled events, batches with `batch_wait`.

        Returns:
            How many calls of handlers that took.

        Raises:
            BusError: Called from a handler of this bus, or from another thread; or it does not end:
                a million steps were not enough.
            BaseException: A handler raised what is no `Exception`, such as `KeyboardInterrupt` or
                what `pytest.fail` raises. It is reported as every failure, and raised at once.
        """
        engine = self._steps()
        if engine.queue.is_inside():
            message = "run_until_idle() in a handler would run others inside it"
            raise BusError(f"{self._name}: {message}")
        before = engine.threads.calls
        engine.run_all()
        return engine.threads.calls - before

    def advance(self, seconds: float) -> int:
        """Let time pass on the clock of this bus, and run what is due, at its time and in its turn.

        What can be run now is run first: time passes for a bus that is idle. Called in a handler,
        that handler takes so long: other workers take deliveries, and what is due is published, but
        no other handler runs before it has returned.

        Returns:
            How many calls of handlers that took.

        Raises:
            TypeError, ValueError: `seconds` is no number, negative or infinite.
            BusError, BaseException: As `run_until_idle`, but for the handler.
        """
        seconds = check_timeout("seconds", seconds)
        if seconds == float("inf"):
            raise ValueError(f"seconds must be finite, got {shown(seconds)}")
        engine = self._steps()
        before = engine.threads.calls
        engine.advance(seconds)
        return engine.threads.calls - before

    def advise(self, target_wait: float = 0.01) -> "Advice":  # noqa: ARG002
        """There is none: no handler takes any time here.

        Raises:
            BusError: Always.
        """
        raise BusError(
            f"{self._name}: advise() needs the times that handlers take: use an EventBus"
        )

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """As that of `EventBus`; if the block raised, print the seed to standard error."""
        if exc_type is not None:
            _print(f"{self!r} in a block that raised {exc_type.__name__}")
        super().__exit__(exc_type, error, traceback)

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"{self.depth} queued"
        workers = counted(self.workers, "worker")
        return f"<TestBus {self._name!r}, seed={self._seed}, {workers}, {state}>"


def _check_config(config: EventBusConfig) -> None:
    """Raise `ValueError` if it needs the monitor thread."""
    if not isinstance(config.workers, int):
        message = "a TestBus is not measured and does not resize itself"
        raise ValueError(f"workers must be a number, got {config.workers}: {message}")
    if config.slow_handler_after is not None:
        raise ValueError(
            f"slow_handler_after must be None, got {config.slow_handler_after}: nothing watches "
            "the handlers of a TestBus"
        )


# ---- many seeds ----------------------------------------------------------------------------------


class Seeds(Sequence[int]):
    """Seeds to try; see `seeds`."""

    def __init__(self, several: range) -> None:
        self._several = several

    def __len__(self) -> int:
        return len(self._several)

    @overload
    def __getitem__(self, index: int) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> "Seeds": ...
    def __getitem__(self, index: int | slice) -> "int | Seeds":
        if isinstance(index, slice):
            return Seeds(self._several[index])
        return self._several[index]

    def __call__(self, test: Callable[..., Any]) -> Callable[..., None]:
        """Return a test that calls the decorated one with each seed."""
        parameters = _parameters(test)
        several = self._several

        @functools.wraps(test)
        def tried(*args: Any, **kwargs: Any) -> None:
            for seed in several:
                try:
                    test(*args, seed=seed, **kwargs)
                except BaseException as error:  # noqa: PERF203
                    _blame(test, seed, error)
                    raise

        signature = inspect.signature(test)
        others = [one for one in parameters if one.name != "seed"]
        tried.__signature__ = signature.replace(parameters=others)  # type: ignore[attr-defined]
        return tried

    def __repr__(self) -> str:
        return f"<Seeds {', '.join(map(str, self._several[:3]))}, {len(self)} in all>"


def seeds(n: int) -> Seeds:
    """Return `n` seeds, 0 to n - 1, to try a test with; or, if `BRUMMERBUS_SEED` is set, that one.

    As a decorator, `@seeds(100)`, it calls a test that has an argument `seed` with one after the
    other, within one test: fixtures are made once. The one that fails is printed, with how to
    replay it. As a sequence, `@pytest.mark.parametrize("seed", seeds(100))`, each is a test of its
    own.

    Raises:
        TypeError: `n` is no int; or the decorated function has no argument `seed`, or is a
            coroutine function.
        ValueError: `n` is below 1, or `BRUMMERBUS_SEED` is no seed.
    """
    n = check_int("n", n, 1)
    given = _given_seed()
    return Seeds(range(n) if given is None else range(given, given + 1))


def _given_seed() -> int | None:
    text = os.environ.get(VARIABLE)
    if not text:
        return None
    try:
        return check_int(VARIABLE, int(text), 0, _MAX_SEED)
    except ValueError:
        message = f"{VARIABLE} must be an int from 0 to {_MAX_SEED}, got {shown(text)}"
        raise ValueError(message) from None


def _parameters(test: Callable[..., Any]) -> list[inspect.Parameter]:
    if inspect.iscoroutinefunction(test):
        raise TypeError(f"seeds() needs a plain function, not the coroutine function {shown(test)}")
    parameters = list(inspect.signature(test).parameters.values())
    if all(one.name != "seed" for one in parameters):
        raise TypeError(f"seeds() needs a function with an argument named seed, got {shown(test)}")
    return parameters


def _blame(test: Callable[..., Any], seed: int, error: BaseException) -> None:
    name = getattr(test, "__qualname__", "the test")
    _print(f"{name} fails with seed {seed}: {VARIABLE}={seed} tries that one alone")
    if sys.version_info >= (3, 11):
        error.add_note(f"with seed {seed}; {VARIABLE}={seed} tries that one alone")


def _print(message: str) -> None:
    print(f"brummerbus: {message}", file=sys.stderr)
