"""Bytes to lines: nothing is lost, whatever the bytes and wherever the chunks end."""

import random
from collections.abc import Iterable
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brummerbus.watch.lines import Lines, LineSplitter
from brummerbus.watch.payloads import LogLines

STREAMS = st.lists(
    st.sampled_from([b"\n", b"\r\n", b"\r", b"a", b"", b"\xff", "ä€😀".encode(), b"\x00", b" "]),
    max_size=40,
).map(b"".join)


class Piece(NamedTuple):
    """One line."""

    text: str
    ending: str
    raw: bytes | None


def pieces_of(read: Iterable[Lines]) -> list[Piece]:
    """Return each line, as handlers see it."""
    pieces = []
    for lines in read:
        many = LogLines("p", "stdout", 0, 0.0, *lines)
        assert many.count == len(many.texts())
        assert list(many) == [many.line(place, text) for place, text in enumerate(many.texts())]
        pieces += [Piece(line.text, line.ending, line.raw) for line in many]
    return pieces


def split(stream: bytes, sizes: list[int], longest: int = 1000) -> list[Piece]:
    """Return the lines of a stream that arrives in chunks of these sizes, and then a rest."""
    splitter = LineSplitter(longest)
    read: list[Lines] = []
    for size in sizes:
        chunk, stream = stream[:size], stream[size:]
        if chunk:
            read += splitter.feed(chunk)
    if stream:
        read += splitter.feed(stream)
    return pieces_of(read + splitter.finish())


def joined(pieces: list[Piece]) -> bytes:
    """Return the bytes that the lines represent."""
    return b"".join(
        (piece.text.encode() if piece.raw is None else piece.raw) + piece.ending.encode()
        for piece in pieces
    )


@settings(deadline=None)
@given(STREAMS, st.lists(st.integers(1, 9), max_size=20))
def test_lines_joined_again_are_the_bytes_that_came(stream: bytes, sizes: list[int]) -> None:
    assert stream == joined(split(stream, sizes))


@settings(deadline=None)
@given(STREAMS, st.lists(st.integers(1, 9), max_size=20))
def test_where_the_chunks_end_makes_no_difference(stream: bytes, sizes: list[int]) -> None:
    assert split(stream, []) == split(stream, sizes)


@settings(deadline=None)
@given(STREAMS)
def test_there_is_one_line_for_each_newline_and_one_for_a_rest(stream: bytes) -> None:
    rest = 1 if stream and not stream.endswith(b"\n") else 0
    assert stream.count(b"\n") + rest == len(split(stream, []))


@settings(deadline=None)
@given(st.binary(max_size=60), st.integers(1, 10))
def test_a_line_too_long_to_hold_comes_in_pieces_that_lose_nothing(
    stream: bytes, longest: int
) -> None:
    sizes = [3] * 20
    pieces = split(stream, sizes, longest)
    assert stream == joined(pieces)
    assert all(len(piece.text) <= 4 * (longest + 3) for piece in pieces)


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"", []),
        (b"\n", [("", "\n")]),
        (b"one\ntwo\n", [("one", "\n"), ("two", "\n")]),
        (b"one\r\ntwo", [("one", "\r\n"), ("two", "")]),
        (b"50%\r100%\n", [("50%\r100%", "\n")]),
        (b"no end", [("no end", "")]),
        (b"\r", [("\r", "")]),
    ],
)
def test_endings_are_told_apart(stream: bytes, expected: list[tuple[str, str]]) -> None:
    assert expected == [(piece.text, piece.ending) for piece in split(stream, [])]


def test_bytes_that_are_not_utf_8_are_readable_and_kept() -> None:
    """Its neighbours are not touched."""
    first, second, third = split(b"good\nb\xe4d\r\n\xe2\x82\xac\n", [])
    assert Piece("good", "\n", None) == first
    assert Piece("b\\xe4d", "\r\n", b"b\xe4d") == second
    assert Piece("€", "\n", None) == third


def test_a_backslash_in_the_text_is_not_taken_for_an_escaped_byte() -> None:
    [line] = split(b"\\xe4\n", [])
    assert Piece("\\xe4", "\n", None) == line


def test_a_character_cut_in_two_by_a_chunk_is_one_character() -> None:
    assert [Piece("€", "\n", None)] == split("€\n".encode(), [1, 1])


def test_a_line_of_five_megabytes_comes_whole() -> None:
    """In the chunks of a pipe, with a line before and a line after."""
    body = random.Random(7).randbytes(2_500_000).hex().encode()
    splitter = LineSplitter()
    stream = b"before\n" + body + b"\nbehind\n"
    pieces = pieces_of(
        lines
        for start in range(0, len(stream), 65536)
        for lines in splitter.feed(stream[start : start + 65536])
    )
    assert ["before", body.decode(), "behind"] == [piece.text for piece in pieces]
    assert splitter.finish() == []


def test_lines_of_one_read_stay_together() -> None:
    [lines] = LineSplitter().feed(b"one\ntwo\nthree\n")
    assert lines == Lines("one\ntwo\nthree", 3)


@settings(deadline=None)
@given(STREAMS, st.integers(1, 9))
def test_the_last_lines_are_the_last_of_all(stream: bytes, most: int) -> None:
    for lines in LineSplitter().feed(stream + b"\n"):
        many = LogLines("p", "stdout", 7, 0.0, *lines)
        assert many.last(most) == list(many)[-most:]


WIDE = [("utf-16-le", b"\xff\xfe", "\n\x00"), ("utf-16-be", b"\xfe\xff", "\x00\n")]


@pytest.mark.parametrize(("codec", "mark", "newline"), WIDE)
def test_utf_16_with_a_byte_order_mark_is_decoded(codec: str, mark: bytes, newline: str) -> None:
    """A character of which one byte is that of a newline ends no line."""
    stream = mark + "ERROR ä€😀\n\u010a\u0a0a\n\nend".encode(codec)
    pieces = split(stream, [1, 3, 2, 5])
    assert [piece.text for piece in pieces] == ["ERROR ä€😀", "\u010a\u0a0a", "", "end"]
    assert [piece.ending for piece in pieces] == [newline] * 3 + [""]
    assert joined(pieces) == stream


@settings(deadline=None)
@given(
    st.sampled_from([b"\xff\xfe", b"\xfe\xff"]),
    st.lists(
        st.sampled_from([b"\n\0", b"\0\n", b"\r\0", b"a\0", b"\0a", b"\0\xd8", b"\xdc\0", b"x"])
    ),
    st.lists(st.integers(1, 9), max_size=20),
    st.integers(1, 20),
)
def test_utf_16_loses_nothing_whatever_its_bytes(
    mark: bytes, units: list[bytes], sizes: list[int], longest: int
) -> None:
    stream = mark + b"".join(units)
    assert joined(split(stream, sizes, longest)) == stream
    assert split(stream, sizes) == split(stream, [])
    assert all(piece.text.encode() is not None for piece in split(stream, sizes))


@pytest.mark.parametrize(
    "stream",
    [
        b"\xff",
        b"\xff\xfe",
        b"\xff\xfe\0",
        b"\xff\xfe\0\0a",
        b"\xff\xfe\0\x30",
        b"\xff\xffa",
        b"e\xff\xfe",
    ],
)
def test_other_bytes_are_not_taken_for_utf_16(stream: bytes) -> None:
    [piece] = split(stream, [1])
    assert piece.raw == stream
    assert "\\xff" in piece.text
