"""Results that tools print as JSON and JUnit XML, alone and beside the lines that say the same."""

import json

import pytest

from brummerbus.watch.detect import StreamDetector
from brummerbus.watch.detect.runs import Runs
from brummerbus.watch.detect.shapes import Shape, shapes

from .helpers import Findings, find, make_lines
from .samples import documents, runs

XML = {
    "pytest": (documents.PYTEST_JUNIT, (1, 2)),
    "node": (documents.NODE_JUNIT, (1, 2)),
    "mocha": (documents.MOCHA_XUNIT, (1, 1)),
    "phpunit": (documents.PHPUNIT, (1, 1)),
    "ctest": (documents.CTEST_JUNIT, (1, 1)),
    "googletest": (documents.GTEST_XML, (1, 1)),
    "cargo": (documents.CARGO_JUNIT, (1, 1)),
}


@pytest.mark.parametrize(("text", "figures"), XML.values(), ids=XML)
def test_junit_xml_gives_the_figures_of_its_test_cases(text: str, figures: tuple[int, int]) -> None:
    found = find(text)
    assert found.figures == figures
    assert found.errors == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (documents.PYTEST_JUNIT, ("test_a.test_bad", "assert 2 == 1")),
        (documents.NODE_JUNIT, ("fails", "Expected values to be strictly equal:3 !== 4")),
        (documents.MOCHA_XUNIT, ("sums.throws", "boom <&>")),
        (documents.PHPUNIT, ("ATest.testBad", "Failed asserting that 2 is identical to 1.")),
        (documents.CTEST_JUNIT, ("bad", "wrong <&>")),
        (documents.GTEST_XML, ("Sum.Fails", "a.cc:3: Expected equality of these values:")),
        (documents.CARGO_JUNIT, ("tests.bad", "src/lib.rs:4:24: assertion failed: one")),
    ],
    ids=XML,
)
def test_a_failed_case_of_junit_xml_has_its_reason(text: str, expected: tuple[str, str]) -> None:
    failed = [result for result in find(text).results if not result.passed]
    assert (failed[0].name, failed[0].detail) == expected


@pytest.mark.parametrize("text", [text for text, _ in XML.values()], ids=XML)
def test_an_error_after_a_document_is_found(text: str) -> None:
    (error,) = find(text + "ERROR after the tests\n").errors
    assert error.message == "after the tests"


@pytest.mark.parametrize("shape", shapes(), ids=lambda shape: shape.framework)
def test_each_document_of_json_gives_its_own_example(shape: Shape) -> None:
    found = find(f"before\n{shape.example}\nERROR after\n")
    assert found.figures == shape.finds
    failed = [(result.name, result.detail) for result in found.results if not result.passed]
    assert tuple(failed) == shape.fails
    errors = [(error.message, error.location) for error in found.errors if error.kind != "log"]
    assert tuple(errors) == shape.errors
    assert {item.framework for item in found.results} <= {shape.framework}
    assert [error.message for error in found.errors if error.kind == "log"] == ["after"]


def test_a_document_of_json_may_have_one_value_on_a_line() -> None:
    text = json.dumps(json.loads(documents.JEST_JSON), indent=2)
    assert find(f"{text}\n").figures == (1, 1)
    assert find("".join(f"web-1  | {line}\n" for line in text.split("\n"))).figures == (1, 1)


VERY_QUIET = "".join(
    (documents.PYTEST_ROW, documents.PYTEST_JUNIT, *documents.PYTEST_AFTER.splitlines(True)[:-1])
)
"""Without a closing line, the row has the figures."""

BOTH = [
    (documents.PYTEST_ROW + documents.PYTEST_JUNIT + documents.PYTEST_AFTER, (2, 2)),
    (VERY_QUIET, (2, 2)),
    (documents.PHPUNIT + documents.PHPUNIT_AFTER, (1, 1)),
    (documents.GTEST_BRIEF + documents.GTEST_XML, (1, 1)),
    (documents.JEST_ERR + documents.JEST_JSON, (1, 1)),
    (documents.JEST_JSON + documents.JEST_ERR, (1, 1)),
    (documents.REPORTLOG + documents.REPORTLOG_AFTER, (1, 2)),
]


@pytest.mark.parametrize(("text", "figures"), BOTH)
def test_a_run_that_lines_and_a_document_report_is_counted_once(
    text: str, figures: tuple[int, int]
) -> None:
    """With the figures and the names of the lines, which the reader knows.

    Of pytest they differ: a test of which the teardown fails has passed and failed in the lines.
    """
    found = find(text)
    assert found.figures == figures
    failed = [result.name for result in found.results if not result.passed and result.count]
    assert len(failed) == figures[1]


def test_two_runs_of_which_each_is_reported_twice_are_two() -> None:
    assert find((documents.JEST_ERR + documents.JEST_JSON) * 2).figures == (2, 2)


def test_a_document_of_another_run_is_counted_beside_the_lines() -> None:
    assert find(documents.JEST_ERR + documents.GTEST_XML.replace("Fails", "x")).figures == (2, 2)
    assert find(runs.MOCHA + documents.JEST_JSON).figures == (5, 3)


def test_a_document_of_a_later_run_with_the_same_figures_is_counted() -> None:
    assert find(documents.JEST_ERR + "working\n" * 61 + documents.JEST_JSON).figures == (2, 2)


def test_runs_of_two_packages_are_two_though_their_figures_are_the_same() -> None:
    lines = [
        *(f"one:test: {line}" for line in documents.JEST_ERR.splitlines()),
        *(f"two:test: {line}" for line in documents.JEST_JSON.splitlines()),
    ]
    assert find("\n".join(lines)).figures == (2, 2)


def test_lines_and_document_may_come_from_different_streams() -> None:
    shared = Runs()
    out, err = StreamDetector(runs=shared), StreamDetector(runs=shared)
    found = [item for line in make_lines(documents.JEST_JSON) for item in out.feed(line)]
    assert out.waits
    for line in make_lines(documents.JEST_ERR, stream="stderr"):
        found += err.feed(line)
    found += out.settle()
    assert Findings(found).figures == (1, 1)
    assert not out.waits


def test_what_no_line_repeats_is_found_after_a_pause() -> None:
    detector = StreamDetector()
    for line in make_lines(documents.JEST_JSON):
        assert detector.feed(line) == []
    assert Findings(detector.settle()).figures == (1, 1)
    assert detector.finish() == []


def test_what_no_line_repeats_is_found_although_lines_never_pause() -> None:
    detector = StreamDetector()
    text = documents.JEST_JSON + "".join(f"item {n} failed\n" for n in range(20_010))
    found = [item for line in make_lines(text) for item in detector.feed(line)]
    assert Findings(found).figures == (1, 1)


def test_an_xml_document_that_is_cut_off_hides_no_later_error() -> None:
    text = documents.NODE_JUNIT.partition('\t\t<testcase name="later"')[0]
    assert find(text).figures == (1, 1)
    found = find(text + "a line of the test's\n" * 2001 + "ERROR after it\n")
    assert found.figures == (1, 1)
    assert [error.message for error in found.errors] == ["after it"]


def test_an_element_in_a_manual_hides_no_error() -> None:
    text = '<testsuite name="x"> is what a runner writes\n' + "more\n" * 31 + "ERROR after it\n"
    found = find(text)
    assert (found.results, [error.message for error in found.errors]) == ([], ["after it"])


def test_json_that_is_cut_off_hides_no_later_error() -> None:
    text = "\n".join(json.dumps(json.loads(documents.JEST_JSON), indent=2).split("\n")[:20])
    found = find(f"{text}\nERROR after it\n")
    assert (found.results, [error.message for error in found.errors]) == ([], ["after it"])


def test_a_document_that_is_longer_than_what_is_kept_ends_all_the_same() -> None:
    head = '{\n  "examples": [\n'
    body = '    "' + "x" * 1_000_000 + '",\n'
    found = find(f"{head}{body * 17}  ]\n}}\nERROR after it\n")
    assert (found.results, [error.message for error in found.errors]) == ([], ["after it"])


def test_many_tests_of_a_document_are_counted_with_the_names_of_the_first() -> None:
    cases = "".join(f'<testcase name="t{n}"/>\n' for n in range(2500))
    found = find(f"<testsuite>\n{cases}</testsuite>\n")
    assert found.figures == (2500, 0)
    assert len(found.results) == 2001


@pytest.mark.parametrize(
    "text",
    [
        '{"level":"info","msg":"saved","file":"a.py","line":3,"hint":null}',
        '{\n  "stats": {\n    "hits": 3\n  }\n}',
        '{"version":"1.2","examples":["a","b"]}',
        'see {"numFailedTestSuites": n} in the manual',
        "the <testsuite> element has <testcase> elements",
        '[\n  {\n    "type": "error",\n    "text": "a message of ours"\n  }\n]',
    ],
)
def test_what_only_resembles_a_document_gives_nothing(text: str) -> None:
    assert find(text).all == []


def test_deep_nesting_is_no_trouble() -> None:
    inner = "[" * 5000 + "]" * 5000
    found = find(f'{{"numFailedTestSuites":0,"x":{inner}}}\nERROR after\n')
    assert [error.message for error in found.errors] == ["after"]


def test_a_tag_that_never_ends_hides_no_test_behind_it() -> None:
    text = '<testsuite>\n<testcase name="' + ("x" * 800 + "\n") * 25 + '<testcase name="good"/>\n'
    found = find(f"{text}</testsuite>\nERROR after\n")
    assert [result.name for result in found.results] == ["", "good"]
    assert [error.message for error in found.errors] == ["after"]


def test_the_events_of_pytest_s_log_name_tests_as_they_end() -> None:
    found = find(documents.REPORTLOG)
    assert [(item.name, item.passed, item.detail) for item in found.results] == [
        ("test_c.py", False, "test_c.py:1: in <module>"),
        ("test_a.py::test_ok", True, ""),
        ("test_a.py::test_bad", False, "assert 2 == 1"),
    ]
    assert found.errors == []
