"""KeyboardInterrupt before each opcode that a call executes in the package, one at a time."""

import os
import signal
from collections.abc import Callable
from itertools import count
from typing import Any

from brummerbus import BusError, QueueFull
from helpers.opcodes import At

LONG = os.environ.get("BRUMMERBUS_LONG") == "1"

LIMIT = 20_000
"""Opcodes of one call, far more than any has; a call that never completes is a failure."""

WAIT = 0.0002
"""Seconds; long enough to be a wait, short enough to be repeated thousands of times."""

SETTINGS: dict[str, Any] = {
    "queue_size": 5,
    "priorities": {"fill": 1, "one": 2, "three": 2, "many": 2},
    "monitoring": False,
    "on_drop": lambda event, subscription, reason: None,
}
"""Of a small bus without log and timing."""


def interrupt() -> None:
    """Raise KeyboardInterrupt as a signal does, in C."""
    signal.default_int_handler(signal.SIGINT, None)


def strike(k: int, call: Callable[[], object]) -> str:
    """Make a call that is interrupted before its k-th opcode; where, or "" if it completed."""
    interrupted = At(k, interrupt)
    try:
        interrupted.during(call)
    except KeyboardInterrupt:
        assert interrupted.where
    except QueueFull:
        assert not interrupted.where, f"{interrupted.where}: the interrupt was swallowed"
    else:
        assert not interrupted.where, f"{interrupted.where}: the interrupt was swallowed"
    return interrupted.where


def strike_everywhere(
    prepare: Callable[[], object],
    call: Callable[[], object],
    check: Callable[[], object],
    part: tuple[int, int] = (0, 1),
) -> int:
    """Interrupt a call at each opcode; the number of opcodes.

    `part=(n, 3)`: at every third, from the n-th on, where other parameters of the same test strike
    the others of mostly the same code. In the long form (`BRUMMERBUS_LONG=1`) each strikes all.
    """
    first, step = (0, 1) if LONG else (part[0] % part[1], part[1])
    # 0 interrupts nothing: some Pythons count no opcodes of the first code.
    for k in count(first, step):
        assert k < LIMIT
        prepare()
        where = strike(k, call)
        try:
            check()
        except (AssertionError, BusError) as error:
            raise AssertionError(f"struck before opcode {k} in {where}") from error
        if k and not where:
            return k - 1
    raise AssertionError
