"""Test results in lines: each format's own output, and each test once."""

import pytest

from .helpers import find
from .samples import results as samples


@pytest.mark.parametrize(
    ("framework", "text", "expected"),
    [
        (
            "pytest",
            samples.PYTEST,
            {
                "test_p.py::test_ok": True,
                "test_p.py::test_fail": False,
                "test_p.py::test_par[a b]": False,
                "test_p.py::test_err": False,
                "test_p.py::TestX::test_m": True,
            },
        ),
        ("pytest", samples.PYTEST_QUIET, {"test_p.py::test_fail": False, "": True}),
        (
            "pytest",
            samples.PYTEST_WORKERS,
            {"test_p.py::test_ok": True, "test_p.py::test_fail": False},
        ),
        (
            "unittest",
            samples.UNITTEST,
            {
                "test_doc (test_u.T.test_doc)": True,
                "test_err (test_u.T.test_err)": False,
                "test_ok (test_u.T.test_ok)": True,
                "test_print (test_u.T.test_print)": True,
                "test_sub (test_u.T.test_sub) (i=1)": False,
            },
        ),
        ("unittest", samples.UNITTEST_QUIET, {"test_fail (test_u.T)": False, "": True}),
        ("go test", samples.GO, {"TestAdd": True, "TestSplit": False, "TestSplit/empty": False}),
        ("cargo test", samples.CARGO, {"good": True, "tests::bad": False}),
        (
            "tap",
            samples.TAP,
            {
                "adds": True,
                "fails": False,
                "sums": False,
                "top without a dash": True,
                "test 4": True,
            },
        ),
        (
            "jest",
            samples.JEST,
            {
                "src/a.test.js › sums › fails": False,  # noqa: RUF001
                "": True,
            },
        ),
        (
            "jest",
            samples.JEST_VERBOSE,
            {
                "src/a.test.js › top": True,  # noqa: RUF001
                "src/a.test.js › sums › adds": True,  # noqa: RUF001
                "src/a.test.js › sums › fails": False,  # noqa: RUF001
                "src/a.test.js › sums › deeper › still adds": True,  # noqa: RUF001
                "src/b.test.js › ok": True,  # noqa: RUF001
            },
        ),
    ],
)
def test_each_test_is_reported_once_as_passed_or_failed(
    framework: str, text: str, expected: dict[str, bool]
) -> None:
    """Skips, expected failures, and the names repeated in a summary are not."""
    found = find(text)
    assert sorted(expected.items()) == sorted(found.tests)
    assert {framework} == found.frameworks


@pytest.mark.parametrize(
    "text", [samples.PYTEST, samples.PYTEST_QUIET, samples.UNITTEST, samples.UNITTEST_QUIET]
)
def test_a_second_run_in_the_same_stream_is_reported_again(text: str) -> None:
    """As when tests run at each change of a file."""
    assert find(text).tests * 2 == find(text * 2).tests


def test_a_quiet_run_behind_a_verbose_one_is_reported_too() -> None:
    text = samples.PYTEST + samples.PYTEST_QUIET
    assert find(text).tests == find(samples.PYTEST).tests + find(samples.PYTEST_QUIET).tests


def test_a_test_that_says_error_is_not_an_error_too() -> None:
    assert find(samples.PYTEST).errors == []


def test_the_traceback_of_a_failed_unittest_is_an_error() -> None:
    """Its heading, which contains ERROR, is not an error of its own."""
    assert [error.message for error in find(samples.UNITTEST).errors] == [
        "KeyError: 'x'",
        "AssertionError: 1 != 0",
    ]


def test_a_summary_says_why() -> None:
    [result] = find(samples.PYTEST_QUIET.replace(", 1 passed", "")).all
    assert result.detail == "AssertionError: one is not two"


@pytest.mark.parametrize(
    "text",
    [
        "ok 200 files copied",
        "ok, 3 done",
        "✓ 34 modules transformed.",
        "  ✓ built",
        "PASS the salt",
        "all PASSED (3)",
        "test it ... maybe",
        "std::vector FAILED",
    ],
)
def test_a_line_that_only_resembles_a_result_is_none(text: str) -> None:
    assert find(text + "\nnext\n").tests == []
