"""Keys of the live view: from bytes to what is chosen."""

import pytest

from brummerbus.watch.view.choice import Choice, Wish
from brummerbus.watch.view.keys import Keys


@pytest.mark.parametrize(
    ("data", "keys"),
    [
        (b"q", ["q"]),
        (b"\x1b[A\x1b[B\x1bOC\x1bOD", ["up", "down", "right", "left"]),
        (b"\x1b[5~\x1b[6~\x1b[H\x1b[4~", ["page up", "page down", "home", "end"]),
        (b"\t\x1b[Z\r\n\x7f\x08", ["tab", "back tab", "enter", "enter", "backspace", "backspace"]),
        (b"\x1b", ["escape"]),
        (b"\x1b\x1b[A", ["escape", "up"]),
        (b"\x1b[1;5A\x1b[200~x", ["x"]),
        ("äあ".encode(), ["ä", "あ"]),
        (b"\xff\x00\x01a", ["a"]),
        (b"\x1b[", []),
        (b"\x15", ["clear"]),
    ],
)
def test_what_a_keyboard_sends_is_decoded(data: bytes, keys: list[str]) -> None:
    assert Keys().feed(data) == keys


def test_a_character_may_come_in_pieces() -> None:
    keys = Keys()
    assert keys.feed("ä".encode()[:1]) == []
    assert keys.feed("ä".encode()[1:]) == ["ä"]


@pytest.fixture
def choice() -> Choice:
    return Choice(["web", "db"], page=3, shown=tuple(range(10)))


def press(choice: Choice, *keys: str) -> None:
    """Press keys that ask nothing of the watcher."""
    for key in keys:
        assert choice.press(key) is None


def test_processes_are_chosen_in_a_circle_that_begins_with_all(choice: Choice) -> None:
    chosen = []
    for key in ("right", "tab", "l", "left", "h", "back tab"):
        press(choice, key)
        chosen.append(choice.process)
    assert chosen == ["web", "db", "", "db", "web", ""]


def test_the_window_stops_at_both_ends(choice: Choice) -> None:
    ends = []
    for key in ("up", "page up", "page up", "up", "page down", "down", "home", "end"):
        press(choice, key)
        ends.append(choice.end)
    assert ends == [9, 6, 3, 3, 6, 7, 3, None]


def test_nothing_is_scrolled_where_there_is_nothing(choice: Choice) -> None:
    choice.shown = ()
    press(choice, "up", "home")
    assert choice.end is None


def test_keys_are_text_while_a_filter_is_typed(choice: Choice) -> None:
    press(choice, "/", "q", "r", "left", " ", "x", "backspace", "ä")
    assert choice.filter == "qr ä"
    assert choice.process == ""
    press(choice, "enter")
    assert (choice.typing, choice.filter) == (False, "qr ä")
    press(choice, "/", "escape")
    assert (choice.typing, choice.filter) == (False, "")
    press(choice, "/", "a", "clear", "b", "enter")
    assert choice.filter == "b"


def test_escape_goes_back_to_everything(choice: Choice) -> None:
    press(choice, "right", "/", "a", "enter", "e", "up", "escape")
    assert (choice.process, choice.filter, choice.errors, choice.end) == ("", "", False, None)


def test_q_asks_for_the_end(choice: Choice) -> None:
    assert choice.press("q") is Wish.QUIT


def test_a_process_is_restarted_or_stopped_once_it_is_chosen(choice: Choice) -> None:
    press(choice, "r")
    assert "choose a process first" in choice.said
    press(choice, "right")
    assert choice.said == ""
    assert choice.press("r") is Wish.RESTART
    assert choice.press("s") is Wish.STOP


def test_what_the_watcher_cannot_do_has_no_key(choice: Choice) -> None:
    choice.wishes = frozenset({Wish.QUIT})
    press(choice, "r", "right", "r", "s")
    assert choice.said == ""


def test_errors_and_the_bus_are_turned_on_and_off(choice: Choice) -> None:
    press(choice, "e", "b")
    assert (choice.errors, choice.bus) == (True, True)
    press(choice, "e", "b")
    assert (choice.errors, choice.bus) == (False, False)
