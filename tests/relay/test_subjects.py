"""Subjects and filters: a subject for each type; filters let pass what their globs match."""

import fnmatch
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from brummerbus.relay._subjects import (
    Globs,
    check_namespace,
    subject,
    subject_filter,
    subject_filters,
    type_of,
)

EXAMPLES = 50
TYPES = st.text(st.sampled_from("ab.%*> é"), min_size=1) | st.text(st.characters(), min_size=1)


@settings(deadline=None, max_examples=EXAMPLES)
@given(TYPES)
@example("..")
@example("%.a")
@example("a.\udcff")
def test_a_subject_is_valid_and_says_the_type(event_type: str) -> None:
    found = subject("n.s", "evt", event_type)
    assert found.startswith("n.s.evt.")
    tokens = found.split(".")
    assert all(re.fullmatch(r"[!-~]+", token) for token in tokens)
    assert not any(c in found for c in "*> ")
    assert type_of("n.s", found) == event_type


def test_the_subject_of_a_stranger_is_read_as_far_as_it_can_be() -> None:
    assert type_of("n", "n.evt.a.%FF") == "a.\N{REPLACEMENT CHARACTER}"


def test_plain_types_are_their_own_subject() -> None:
    assert subject("brummer", "evt", "process.started") == "brummer.evt.process.started"
    assert subject("brummer", "dead", "a b") == "brummer.dead.a%20b"
    assert subject("brummer", "evt", "a..b") == "brummer.evt.a.%.b"


@pytest.mark.parametrize(
    ("glob", "found"),
    [
        ("process.started", "n.evt.process.started"),
        ("process.*", "n.evt.process.>"),
        ("a.b*", "n.evt.a.>"),
        ("a.*.c", "n.evt.a.>"),
        ("pro*", "n.evt.>"),
        ("*", "n.evt.>"),
        ("é.?", "n.evt.%C3%A9.>"),
        ("a b.[cd]", "n.evt.a%20b.>"),
    ],
)
def test_a_glob_becomes_the_tokens_before_its_first_wildcard(glob: str, found: str) -> None:
    assert subject_filter("n", glob) == found


def lets_pass(pattern: str, found: str) -> bool:
    """Match as NATS does."""
    if pattern.endswith(".>"):
        return found.startswith(pattern[:-1]) and len(found) > len(pattern) - 1
    return found == pattern


@settings(deadline=None, max_examples=EXAMPLES)
@given(st.text(st.sampled_from("ab.*?[]"), min_size=1), st.text(st.sampled_from("ab."), min_size=1))
@example("a.*", "a.")
@example("a.*", "a..b")
def test_a_filter_lets_everything_pass_that_its_glob_matches(glob: str, event_type: str) -> None:
    matches = (
        fnmatch.fnmatchcase(event_type, glob) if set(glob) & set("*?[") else glob == event_type
    )
    assert (Globs([glob]).first(event_type) == 0) == matches
    if matches:
        assert lets_pass(subject_filter("n", glob), subject("n", "evt", event_type))


def test_filters_do_not_overlap() -> None:
    assert subject_filters("n", ["a.b.*", "a.*", "a.x", "b", "b"]) == ["n.evt.a.>", "n.evt.b"]
    assert subject_filters("n", ["a", "a.*"]) == ["n.evt.a", "n.evt.a.>"]
    assert subject_filters("n", ["a.x", "?", "b.*"]) == ["n.evt.>"]


def test_the_first_glob_that_matches_is_known_by_its_position() -> None:
    globs = Globs(["a", "a*", "b.[xy]"])
    assert [globs.first(one) for one in ("a", "ab", "b.x", "b.z")] == [0, 1, 2, None]
    for number in range(3000):  # more than it remembers
        assert globs.first(f"a{number}") == 1


@pytest.mark.parametrize("name", ["", ".", "a.", "a b", "a.*", "é", ">"])
def test_a_namespace_is_plain_tokens(name: str) -> None:
    with pytest.raises(ValueError, match="namespace must be letters"):
        check_namespace(name)
    assert check_namespace("a-1.b_2") == "a-1.b_2"
