# ruff: noqa: RUF001
"""Test runs as pytest, unittest, go, cargo, TAP producers and jest print them."""

PYTEST = """\
============================= test session starts ==============================
platform linux -- Python 3.11.7, pytest-9.0.0, pluggy-1.7.0 -- /app/bin/python
collecting ... collected 8 items

test_p.py::test_ok PASSED                                                [ 11%]
test_p.py::test_fail FAILED                                              [ 22%]
test_p.py::test_skip SKIPPED (no)                                        [ 33%]
test_p.py::test_xf XFAIL                                                 [ 44%]
test_p.py::test_par[a b] FAILED                                          [ 66%]
test_p.py::test_err ERROR                                                [ 88%]
test_p.py::TestX::test_m PASSED                                          [100%]

==================================== ERRORS ====================================
__________________________ ERROR at setup of test_err __________________________

    @pytest.fixture
>   def broken(): raise RuntimeError("no fixture")
E   RuntimeError: no fixture

test_p.py:13: RuntimeError
=================================== FAILURES ===================================
__________________________________ test_fail ___________________________________

>   def test_fail(): assert 1 == 2, "one is not two"
E   AssertionError: one is not two

test_p.py:3: AssertionError
=========================== short test summary info ============================
FAILED test_p.py::test_fail - AssertionError: one is not two
FAILED test_p.py::test_par[a b] - AssertionError: assert 'a b' == 'c'
ERROR test_p.py::test_err - RuntimeError: no fixture
============== 2 failed, 2 passed, 1 skipped, 1 xfailed, 1 error in 0.04s ======
"""

PYTEST_QUIET = """\
.F                                                                       [100%]
=================================== FAILURES ===================================
=========================== short test summary info ============================
FAILED test_p.py::test_fail - AssertionError: one is not two
1 failed, 1 passed in 0.02s
"""

PYTEST_WORKERS = """\
[gw0] [ 50%] PASSED test_p.py::test_ok
[gw1] [100%] FAILED test_p.py::test_fail
FAILED test_p.py::test_fail - assert 0
"""

UNITTEST = """\
test_doc (test_u.T.test_doc)
What it does. ... ok
test_err (test_u.T.test_err) ... ERROR
test_exp (test_u.T.test_exp) ... expected failure
test_ok (test_u.T.test_ok) ... ok
test_print (test_u.T.test_print) ... printed by the test
ok
test_skip (test_u.T.test_skip) ... skipped 'no'
test_sub (test_u.T.test_sub) ...
  test_sub (test_u.T.test_sub) (i=1) ... FAIL

======================================================================
ERROR: test_err (test_u.T.test_err)
----------------------------------------------------------------------
Traceback (most recent call last):
  File "/app/test_u.py", line 5, in test_err
    def test_err(self): raise KeyError("x")
KeyError: 'x'

======================================================================
FAIL: test_sub (test_u.T.test_sub) (i=1)
----------------------------------------------------------------------
Traceback (most recent call last):
  File "/app/test_u.py", line 15, in test_sub
    self.assertEqual(i, 0)
AssertionError: 1 != 0

----------------------------------------------------------------------
Ran 7 tests in 0.001s

FAILED (failures=1, errors=1, skipped=1, expected failures=1)
"""

UNITTEST_QUIET = """\
.F
======================================================================
FAIL: test_fail (test_u.T)
----------------------------------------------------------------------
Traceback (most recent call last):
  File "/app/test_u.py", line 4, in test_fail
    self.assertEqual(1, 2)
AssertionError: 1 != 2

----------------------------------------------------------------------
Ran 2 tests in 0.001s

FAILED (failures=1)
"""

GO = """\
=== RUN   TestAdd
--- PASS: TestAdd (0.00s)
=== RUN   TestSplit
=== RUN   TestSplit/empty
    split_test.go:12: got 1, want 0
--- FAIL: TestSplit (0.01s)
    --- FAIL: TestSplit/empty (0.00s)
--- SKIP: TestLater (0.00s)
FAIL
exit status 1
FAIL\texample.com/app\t0.012s
ok  \texample.com/other\t0.3s
"""

CARGO = """\
running 3 tests
test good ... ok
test later ... ignored
test tests::bad ... FAILED

failures:
test result: FAILED. 1 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out
"""

TAP = """\
TAP version 13
# Subtest: sums
    # Subtest: adds
    ok 1 - adds
      ---
      duration_ms: 0.8
      ...
    not ok 2 - fails
    ok 3 - later # SKIP
    1..3
not ok 1 - sums
ok 2 top without a dash
not ok 3 - known # TODO later
ok 4
1..4
"""

JEST = """\
FAIL src/a.test.js
  ● sums › fails

    expect(received).toBe(expected) // Object.is equality

    Expected: 2
    Received: 1

      at Object.toBe (src/a.test.js:1:104)

PASS src/b.test.js (5.1 s)
  ● Console

    console.log
      hello

FAIL src/c.test.js
  ● Test suite failed to run

    Jest encountered an unexpected token

Test Suites: 2 failed, 1 passed, 3 total
Tests:       1 failed, 1 skipped, 3 passed, 5 total
"""

JEST_VERBOSE = """\
FAIL src/a.test.js
  ✓ top (1 ms)
  sums
    ✓ adds (2 ms)
    ✕ fails (1 ms)
    ○ skipped later
    deeper
      ✓ still adds

  ● sums › fails

    expect(received).toBe(expected) // Object.is equality

PASS src/b.test.js
  ✓ ok (1 ms)

Test Suites: 1 failed, 1 passed, 2 total
"""
