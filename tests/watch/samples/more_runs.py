"""Further test runs to their closing lines, shortened; and what only looks like one."""

JASMINE = """\
Started
.FF*

Failures:
1) sum breaks
  Message:
    Expected 1 to be 2.
  Stack:
        at UserContext.<anonymous> (/app/spec/a_spec.js:1:85)

2) sum throws
  Message:
    Error: boom
  Stack:
        at UserContext.<anonymous> (/app/spec/a_spec.js:1:119)
Pending:

1) sum later
  Temporarily disabled with xit

4 specs, 2 failures, 1 pending spec
Finished in 0.023 seconds
"""

TEST_UNIT = """\
Started
F
===============================================================================
Failure: test_bad(TestA)
t.rb:4:in `test_bad'
     3:   def test_ok; assert true; end
  => 4:   def test_bad; assert_equal 1, 2; end
<1> expected but was
<2>
===============================================================================
E
===============================================================================
Error: test_err(TestA): RuntimeError: boom
t.rb:5:in `test_err'
===============================================================================
.
3 tests, 2 assertions, 1 failures, 1 errors, 0 pendings, 0 omissions, 0 notifications
"""

PROVE_VERBOSE = """\
t/a.t ..
1..3
ok 1 - fine
not ok 2 - one is two

#   Failed test 'one is two'
#   at t/a.t line 2.
not ok 3 - nope
#   Failed test 'nope'
Dubious, test returned 2 (wstat 512, 0x200)
Failed 2/3 subtests
t/b.t ..
ok 1 - a
ok 2 - b
1..2
ok
t/a.t (Wstat: 512 (exited 2) Tests: 3 Failed: 2)
  Failed tests:  2-3
Files=2, Tests=5,  0 wallclock secs ( 0.02 usr +  0.00 sys =  0.02 CPU)
Result: FAIL
"""

PROVE_ERR = """\

#   Failed test 'one is two'
#   at t/a.t line 2.
#          got: '1'
#     expected: '2'
# Looks like you failed 1 test of 3.
"""
"""Standard error of a run whose standard output follows."""

PROVE_OUT = """\
t/a.t .. Dubious, test returned 1 (wstat 256, 0x100)
Failed 1/3 subtests
t/a.t (Wstat: 256 (exited 1) Tests: 3 Failed: 1)
  Failed test:  2
Files=1, Tests=3,  0 wallclock secs ( 0.02 usr +  0.00 sys =  0.02 CPU)
Result: FAIL
"""

VITEST_TAP = """\
TAP version 13
1..1
not ok 1 - a.test.mjs # time=18.59ms {
    1..1
    not ok 1 - sum # time=16.19ms {
        1..3
        ok 1 - adds # time=1.99ms
        not ok 2 - breaks # time=7.89ms
            ---
            error:
                name: "AssertionError"
            ...
        ok 3 - later # SKIP
    }
}
"""

BEHAVE = """\
Feature: sums # a.feature:1
  Scenario: bad          # a.feature:4
    Given a broken thing # steps/s.py:4
      ASSERT FAILED: one is not two

Failing scenarios:
  a.feature:4  bad

0 features passed, 1 failed, 0 skipped
1 scenario passed, 1 failed, 0 skipped
1 step passed, 1 failed, 0 skipped
"""

DOCTEST = """\
**********************************************************************
File "m.py", line 5, in m.f
Failed example:
    1+1
Expected:
    3
Got:
    2
**********************************************************************
1 items had failures:
   1 of   2 in m.f
***Test Failed*** 1 failures.
"""

GO = """\
--- FAIL: TestBad (0.00s)
    a_test.go:4: one is 2
--- FAIL: TestMap (0.00s)
panic: assignment to entry in nil map [recovered]
	panic: assignment to entry in nil map

goroutine 6 [running]:
testing.tRunner.func1.2({0x508ec0, 0x551c80})
	/usr/lib/go-1.19/src/testing/testing.go:1396 +0x24e
panic({0x508ec0, 0x551c80})
	/usr/lib/go-1.19/src/runtime/panic.go:884 +0x212
x/p.TestMap(0x0?)
	/app/p/p_test.go:3 +0x2e
FAIL	x/p	0.005s
FAIL
"""

FAILURES_OF_NO_RUNNER = """\
Failures:
  the disk, twice
retrying
ERROR no space left
"""
"""rspec and jasmine have the same heading."""

PABOT = """\
Storing .pabotsuitenames file
2024-05-17 09:30:04.766898 [PID:16388] [1] [ID:1] EXECUTING Suites.C
2024-05-17 09:30:04.777655 [PID:16389] [0] [ID:0] EXECUTING Suites.A
2024-05-17 09:30:05.582597 [PID:16388] [1] [ID:1] PASSED Suites.C in 0.8 seconds
2024-05-17 09:30:05.583421 [PID:16389] [0] [ID:0] \
Execution failed in Suites.A with 1 failing test(s)
==============================================================================
Suites
==============================================================================
Suites.A
==============================================================================
Adds                                                                  | PASS |
------------------------------------------------------------------------------
Adds Wrongly                                                          | FAIL |
1 != 2
------------------------------------------------------------------------------
Suites.A                                                              | FAIL |
2 tests, 1 passed, 1 failed
==============================================================================
Suites                                                                | FAIL |
2 tests, 1 passed, 1 failed
==============================================================================
Output:  /app/out/pabot_results/0/output.xml
5 tests, 3 passed, 1 failed, 1 skipped.
===================================================
Output:  /app/out/output.xml
Log:     /app/out/log.html
"""

PABOT_TESTS = """\
2024-05-17 09:30:06.352132 [PID:953] [1] [ID:1] EXECUTING Rf.A.Adds Wrongly
2024-05-17 09:30:06.859439 [PID:953] [1] [ID:1] FAILED Rf.A.Adds Wrongly
2024-05-17 09:30:06.870739 [PID:954] [0] [ID:0] PASSED Rf.A.Adds in 0.5 seconds
2 tests, 1 passed, 1 failed, 0 skipped.
===================================================
Output:  /app/out/output.xml
"""
