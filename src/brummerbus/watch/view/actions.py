"""What keys of the view do to the processes."""

import signal
from collections.abc import Callable

from brummerbus.watch.processes.manager import ProcessManager
from brummerbus.watch.view.choice import Wish

Action = Callable[[str], str]
"""Takes the name of the chosen process; returns a message. Never waits."""


def actions(manager: ProcessManager) -> dict[Wish, Action]:
    """Return what to do for each wish; for the main thread."""
    here = {process.name for process in manager.states()}

    def to_one(word: str, act: Callable[[str], None]) -> Action:
        def action(process: str) -> str:
            if process not in here:
                return f"{process} is another watcher's"
            act(process)
            return f"{word} {process}"

        return action

    return {
        Wish.QUIT: _quit,
        Wish.RESTART: to_one("restarting", manager.restart),
        Wish.STOP: to_one("stopping", manager.stop),
    }


def _quit(process: str) -> str:  # noqa: ARG001
    signal.raise_signal(signal.SIGINT)  # as Ctrl-C: once stops, twice kills
    return "stopping; once more kills"
