"""What keys of the view do to the processes."""

from types import SimpleNamespace
from typing import Any

import pytest

from brummerbus.watch.view.actions import actions
from brummerbus.watch.view.choice import Wish


class Manager:
    """Notes what it is asked to do."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def states(self) -> list[Any]:
        return [SimpleNamespace(name="web")]

    def restart(self, name: str) -> None:
        self.asked.append(("restart", name))

    def stop(self, name: str) -> None:
        self.asked.append(("stop", name))


@pytest.mark.parametrize(
    ("wish", "asked", "said"),
    [
        (Wish.RESTART, "restart", "restarting web"),
        (Wish.STOP, "stop", "stopping web"),
    ],
)
def test_the_manager_is_asked(wish: Wish, asked: str, said: str) -> None:
    manager: Any = Manager()
    assert actions(manager)[wish]("web") == said
    assert manager.asked == [(asked, "web")]


@pytest.mark.parametrize("wish", [Wish.RESTART, Wish.STOP])
def test_a_process_of_another_watcher_is_left_alone(wish: Wish) -> None:
    manager: Any = Manager()
    assert actions(manager)[wish]("web@far") == "web@far is another watcher's"
    assert manager.asked == []
