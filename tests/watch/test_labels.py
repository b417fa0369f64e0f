"""Names in front of lines, colours, and what of a process's control of its terminal is left."""

import io
from typing import Any

import pytest

from brummerbus.watch.labels import Labels, wanted


def put(text: str, *, name: str = "web", colour: bool = False, names: Any = ("web",)) -> str:
    """Return lines as they are printed at noon."""
    return "".join(Labels(names, colour=colour).put("12:00:00", name, text))


def test_names_are_aligned() -> None:
    names = ("web", "worker.12", "日")
    assert put("one\ntwo", names=names) == "12:00:00 web       | one\n12:00:00 web       | two\n"
    assert put("", name="worker.12", names=names) == "12:00:00 worker.12 | \n"
    assert put("", name="日", names=names) == "12:00:00 日        | \n"


def test_each_process_has_a_colour_and_none_is_red() -> None:
    names = [str(number) for number in range(25)]
    starts = [put("x", name=name, names=names, colour=True).split("m")[0] for name in names]
    assert len(set(starts)) == 10
    assert not {"\x1b[31", "\x1b[91"} & set(starts)
    assert put("x", colour=True) == "\x1b[36m12:00:00 web | \x1b[0mx\n"


def test_colours_end_with_their_line() -> None:
    start = "\x1b[36m12:00:00 web | \x1b[0m"
    text = "\x1b[1;31mred\n\x1b[38:5:7mgrey"
    assert put(text, colour=True) == (
        f"{start}\x1b[1;31mred\x1b[0m\n{start}\x1b[38:5:7mgrey\x1b[0m\n"
    )
    assert put(text) == "12:00:00 web | red\n12:00:00 web | grey\n"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J\x1b[Hcleared", "cleared"),
        ("\x1b[?1049hother screen\x1b[?1049l", "other screen"),
        ("\x1b[3A\x1b[2Kup", "up"),
        ("\x1b]0;a title\x07text", "text"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bcreset", "reset"),
        ("\x1b(0graphics", "graphics"),
        ("\x1b[12", "12"),
        ("\x1b", ""),
        ("\x9b2J\x85\x90 8 bits", "2J 8 bits"),
        ("bell\a, back\b\b, \0, \x0e, \x7f\x0c", "bell, back, , , "),
        (" 10%\r 50%\r100%", "100%"),
        (" 10%\r 50%\r", " 50%"),
        ("\r", ""),
        ("\tübrig\u00a0\u2028", "\tübrig\u00a0\u2028"),
    ],
)
@pytest.mark.parametrize("colour", [False, True])
def test_a_line_stays_in_its_place(text: str, shown: str, colour: bool) -> None:
    before, _, printed = put(text, colour=colour).partition("| ")
    assert printed.removeprefix("\x1b[0m").removesuffix("\n").removesuffix("\x1b[0m") == shown
    assert "web" in before


@pytest.mark.parametrize("code", [0, 7, 8, 11, 12, 14, 15, 27, 0x84, 0x85, 0x8D, 0x90, 0x9B, 0x9D])
def test_a_control_character_alone_is_noticed(code: int) -> None:
    assert put(f"a{chr(code)}") == "12:00:00 web | a\n"


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Return that."""
        return True


@pytest.mark.parametrize(
    ("when", "stream", "variables", "expected"),
    [
        ("auto", Terminal(), {}, True),
        ("auto", Terminal(), {"NO_COLOR": ""}, True),
        ("auto", Terminal(), {"NO_COLOR": "1"}, False),
        ("auto", Terminal(), {"TERM": "dumb"}, False),
        ("auto", io.StringIO(), {}, False),
        ("always", io.StringIO(), {"NO_COLOR": "1"}, True),
        ("never", Terminal(), {}, False),
    ],
)
def test_colours_are_printed_on_a_terminal_or_if_asked(
    when: str,
    stream: Any,
    variables: dict[str, str],
    expected: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert wanted(when, stream) is expected
