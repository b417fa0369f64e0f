"""Hints: which entries of a table a line concerns."""

import pytest

from brummerbus.watch.detect import hints
from brummerbus.watch.detect.hints import Hinted, any_of

TABLE = Hinted([("a", ["alpha", "alphabet"]), ("b", ["beta 1"]), ("every", []), ("c", ["ä"])])


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("nothing", ("every",)),
        ("an alphabet", ("a", "every")),
        ("beta 7 of alpha 3", ("a", "b", "every")),
        ("gamma of ä", ("every", "c")),
    ],
)
def test_entries_are_found_in_their_order(line: str, expected: tuple[str, ...]) -> None:
    assert TABLE.of(line) == expected
    assert TABLE.of(line.replace("7", "42")) == expected  # what was kept


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hints, "MOST", 10)
    table = Hinted([("a", ["alpha"])])
    for number in range(100):
        assert table.of("x" * number) == ()
        assert table.of("x" * number + "alpha") == ("a",)
    assert len(table._known) <= 10


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", False),
        ("alfa", False),
        ("alpha", True),
        ("(betas)", True),
        ("gamma ", True),
        ("x.y", True),
    ],
)
def test_an_expression_finds_any_hint(line: str, expected: bool) -> None:
    found = any_of(["alpha", "alphabet", "beta", "x.y"], r"\bgamma ")
    assert (found.search(line) is not None) is expected


def test_no_hint_is_in_no_line() -> None:
    assert any_of([]).search("anything") is None
