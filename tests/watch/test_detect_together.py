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


def alone(lines: list[LogLine]) -> list[Found]:
    detector = StreamDetector()
    return [found for line in lines for found in detector.feed(line)] + detector.finish()


@pytest.mark.slow
@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("longest", [1, 2, 7, 100, 100_000])
def test_where_a_read_ends_makes_no_difference_to_what_is_found(name: str, longest: int) -> None:
    rest = random.Random(longest)
    lines = [line._replace(time=5.0) for line in make_lines(TEXTS[name])]
    detector = StreamDetector()
    found: list[Found] = []
    start = 0
    while start < len(lines):
        end = start + rest.randint(1, longest)
        found += detector.feed_many(LogLines.of(lines[start:end]))
        start = end
    assert found + detector.finish() == alone(lines)
