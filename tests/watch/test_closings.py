# ruff: noqa: RUF001
"""What a test runner says at its end is what is reported, named or not."""

import pytest

from brummerbus.watch.payloads import TestResult

from .helpers import find
from .samples import more_runs, runs

RUNS = [
    (runs.PYTEST_DOTS, (3, 2)),
    (runs.PYTEST_TEARDOWN, (2, 1)),
    (runs.PYTEST_COLLECTION, (0, 1)),
    (runs.PYTEST_SUGAR, (2, 1)),
    (runs.JEST_CONSOLE, (2, 1)),
    (runs.UNITTEST_DOTS, (2, 4)),
    (runs.VITEST, (2, 1)),
    (runs.MOCHA, (4, 2)),
    (runs.NODE_SPEC, (1, 1)),
    (runs.CARGO_QUIET, (1, 1)),
    (runs.MINITEST, (2, 2)),
    (runs.RSPEC, (1, 1)),
    (runs.PHPUNIT, (1, 1)),
    (runs.ROBOT, (2, 1)),
    (runs.PROVE, (6, 1)),
    (runs.GO_JSON, (1, 1)),
    (runs.TAP_PLAN_LAST, (1, 1)),
    (more_runs.JASMINE, (1, 2)),
    (more_runs.TEST_UNIT, (1, 2)),
    (more_runs.PROVE_VERBOSE, (3, 2)),
    (more_runs.VITEST_TAP, (1, 1)),
    (more_runs.BEHAVE, (1, 1)),
    (more_runs.DOCTEST, (0, 1)),
    (more_runs.GO, (0, 2)),
    (more_runs.PABOT, (3, 1)),
    (more_runs.PABOT_TESTS, (1, 1)),
    (runs.ROBOT + more_runs.PABOT, (5, 2)),
]


@pytest.mark.parametrize(("text", "figures"), RUNS)
def test_the_figures_are_those_of_the_closing_line(text: str, figures: tuple[int, int]) -> None:
    assert find(text).figures == figures


@pytest.mark.parametrize(("text", "figures"), RUNS)
def test_a_second_run_in_the_same_stream_counts_again(text: str, figures: tuple[int, int]) -> None:
    assert find(text * 2).figures == (figures[0] * 2, figures[1] * 2)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (runs.VITEST, ("a.test.js > sums > fails", "AssertionError: expected 3 to be 4")),
        (
            runs.JEST_CONSOLE,
            ("./a.test.js › sums › fails", "expect(received).toBe(expected) // Object.is equality"),
        ),
        (runs.NODE_SPEC, ("fails", "AssertionError [ERR_ASSERTION]: 1 == 2")),
        (runs.MINITEST, ("SumTest#test_fail", "Expected: 1")),
        (runs.RSPEC, ("sum fails", "./sum_spec.rb:3: RuntimeError: boom")),
        (runs.PHPUNIT, ("SumTest::testFail", "Failed asserting that 1 is 2.")),
        (runs.ROBOT, ("Adds Wrongly", "1 != 2")),
        (more_runs.PABOT, ("Adds Wrongly", "1 != 2")),
        (more_runs.PABOT_TESTS, ("Rf.A.Adds Wrongly", "")),
        (runs.PYTEST_COLLECTION, ("test_c.py", "ModuleNotFoundError: No module named 'nope'")),
    ],
)
def test_a_failed_test_is_named_with_its_reason(text: str, expected: tuple[str, str]) -> None:
    found = [item for item in find(text).all if getattr(item, "passed", True) is False]
    assert (found[0].name, found[0].detail) == expected


@pytest.mark.parametrize(
    "text",
    [
        runs.PYTEST_DOTS,
        runs.PYTEST_SUGAR,
        runs.JEST_CONSOLE,
        runs.VITEST,
        runs.MOCHA,
        runs.NODE_SPEC,
        runs.ROBOT,
        runs.RSPEC,
    ],
)
def test_what_failed_tests_print_is_no_error_beside_them(text: str) -> None:
    assert find(text).errors == []


def test_a_file_that_cannot_be_collected_is_an_error_with_its_place() -> None:
    [error] = find(runs.PYTEST_COLLECTION).errors
    assert error.message == "ModuleNotFoundError: No module named 'nope'"
    assert error.location == "test_c.py:1"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (more_runs.GO, {"TestBad": "a_test.go:4: one is 2", "TestMap": ""}),
        (more_runs.JASMINE, {"sum breaks": "Expected 1 to be 2.", "sum throws": "Error: boom"}),
        (
            more_runs.TEST_UNIT,
            {"test_bad(TestA)": "<1> expected but was", "test_err(TestA)": "RuntimeError: boom"},
        ),
    ],
    ids=["go", "jasmine", "test-unit"],
)
def test_a_failed_test_has_the_reason_that_the_report_gives(
    text: str, expected: dict[str, str]
) -> None:
    found = find(text).all
    assert {
        f.name: f.detail for f in found if isinstance(f, TestResult) if not f.passed
    } == expected


def test_a_panic_below_a_failed_go_test_is_an_error_at_the_program_s_own_line() -> None:
    """Not at a line of Go's own packages, whose frames are above it."""
    (error,) = find(more_runs.GO).errors
    assert (error.message, error.location) == (
        "assignment to entry in nil map",
        "/app/p/p_test.go:3",
    )


def test_what_failed_tests_print_to_the_other_stream_of_prove_is_counted_once() -> None:
    assert find(more_runs.PROVE_ERR).figures == (0, 0)
    assert find(more_runs.PROVE_OUT).figures == (2, 1)


def test_a_heading_that_rspec_has_too_hides_no_later_error() -> None:
    (error,) = find(more_runs.FAILURES_OF_NO_RUNNER).errors
    assert error.message == "no space left"


@pytest.mark.parametrize(
    "text", [more_runs.JASMINE, more_runs.TEST_UNIT, more_runs.PROVE_VERBOSE, more_runs.DOCTEST]
)
def test_an_error_after_a_run_is_found(text: str) -> None:
    (error,) = find(text + "ERROR after the tests\n").errors
    assert error.message == "after the tests"


LONG_NAMES = """\
=================================== FAILURES ===================================
_________________________ TestBread.test_cheap[with tea] _______________________
    def test_cheap(self, drink):
>       assert price("bread") == 2
E       AssertionError: assert 3 == 2
E         +3
test_shop.py:11: AssertionError
____________________________ ERROR at setup of test_a __________________________
E   RuntimeError: no fixture of a length that the summary has a space for
=========================== short test summary info ============================
FAILED test_shop.py::TestBread::test_cheap[with tea]
ERROR test_shop.py::test_a - RuntimeError: no fixture...
2 failed in 0.02s
"""


def test_a_reason_for_which_pytest_s_summary_has_no_space_is_that_of_the_report() -> None:
    found = find(LONG_NAMES).all
    assert [f.detail for f in found if isinstance(f, TestResult)] == [
        "AssertionError: assert 3 == 2",
        "RuntimeError: no fixture of a length that the summary has a space for",
    ]


RULE = "-" * 79

NO_TESTS = [
    f"{RULE}\nhosts and ports\n{RULE}\nERROR no answer from db:5432\n",
    f"{RULE}\nhosts\n{RULE}\ndb:5432\nERROR no answer from db\n",
    "checks of the disk\n  sda1: FAIL\n    2024-05-17 09:30:00 ERROR smart says no\n",
    "Failures:\n\n  1) the disk is full\nERROR it is full\n",
]


@pytest.mark.parametrize("text", NO_TESTS)
def test_what_only_resembles_the_report_of_a_runner_hides_no_error(text: str) -> None:
    found = find(text + "done\n")
    assert found.results == []
    assert len(found.errors) == 1


def test_a_case_of_catch2_that_fails_in_two_sections_is_one_test() -> None:
    case = (
        f"{RULE}\nadds\n  {{}}\n{RULE}\na.cc:7\n{'.' * 79}\n\na.cc:7: FAILED:\n  CHECK( false )\n\n"
    )
    end = f"{'=' * 79}\ntest cases: 2 | 1 passed | 1 failed\n"
    found = find(case.format("one") + case.format("two") + end + "ERROR after\n")
    failed = [(item.name, item.detail) for item in found.results if not item.passed]
    assert failed == [("adds", "a.cc:7: CHECK( false )")]
    assert [error.message for error in found.errors] == ["after"]
