"""The gate: which lines a detector must see, of many that were read at once."""

import pytest

from brummerbus.watch.detect.gate import BUILDS, ERRORS, RESULTS, Gate

NOW = "2024-05-17 12:00:07,123"


@pytest.fixture
def gate() -> Gate:
    return Gate(["no route"], always=False)


def places(gate: Gate, *lines: str) -> list[int]:
    """Return what the gate says, which is the same whether it has seen such lines before or not."""
    text = "\n".join(lines)
    first = gate.places(text)
    assert gate.places(text) == first
    return first


def test_lines_without_a_hint_are_passed_by(gate: Gate) -> None:
    assert places(gate, "", "one", 'GET "/item/7" 200', f"{NOW} saved 3 of 9", "€ 7") == []


def test_lines_with_a_hint_are_found_whatever_their_case_and_place(gate: Gate) -> None:
    assert places(gate, "Error: 1", "two", "it said NO ROUTE", "", "3 passed") == [0, 2, 4]


def test_digits_make_no_difference_to_a_hint(gate: Gate) -> None:
    assert gate.places("no route 1\nall well 1") == [0]
    assert gate.places("all well 22\nno route 33") == [1]


@pytest.mark.parametrize("level", ["INFO", "DEBUG", "WARN ", "[WARNING]"])
def test_a_logger_s_line_at_a_calm_level_is_passed_by_whatever_it_says(
    level: str, gate: Gate
) -> None:
    assert places(gate, f"{NOW} {level} 7 errors: no route") == []


def test_what_a_calm_line_says_is_found_where_another_line_says_it(gate: Gate) -> None:
    """Also after the gate has learnt how calm lines begin."""
    assert places(
        gate, f"{NOW} INFO no route", f"{NOW} ERROR no route", "INFO no route", "no route"
    ) == [1, 2, 3]


def test_many_ways_in_which_calm_lines_begin_are_all_known(gate: Gate) -> None:
    lines = [f"{NOW} [{chr(97 + n)}] INFO no route" for n in range(26)]
    assert places(gate, *lines, "no route") == [26]


def test_a_level_that_is_a_number_is_looked_at_each_time(gate: Gate) -> None:
    calm, loud = '{"level":30,"msg":"x"}', '{"level":50,"msg":"x"}'
    assert places(gate, calm, calm) == []
    assert 1 in places(gate, calm, loud)
    assert places(gate, calm, calm) == []


def test_an_address_is_no_plan_of_tap(gate: Gate) -> None:
    assert places(gate, '10.0.7.43 - - "GET /" 200', "1..4", "  1..4 ") == [1, 2]


def test_a_line_that_is_too_long_to_examine_is_not(gate: Gate) -> None:
    assert places(gate, "x" * 100_000 + "no route", "y" * 1000 + "no route") == [1]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("no route", ERRORS),
        ("--- PASS: x", RESULTS),
        ("webpack compiled", BUILDS),
        ("error: failed to compile", ERRORS | RESULTS | BUILDS),
        ("nothing", 0),
    ],
)
def test_each_line_is_for_certain_detectors(line: str, expected: int, gate: Gate) -> None:
    assert gate.detectors(line) == expected


def test_a_pattern_without_a_hint_makes_every_line_one_to_look_at() -> None:
    assert Gate([], always=True).places("one\ntwo") == [0, 1]


def test_more_sentences_than_are_kept_are_decided_alike(gate: Gate) -> None:
    lines = [f"{number:b} no route".replace("1", "a").replace("0", "b") for number in range(9000)]
    assert places(gate, *lines) == list(range(9000))


@pytest.mark.parametrize(
    "line",
    [
        'GET "/x.js" 200 OK in 3 ms',
        "it took 3 ms, and ran",
        f"api-1  | {NOW} WARN  no route",
        '{"level":30,"msg":"no route"}',
        '{"level":"warn","msg":"no route"}',
        "Controller#show",
        "well done",
    ],
)
def test_words_that_only_resemble_a_hint_are_none(line: str, gate: Gate) -> None:
    assert places(gate, line, line) == []


@pytest.mark.parametrize(
    "line", ["ok 1 - x", "not ok 2", "Ran 3 tests in 1s", "ok\t5 x", "# pass 3"]
)
def test_short_words_of_test_runners_are_hints(line: str, gate: Gate) -> None:
    assert places(gate, line) == ([] if "\t" in line else [0])


def test_json_at_an_error_s_level_is_found_after_calm_json(gate: Gate) -> None:
    lines = [f'{{"level":{level},"msg":"x"}}' for level in (30, 50, 30, 60)]
    assert places(gate, *lines) == [1, 3]
