"""Plugins that listen to dataclass events: loaded, unloaded, and kept from harming each other.

    python examples/plugins.py

What it shows: events as dataclasses, routed by class, so that a type checker sees what a handler
takes; a base class that receives all; a plugin that fails, is counted, and is unloaded after its
third failure; unloading as the end of a `with` block.
"""

from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Protocol

from brummerbus import EventBus, Subscription

# ---- the events, which host and plugins share ----------------------------------------------------


@dataclass(frozen=True)
class FileEvent:
    """Something happened to a file."""

    path: PurePath


@dataclass(frozen=True)
class FileSaved(FileEvent):
    """A file was saved."""

    size: int


@dataclass(frozen=True)
class FileDeleted(FileEvent):
    """A file is gone."""


# ---- what a plugin is ----------------------------------------------------------------------------


class Plugin(Protocol):
    """What the host expects."""

    name: str

    def subscribe(self, bus: EventBus) -> list[Subscription]:
        """Subscribe to what it wants; the host cancels the subscriptions."""


class Sizes:
    """Adds up what was saved."""

    name = "sizes"

    def __init__(self) -> None:
        self.total = 0

    def subscribe(self, bus: EventBus) -> list[Subscription]:
        """Subscribe to one class."""
        return [bus.subscribe(FileSaved, self.saved)]

    def saved(self, event: FileSaved) -> None:
        """Add a size."""
        self.total += event.size


class History:
    """Remembers every event, of any class."""

    name = "history"

    def __init__(self) -> None:
        self.entries: list[str] = []

    def subscribe(self, bus: EventBus) -> list[Subscription]:
        """Subscribe to the base class."""
        return [bus.subscribe(FileEvent, self.remember)]

    def remember(self, event: FileEvent) -> None:
        """Remember it."""
        self.entries.append(f"{type(event).__name__} {event.path}")


class Broken:
    """A plugin with a mistake."""

    name = "broken"

    def subscribe(self, bus: EventBus) -> list[Subscription]:
        """Subscribe to one class."""
        return [bus.subscribe(FileDeleted, self.deleted)]

    def deleted(self, event: FileDeleted) -> None:
        """Look for what is gone."""
        raise FileNotFoundError(event.path)


# ---- the host ------------------------------------------------------------------------------------


class Host:
    """Loads plugins, and unloads those that fail too often."""

    MOST_FAILURES = 3

    def __init__(self) -> None:
        # One worker: plugins need no locks, and each sees events in their order.
        self.bus = EventBus(name="plugins", workers=1, priority_levels=1, on_error=self._failed)
        self._loaded: dict[str, ExitStack] = {}
        self._owners: dict[Subscription, str] = {}
        self.failures: Counter[str] = Counter()

    def load(self, plugin: Plugin) -> None:
        """Let a plugin subscribe."""
        stack = self._loaded[plugin.name] = ExitStack()
        for subscription in plugin.subscribe(self.bus):
            self._owners[subscription] = plugin.name
            stack.enter_context(subscription)  # cancelled when the stack is closed

    def unload(self, name: str) -> None:
        """End a plugin's subscriptions; what is published from now on does not reach it."""
        self._loaded.pop(name).close()

    def _failed(self, _event: Any, subscription: Subscription, error: BaseException) -> None:
        name = self._owners[subscription]
        self.failures[name] += 1
        print(f"{name} failed: {error!r}")
        if self.failures[name] == self.MOST_FAILURES:
            print(f"{name} is unloaded")
            self.unload(name)


def main() -> None:
    """Load three plugins, and let things happen."""
    host, sizes, history = Host(), Sizes(), History()
    with host.bus as bus:
        for plugin in (sizes, history, Broken()):
            host.load(plugin)
        for number in range(1, 6):
            path = PurePath(f"page{number}.md")
            bus.publish(FileSaved(path, 100 * number))
            bus.publish(FileDeleted(path))
            bus.flush()
        host.unload("sizes")
        bus.publish(FileSaved(PurePath("late.md"), 1_000_000))
    print(f"sizes: {sizes.total} bytes")
    print(f"history: {len(history.entries)} events, the last was {history.entries[-1]}")
    print(f"failures: {dict(host.failures)}")


if __name__ == "__main__":
    main()
