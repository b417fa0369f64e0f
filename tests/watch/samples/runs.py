# ruff: noqa: RUF001
"""Test runs to their closing lines, as runners print them, shortened."""

PYTEST_DOTS = """\
============================= test session starts ==============================
collected 6 items

test_a.py .F.s.E                                                         [100%]

==================================== ERRORS ====================================
__________________________ ERROR at setup of test_e ____________________________
E   RuntimeError: no fixture
=================================== FAILURES ===================================
____________________________________ test_b ____________________________________
E   AssertionError: assert 1 == 2
------------------------------ Captured log call -------------------------------
ERROR    app:a.py:4 something wrong
=========================== short test summary info ============================
FAILED test_a.py::test_b - AssertionError: assert 1 == 2
ERROR test_a.py::test_e - RuntimeError: no fixture
============= 1 failed, 3 passed, 1 skipped, 1 error in 0.04s ==================
"""

PYTEST_TEARDOWN = """\
..E                                                                      [100%]
=========================== short test summary info ============================
PASSED test_a.py::test_a
PASSED test_a.py::test_b
ERROR test_a.py::test_b - ValueError: at teardown
2 passed, 1 error in 0.02s
"""

PYTEST_COLLECTION = """\
============================= test session starts ==============================
collected 0 items / 1 error

==================================== ERRORS ====================================
__________________________ ERROR collecting test_c.py __________________________
ImportError while importing test module '/app/test_c.py'.
Traceback:
test_c.py:1: in <module>
    import nope
E   ModuleNotFoundError: No module named 'nope'
=========================== short test summary info ============================
ERROR test_c.py
!!!!!!!!!!!!!!!!!!!! Interrupted: 1 error during collection !!!!!!!!!!!!!!!!!!!!
=============================== 1 error in 0.08s ===============================
"""

UNITTEST_DOTS = """\
.EsFxF.
======================================================================
ERROR: setUpClass (test_u.Late)
----------------------------------------------------------------------
OSError: class

======================================================================
ERROR: test_err (test_u.T.test_err)
----------------------------------------------------------------------
KeyError: 1

======================================================================
FAIL: test_sub (test_u.T.test_sub) (i=1)
----------------------------------------------------------------------
AssertionError: 1

======================================================================
FAIL: test_sub (test_u.T.test_sub) (i=3)
----------------------------------------------------------------------
AssertionError: 3

----------------------------------------------------------------------
Ran 6 tests in 0.002s

FAILED (failures=2, errors=2, skipped=1, expected failures=1)
"""

VITEST = """\

 RUN  v3.0.0 /app

 ❯ a.test.js (3 tests | 1 failed) 8ms
     ✓ adds 1ms
     × fails 4ms
stderr | a.test.js > sums > logs
ERROR: printed by a test

⎯⎯⎯⎯⎯⎯⎯ Failed Tests 1 ⎯⎯⎯⎯⎯⎯⎯

 FAIL  a.test.js > sums > fails
AssertionError: expected 3 to be 4
 ❯ a.test.js:4:44

⎯⎯⎯⎯⎯⎯⎯⎯⎯⎯⎯⎯⎯⎯⎯⎯⎯⎯⎯⎯⎯⎯⎯⎯[1/1]⎯

 Test Files  1 failed (1)
      Tests  1 failed | 2 passed (3)
   Duration  468ms
"""

PYTEST_SUGAR = """\
 test_a.py ✓                                                      50% █████

――――――――――――――――――――――――――――――――― test_b ―――――――――――――――――――――――――――――――――
E   AssertionError: assert 1 == 2
------------------------------ Captured log call -------------------------------
ERROR    app:a.py:4 something wrong
 test_a.py ⨯✓s                                                   100% ██████████
=========================== short test summary info ============================
FAILED test_a.py::test_b - AssertionError: assert 1 == 2

Results (0.45s):
       2 passed
       1 xpassed
       1 failed
         - test_a.py:4 test_b
       1 skipped
"""

JEST_CONSOLE = """\
  console.error
    ERROR printed by a test

      at Object.<anonymous> (a.test.js:1:54)

FAIL ./a.test.js
  ● Console

    console.error
      ERROR printed by another

  ● sums › fails

    expect(received).toBe(expected) // Object.is equality

Test Suites: 1 failed, 1 total
Tests:       1 failed, 2 passed, 3 total
"""

MOCHA = """\

  Sums
    ✔ adds
    1) fails
    2) throws

  4 passing (6ms)
  1 pending
  2 failing

  1) Sums
       fails:

      AssertionError [ERR_ASSERTION]: 1 == 2
      at Context.<anonymous> (m.js:2:66)

  2) Sums
       throws:
     TypeError: no
      at Context.<anonymous> (m.js:2:118)



done
"""

NODE_SPEC = """\
✔ adds (0.5ms)
✖ fails (1.2ms)
ℹ tests 2
ℹ suites 0
ℹ pass 1
ℹ fail 1
ℹ cancelled 0
ℹ skipped 0
ℹ todo 0
ℹ duration_ms 69.3

✖ failing tests:

test at a.test.js:3:1
✖ fails (1.2ms)
  AssertionError [ERR_ASSERTION]: 1 == 2
      at TestContext.<anonymous> (/app/a.test.js:3:22) {
    code: 'ERR_ASSERTION'
  }
done
"""

CARGO_QUIET = """\
running 2 tests
tests::bad --- FAILED
.
failures:

failures:
    tests::bad

test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.06s
"""

MINITEST = """\
Run options: --seed 1

# Running:

.FE.

Finished in 0.001205s, 3320.2819 runs/s, 1660.1409 assertions/s.

  1) Failure:
SumTest#test_fail [sum_test.rb:4]:
Expected: 1
  Actual: 2

  2) Error:
SumTest#test_err:
ArgumentError: boom
    sum_test.rb:5:in `test_err'

4 runs, 3 assertions, 1 failures, 1 errors, 0 skips
"""

RSPEC = """\
.F

Failures:

  1) sum fails
     Failure/Error: expect(1).to eq 2

     RuntimeError:
       boom

Finished in 0.01811 seconds (files took 0.13098 seconds to load)
2 examples, 1 failure

Failed examples:

rspec ./sum_spec.rb:3 # sum fails
"""

PHPUNIT = """\
PHPUnit 11.0.0 by Sebastian Bergmann and contributors.

.F                                                                  2 / 2 (100%)

There was 1 failure:

1) SumTest::testFail
Failed asserting that 1 is 2.

/app/SumTest.php:7

FAILURES!
Tests: 2, Assertions: 2, Failures: 1.
"""

ROBOT = """\
==============================================================================
Suites
==============================================================================
Suites.Sums
==============================================================================
Adds                                                                  | PASS |
------------------------------------------------------------------------------
Adds Wrongly                                                          | FAIL |
1 != 2
------------------------------------------------------------------------------
Suites.Sums                                                           | FAIL |
2 tests, 1 passed, 1 failed
==============================================================================
Suites.More
==============================================================================
Again                                                                 | PASS |
------------------------------------------------------------------------------
Suites.More                                                           | PASS |
1 test, 1 passed, 0 failed
==============================================================================
Suites                                                                | FAIL |
3 tests, 2 passed, 1 failed
==============================================================================
Output:  /app/output.xml
"""

PROVE = """\
t/bad.t .. 1/4
#   Failed test 'sums'
#   at t/bad.t line 4.
# Looks like you failed 1 test of 4.
t/bad.t .. Dubious, test returned 1 (wstat 256, 0x100)
Failed 1/4 subtests
t/good.t . ok

Test Summary Report
-------------------
t/bad.t (Wstat: 256 (exited 1) Tests: 4 Failed: 1)
  Failed test:  2
Files=2, Tests=7,  0 wallclock secs
Result: FAIL
"""

GO_JSON = """\
{"Time":"2024-05-17T09:30:00Z","Action":"run","Package":"x","Test":"TestA"}
{"Time":"2024-05-17T09:30:00Z","Action":"output","Package":"x","Test":"TestA","Output":"ERROR"}
{"Time":"2024-05-17T09:30:00Z","Action":"pass","Package":"x","Test":"TestA","Elapsed":0}
{"Time":"2024-05-17T09:30:00Z","Action":"fail","Package":"x","Test":"TestB","Elapsed":0}
{"Time":"2024-05-17T09:30:00Z","Action":"fail","Package":"x","Elapsed":0.01}
"""

TAP_PLAN_LAST = """\
ok 1 Array adds
not ok 2 Array fails
  1 == 2
  AssertionError [ERR_ASSERTION]: 1 == 2
      at Context.<anonymous> (m.js:2:66)
ok 3 Array later # SKIP -
# tests 3
# pass 1
# fail 1
1..3
"""
