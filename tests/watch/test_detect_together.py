"""Lines that were read at once are detected as if each had been fed alone."""

import random
from collections.abc import Iterator

import pytest

from brummerbus.watch.detect import StreamDetector
from brummerbus.watch.payloads import Found, LogLine, LogLines

from .helpers import make_lines
from .samples import errors, runs

CALM = "2024-05-17 12:00:{:02},123 INFO  [worker] request {} handled, 0 errors\n"
SAMPLES = {
    name: text
    for module in (errors, runs)
    for name, text in vars(module).items()
    if name.isupper() and isinstance(text, str)
}


def texts() -> Iterator[tuple[str, str]]:
    """Return each sample alone, and all of them among the lines of a calm program."""
    yield from SAMPLES.items()
    rest = random.Random(3)
    mixed = "".join(
        "".join(CALM.format(rest.randrange(60), rest.random()) for _ in range(rest.randrange(90)))
        + text
        for text in SAMPLES.values()
    )
    yield "mixed", mixed
    yield "coloured", "".join(f"\x1b[2m{line}\x1b[0m\n" for line in mixed.splitlines())
    yield "compose", "".join(f"api-1  | {line}\n" for line in mixed.splitlines())


TEXTS = dict(texts())
LONG = ("mixed", "coloured", "compose")


def alone(lines: list[LogLine]) -> list[Found]:
    detector = StreamDetector()
    return [found for line in lines for found in detector.feed(line)] + detector.finish()


def read_in_parts(lines: list[LogLine], longest: int) -> list[Found]:
    """Feed lines some at a time: random numbers of them up to the longest."""
    rest = random.Random(longest)
    detector = StreamDetector()
    found: list[Found] = []
    start = 0
    while start < len(lines):
        end = start + rest.randint(1, longest)
        found += detector.feed_many(LogLines.of(lines[start:end]))
        start = end
    return found + detector.finish()


@pytest.mark.parametrize("name", [
    pytest.param(name, marks=pytest.mark.slow if name in LONG else ()) for name in TEXTS
])  # fmt: skip
def test_where_a_read_ends_makes_no_difference_to_what_is_found(name: str) -> None:
    lines = [line._replace(time=5.0) for line in make_lines(TEXTS[name])]
    expected = alone(lines)
    for longest in (1, 2, 7, 100, 100_000):
        assert read_in_parts(lines, longest) == expected, f"reads of up to {longest} lines"
