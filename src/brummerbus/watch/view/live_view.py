"""Draws the view, takes its keys, and leaves the terminal as it was."""

import importlib.util
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import ExitStack, redirect_stderr
from io import StringIO
from threading import current_thread, main_thread

from brummerbus.watch.view.choice import Choice, Wish
from brummerbus.watch.view.scene import Bus, Scene
from brummerbus.watch.view.terminal import Terminal, suspend

_FRAMES = 0.25
"""Seconds between two frames without a key; drawing costs some milliseconds."""
_MESSAGE = 5.0
"""Seconds that a message is shown."""

DEVICE = "/dev/tty"


def available() -> bool:
    """Whether rich is installed, and this process has a terminal that can show a view."""
    if importlib.util.find_spec("rich") is None or not sys.stdout.isatty():
        return False
    if os.environ.get("TERM", "dumb") == "dumb":
        return False
    try:
        Terminal(lambda key: None).close()  # noqa: ARG005 - no key is taken
    except OSError:
        return False
    return True


class LiveView:
    """A context manager, for the main thread; handlers only update what it shows.

    Args:
        scene: What is shown.
        choice: What is chosen at first; keys change it.
        bus: Returns the bus's figures; called only while they are shown.
        actions: What to do with the chosen process when a key asks for it, and what to say then.
        wake: Called when a key was pressed, in another thread: `update` should be called soon.
        entrust: Called with the terminal's mode as `stty -g` writes it, before that is changed,
            and with an empty text once it is as before: for what outlives this process.
        device: The terminal.
    """

    def __init__(
        self,
        scene: Scene,
        choice: Choice,
        *,
        bus: Callable[[], Bus],
        actions: Mapping[Wish, Callable[[str], str]],
        wake: Callable[[], None],
        entrust: Callable[[str], None] = lambda mode: None,  # noqa: ARG005
        device: str = DEVICE,
    ) -> None:
        # rich is an extra, loaded only where it is used.
        from rich.console import Console  # noqa: PLC0415
        from rich.live import Live  # noqa: PLC0415

        self._scene = scene
        self.choice = choice
        choice.wishes = frozenset(actions)
        self._bus = bus
        self._actions = actions
        self._wake = wake
        self._entrust = entrust
        self._keys: deque[str] = deque()
        self._drawn = -_FRAMES
        self._message = "", 0.0
        """The last message, and when it was first seen."""
        self._suspended = False
        self._said = StringIO()
        self._terminal = Terminal(self._on_key, device)
        self._console = Console(file=self._terminal, force_terminal=True)  # type: ignore[arg-type]
        self._live = Live(
            console=self._console,
            screen=True,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> "LiveView":
        with ExitStack() as stack:
            stack.callback(self._tell)
            stack.callback(self._entrust, "")
            stack.callback(self._terminal.close)
            if hasattr(signal, "SIGTSTP") and current_thread() is main_thread():
                before = signal.signal(signal.SIGTSTP, self._on_suspend)
                stack.callback(signal.signal, signal.SIGTSTP, before)
            stack.enter_context(redirect_stderr(self._said))
            self._entrust(self._terminal.saved())
            self._terminal.enter()
            stack.callback(self._live.stop)
            self._live.start()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def update(self, now: float) -> None:
        """Take the keys, and draw the present state unless the last frame is too recent.

        Args:
            now: Seconds since the start.
        """
        if self._suspended:
            self._suspended = False
            self._pause()
        pressed = bool(self._keys)
        self._forget(now)
        while self._keys:
            self._press(self._keys.popleft())
        if (now - self._drawn < _FRAMES and not pressed) or not self._terminal.ready:
            return
        self._drawn = now
        self._draw(now)

    def _forget(self, now: float) -> None:
        """Take a message away after some seconds, so that the keys are seen again."""
        said = self.choice.said
        if said != self._message[0]:
            self._message = said, now
        elif now - self._message[1] > _MESSAGE:
            self.choice.said = ""

    def _draw(self, now: float) -> None:
        from rich.console import Group  # noqa: PLC0415

        from brummerbus.watch.view.frame import draw  # noqa: PLC0415

        self._console.size = size = self._terminal.size
        bus = self._bus() if self.choice.bus else None
        self._live.update(Group(*draw(self._scene, self.choice, bus, now, size)), refresh=True)

    def _press(self, key: str) -> None:
        from brummerbus.watch.view.frame import scrollable  # noqa: PLC0415

        choice = self.choice
        choice.names = list(self._scene.counters.snapshot().processes)
        choice.shown = scrollable(self._scene, choice)
        wish = choice.press(key)
        action = self._actions.get(wish) if wish is not None else None
        if action is not None:
            choice.said = action(choice.process)

    def _on_key(self, key: str) -> None:
        self._keys.append(key)
        self._wake()

    def _on_suspend(self, *_: object) -> None:
        # Only noted: the main thread may be drawing, or hold the lock of what `wake` sets.
        self._suspended = True

    def _pause(self) -> None:
        """Give the terminal back while this process is stopped."""
        self._live.stop()
        self._terminal.leave()
        suspend()
        self._terminal.enter()
        self._live.start()
        self._drawn = -_FRAMES

    def _tell(self) -> None:
        """Write what was written to standard error while the view was there."""
        sys.stderr.write(self._said.getvalue())
