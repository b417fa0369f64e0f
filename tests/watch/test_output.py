"""Output that waits for its reader, and no longer than it must."""

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from brummerbus.watch.output import Output
from helpers.waiting import HANG, poll

LINE = "x" * 999 + "\n"
MUCH = LINE * 400
"""More than a pipe and the bound of an `Output` can hold together."""


class Pipe:
    """A pipe with an `Output` at one end and the test at the other."""

    def __init__(self) -> None:
        reader, writer = os.pipe()
        self.reader = os.fdopen(reader, "rb", buffering=0)
        self.stream = os.fdopen(writer, "w", encoding="utf-8")
        self.output = Output(self.stream)

    def read(self, size: int) -> bytes:
        """Read that many bytes."""
        chunks = []
        while size > 0:
            chunks.append(self.reader.read(size))
            size -= len(chunks[-1])
        return b"".join(chunks)

    def close(self) -> None:
        """Close both ends."""
        self.reader.close()
        self.output.close()
        assert self.output.wait(HANG)
        self.stream.close()


@pytest.fixture
def pipe() -> Iterable[Pipe]:
    made = Pipe()
    yield made
    made.close()


def test_what_is_written_arrives_in_order(pipe: Pipe) -> None:
    for number in range(100):
        pipe.output.write(f"{number}\n")
    expected = "".join(f"{number}\n" for number in range(100)).encode()
    assert pipe.read(len(expected)) == expected


def test_a_writer_waits_for_a_slow_reader_and_loses_nothing(pipe: Pipe) -> None:
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(lambda: [pipe.output.write(LINE * 10) for _ in range(100)])
        poll(lambda: pipe.output._size >= 128 * 1024)
        assert not writing.done()
        assert pipe.read(1_000_000) == LINE.encode() * 1000
        writing.result(HANG)
    assert pipe.output.dropped == 0


def test_in_a_hurry_a_writer_soon_waits_no_more_and_says_what_it_dropped(pipe: Pipe) -> None:
    with ThreadPoolExecutor(1) as pool:
        pipe.output.write(MUCH)
        writing = pool.submit(lambda: [pipe.output.write(MUCH) for _ in range(3)])
        poll(lambda: pipe.output._size >= 128 * 1024)
        pipe.output.hurry()
        writing.result(HANG)
    assert pipe.output.dropped in (800, 1200)  # the first was pending, or being written


def test_a_message_never_waits_and_is_never_dropped(pipe: Pipe) -> None:
    pipe.output.write(MUCH)
    pipe.output.write(MUCH)
    pipe.output.say("the report")
    assert not pipe.output.wait(0)
    assert pipe.read(len(MUCH) * 2 + 11)[-11:] == b"the report\n"
    assert pipe.output.wait(HANG)


def test_a_reader_that_leaves_ends_the_writing_silently(pipe: Pipe) -> None:
    pipe.output.write(MUCH)
    pipe.reader.close()
    for _ in range(3):
        pipe.output.write(MUCH)
    assert pipe.output.dropped == 0


def test_a_descriptor_that_does_not_block_is_waited_for(pipe: Pipe) -> None:
    """It is shared with a program that has set it so, such as node."""
    os.set_blocking(pipe.stream.fileno(), False)
    pipe.output.write(MUCH)
    assert pipe.read(len(MUCH)) == MUCH.encode()


def test_what_the_stream_cannot_encode_is_escaped(tmp_path: Path) -> None:
    with (tmp_path / "out").open("w", encoding="ascii") as stream:
        output = Output(stream)
        output.write("50 € \ud800\n")
        output.close()
        assert output.wait(HANG)
    assert (tmp_path / "out").read_bytes() == b"50 \\u20ac \\ud800\n"
