"""Imports deferred until there is a bus: what takes milliseconds, and not every program needs.

`import brummerbus` does without them. The constructor of a bus calls `load`, and so pays for them;
from then on they are attributes of this module. They are not imported where they are used, which
may be a worker without memory, a signal handler amid another import, the child of a fork, or
interpreter exit, when imports fail.

A program with a bus needs them in any case. One that only imports a module which could make a bus,
as a command line's `--help` does, a test collection or a process of a pool, starts sooner.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import inspect
    import logging
    import traceback

    from brummerbus._config import configured
    from brummerbus._stats import bus_stats

    logger: logging.Logger

__all__ = ["bus_stats", "configured", "inspect", "load", "logger", "logging", "traceback"]


def load() -> None:
    """Import them; once they are, that takes microseconds."""
    global bus_stats, configured, inspect, logger, logging, traceback
    import inspect
    import logging
    import traceback

    from brummerbus._config import configured
    from brummerbus._stats import bus_stats

    logger = logging.getLogger("brummerbus")
