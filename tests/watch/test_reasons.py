# ruff: noqa: RUF001
"""Why a test failed stands elsewhere in the output of each runner; it is no error beside it."""

import pytest

from .helpers import find

GO_VERBOSE = """\
=== RUN   TestAdds
    sum_test.go:4: got 1, want 2
    sum_test.go:5: more
--- FAIL: TestAdds (0.00s)
=== RUN   TestSkips
    sum_test.go:9: not here
--- SKIP: TestSkips (0.00s)
FAIL
"""
GO_JSON = """\
{"Time":"2026-11-27T03:16:42Z","Action":"run","Package":"a","Test":"TestAdds"}
{"Time":"2026-11-27T03:16:42Z","Action":"output","Package":"a","Test":"TestAdds","Output":"    \
sum_test.go:4: got 1, want 2\\n"}
{"Time":"2026-11-27T03:16:42Z","Action":"fail","Package":"a","Test":"TestAdds","Elapsed":0}
"""
CARGO = """\
test tests::adds ... FAILED
test tests::reads ... FAILED
test tests::passes ... ok

failures:

---- tests::adds stdout ----
error: printed by the test

thread 'tests::adds' (17) panicked at src/lib.rs:7:21:
assertion `left == right` failed
  left: 1
note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace

---- tests::reads stdout ----
Error: "no file"

failures:
    tests::adds

test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out
"""
UNITTEST = """\
F.
======================================================================
FAIL: test_adds (sums.Sums.test_adds)
----------------------------------------------------------------------
Traceback (most recent call last):
  File "/app/sums.py", line 3, in test_adds
    self.assertEqual(1, 2)
AssertionError: 1 != 2

----------------------------------------------------------------------
Ran 2 tests in 0.001s

FAILED (failures=1)
"""
JEST_VERBOSE = """\
FAIL ./a.test.js
  sums
    ✓ passes (1 ms)
    ✕ fails (2 ms)

  ● sums › fails

    expected 3 to be 4

Tests:       1 failed, 1 passed, 2 total
"""
JEST_COLOURED = """\
\x1b[7m\x1b[31m FAIL \x1b[0m \x1b[2m./\x1b[1ma.test.js\x1b[22m
\x1b[1m  ● \x1b[22msums › fails

    expected 3 to be 4

Tests:       1 failed, 1 total
"""
TAP_YAML = """\
TAP version 13
not ok 1 - adds
  ---
  duration_ms: 0.8
  error: |-
    1 is not 2
  code: 'ERR_ASSERTION'
  ...
1..1
"""
TAP_SUITE = """\
TAP version 13
# Subtest: sums
    # Subtest: adds
    not ok 1 - adds
      ---
      error: '1 is not 2'
      type: 'test'
      ...
    1..1
not ok 1 - sums
  ---
  type: 'suite'
  error: '1 subtest failed'
  ...
1..1
# tests 1
# pass 0
# fail 1
"""
PERL = """\
1..2
ok 1 - fine
# Subtest: inner
    not ok 1 - nested
    #   Failed test 'nested'
    1..1
not ok 2 - adds
#   Failed test 'adds'
#   at sum.t line 3.
#          got: '1'
#     expected: '2'
"""
MOCHA = """\
  0 passing (5ms)
  2 failing

  1) sums
       adds:

      AssertionError: not equal:

1 !== 2

      at Context.<anonymous> (sum.js:2:83)

  2) sums
       divides:
     Error: by zero
"""
VITEST_RETRIED = """\
 RUN  v4.0.0 /app

⎯⎯⎯⎯⎯⎯⎯ Failed Tests 1 ⎯⎯⎯⎯⎯⎯⎯

 FAIL  a.test.js > adds
 FAIL  a.test.js > adds
AssertionError: expected 1 to be 2

 Test Files  1 failed (1)
      Tests  1 failed | 2 passed | 1 expected fail | 1 skipped (5)
"""
ROBOT = """\
==============================================================================
Adds                                                                  | PASS |
------------------------------------------------------------------------------
Divides                                                               | FAIL |
by zero
------------------------------------------------------------------------------
Sums                                                                  | FAIL |
2 tests, 1 passed, 1 failed
==============================================================================
Output:  /app/output.xml
"""
ROBOT_DOTTED = """\
Running suite 'Sums' with 2 tests.
==============================================================================
.F
------------------------------------------------------------------------------
FAIL: Sums.Divides
by zero
==============================================================================
2 tests, 1 passed, 1 failed

Output:  /app/output.xml
"""
SUBTESTS = """\
============================= test session starts ==============================
sum_test.py::test_adds SUBFAILED[small] (i=1)                            [ 50%]
sum_test.py::test_adds FAILED                                            [100%]
=========================== short test summary info ============================
SUBFAILED[small] (i=1) sum_test.py::test_adds - assert 1 == 2
FAILED sum_test.py::test_adds - contains 1 failed subtest
========================= 2 failed, 1 passed in 0.25s ==========================
"""
VERY_QUIET = """\
..F.
=================================== FAILURES ===================================
__________________________________ test_adds ___________________________________

    def test_adds():
>       assert 1 == 2
E       assert 1 == 2

sum_test.py:2: AssertionError
"""
INSTAFAIL = """\
============================= test session starts ==============================
collected 2 items

sum_test.py F

__________________________________ test_adds ___________________________________

E       assert 1 == 2
----------------------------- Captured stdout call -----------------------------
ERROR: printed by the test

sum_test.py .                                                            [100%]

=========================== short test summary info ============================
FAILED sum_test.py::test_adds - assert 1 == 2
========================= 1 failed, 1 passed in 0.25s ==========================
"""
RUNS = [
    (GO_VERBOSE, (0, 1), {"TestAdds": "sum_test.go:4: got 1, want 2"}),
    (GO_JSON, (0, 1), {"TestAdds": "sum_test.go:4: got 1, want 2"}),
    (
        CARGO,
        (1, 2),
        {
            "tests::adds": "src/lib.rs:7:21: assertion `left == right` failed",
            "tests::reads": 'Error: "no file"',
        },
    ),
    (JEST_VERBOSE, (1, 1), {"./a.test.js › sums › fails": "expected 3 to be 4"}),
    (JEST_COLOURED, (0, 1), {"./a.test.js › sums › fails": "expected 3 to be 4"}),
    (TAP_YAML, (0, 1), {"adds": "1 is not 2"}),
    (TAP_SUITE, (0, 1), {"adds": "1 is not 2"}),
    (PERL, (1, 1), {"adds": "got: '1'"}),
    (
        MOCHA,
        (0, 2),
        {"sums › adds": "AssertionError: not equal:", "sums › divides": "Error: by zero"},
    ),
    (VITEST_RETRIED, (2, 1), {"a.test.js > adds": "AssertionError: expected 1 to be 2"}),
    (ROBOT, (1, 1), {"Divides": "by zero"}),
    (ROBOT_DOTTED, (1, 1), {"Sums.Divides": "by zero"}),
    (
        SUBTESTS,
        (1, 2),
        {
            "sum_test.py::test_adds [small] (i=1)": "assert 1 == 2",
            "sum_test.py::test_adds": "contains 1 failed subtest",
        },
    ),
    (VERY_QUIET, (3, 1), {"test_adds": "assert 1 == 2"}),
    (INSTAFAIL, (1, 1), {"sum_test.py::test_adds": "assert 1 == 2"}),
]


@pytest.mark.parametrize(("text", "figures", "reasons"), RUNS)
def test_each_failed_test_has_its_reason_and_is_no_error(
    text: str, figures: tuple[int, int], reasons: dict[str, str]
) -> None:
    found = find(text)
    failed = [result for result in found.results if not result.passed]
    # A reason may come behind the name, in a second result that counts nothing.
    assert {result.name: result.detail for result in failed} == reasons
    assert found.figures == figures
    assert found.errors == []


def test_unittest_s_report_has_the_reason_and_its_traceback_is_an_error() -> None:
    found = find(UNITTEST)
    failed = [result for result in found.results if not result.passed]
    assert [result.detail for result in failed] == ["", "AssertionError: 1 != 2"]
    assert [error.location for error in found.errors] == ["/app/sums.py:3"]


def test_an_error_outside_of_vitest_s_tests_is_an_error() -> None:
    text = (
        " RUN  v4.0.0 /app\n\n⎯⎯⎯⎯⎯⎯ Unhandled Errors ⎯⎯⎯⎯⎯⎯\n\n"
        "Vitest caught 1 unhandled error during the test run.\n\n"
        "⎯⎯⎯⎯⎯ Unhandled Rejection ⎯⎯⎯⎯⎯\nError: nobody caught it\n ❯ a.test.js:2:42\n"
        "      1| throw\n\n      Tests  1 passed (1)\n"
    )
    [error] = find(text).errors
    assert (error.message, error.location) == ("Error: nobody caught it", "a.test.js:2:42")


def test_trial_counts_what_passed_itself() -> None:
    text = "Ran 5 tests in 0.1s\n\nFAILED (skips=1, expectedFailures=1, failures=2, successes=1)\n"
    assert find(text).figures == (1, 2)


def test_a_test_that_nose2_names_and_its_first_subtest_are_one() -> None:
    text = (
        "test_adds (sums.Sums.test_adds) ... FAIL\n\n" + "=" * 70 + "\n"
        "FAIL: test_adds (sums.Sums.test_adds) (i=2)\n" + "-" * 70 + "\n"
        "Traceback (most recent call last):\nAssertionError: 2\n\n" + "-" * 70 + "\n"
        "Ran 1 test in 0.001s\n\nFAILED (failures=1)\n"
    )
    assert find(text).figures == (0, 1)


def test_prove_s_names_are_those_of_the_tests_that_it_counts() -> None:
    text = (
        "sum.t .. 1/3     #   Failed test 'nested'\n"
        "    #   Failed test 'nested'\n#   Failed (TODO) test 'later'\n#   Failed test 'adds'\n"
        "sum.t (Wstat: 256 (exited 1) Tests: 3 Failed: 1)\nFiles=1, Tests=3,  0 wallclock secs\n"
    )
    failed = [result.name for result in find(text).results if not result.passed]
    assert failed == ["adds"]


def test_what_only_resembles_a_heading_of_a_runner_is_no_failed_test() -> None:
    text = "TEST CASE: login\nuser logs in\n  3 failing\nERROR: no route\n"
    found = find(text)
    assert [result.framework for result in found.results if not result.passed] == ["mocha"]
    assert [error.message for error in found.errors] == ["no route"]
