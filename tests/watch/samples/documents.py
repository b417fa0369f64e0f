# ruff: noqa: RUF001
"""Documents that test runners wrote to standard output, shortened."""

PYTEST_ROW = """\
..FE                                                                     [100%]\
"""

PYTEST_JUNIT = """\
<?xml version="1.0" encoding="utf-8"?><testsuites name="pytest tests"><testsuite name="pytest" \
errors="1" failures="1" skipped="0" tests="3" time="0.04"><testcase classname="test_a" \
name="test_ok" time="0.002" /><testcase classname="test_a" name="test_bad" time="0.001">\
<failure message="assert 2 == 1">\
&gt;   def test_bad(): assert 2 == 1
E   assert 2 == 1

test_a.py:4: AssertionError</failure></testcase><testcase classname="test_a" name="test_td" \
time="0.000"><error message="failed on teardown with &quot;RuntimeError: boom&quot;">td
E       RuntimeError: boom

test_a.py:16: RuntimeError</error></testcase></testsuite></testsuites>
"""

PYTEST_AFTER = """\
=================================== FAILURES ===================================
___________________________________ test_bad ___________________________________

>   def test_bad(): assert 2 == 1
E   assert 2 == 1

test_a.py:4: AssertionError
=========================== short test summary info ============================
FAILED test_a.py::test_bad - assert 2 == 1
ERROR test_a.py::test_td - RuntimeError: boom
1 failed, 2 passed, 1 error in 0.04s
"""

NODE_JUNIT = """\
<?xml version="1.0" encoding="utf-8"?>
<testsuites>
\t<testsuite name="sums" time="0.003605" disabled="0" errors="0" tests="3" failures="1" skipped="1">
\t\t<testcase name="adds" time="0.000877" classname="test"/>
\t\t<testcase name="fails" time="0.001334" classname="test" failure="3 !== 4">
\t\t\t<failure type="testCodeFailure" message="Expected values to be strictly equal:3 !== 4">
Error [ERR_TEST_FAILURE]: Expected values to be strictly equal:

    at async Promise.all (index 0) {
  cause: AssertionError [ERR_ASSERTION]: Expected values to be strictly equal:
      at TestContext.&lt;anonymous> (/app/a.test.js:4:30)
}
\t\t\t</failure>
\t\t</testcase>
\t\t<testcase name="later" time="0.000160" classname="test">
\t\t\t<skipped type="skipped" message="true"/>
\t\t</testcase>
\t</testsuite>
\t<testcase name="top" time="0.000174" classname="test" failure="boom">
\t\t<failure type="testCodeFailure" message="boom">
[Error [ERR_TEST_FAILURE]: boom] {
}
\t\t</failure>
\t</testcase>
\t<!-- tests 4 -->
</testsuites>
"""

NODE_FIGURES = """\
ℹ tests 4
ℹ suites 1
ℹ pass 1
ℹ fail 2
ℹ cancelled 0
ℹ skipped 1
ℹ todo 1
ℹ duration_ms 100.91072
"""

MOCHA_XUNIT = """\
<testsuite name="Mocha Tests" tests="3" failures="0" errors="1" skipped="1" time="0.002">
<testcase classname="sums" name="adds" file="/app/a.js" time="0"/>
<testcase classname="sums" name="throws" file="/app/a.js" time="0"><failure>boom &#x3C;&#x26;&#x3E;
TypeError: boom &#x3C;&#x26;&#x3E;
    at Context.&#x3C;anonymous&#x3E; (a.js:5:30)</failure></testcase>
<testcase classname="sums" name="later" file="/app/a.js" time="0"><skipped/></testcase>
</testsuite>
"""

PHPUNIT = """\
.F                                                                  2 / 2 (100%)\
<?xml version="1.0" encoding="UTF-8"?>
<testsuites>
  <testsuite name="ATest" tests="2" assertions="2" errors="0" failures="1" skipped="0">
    <testcase name="testOk" class="ATest" classname="ATest" line="4" assertions="1"/>
    <testcase name="testBad" class="ATest" classname="ATest" line="5" assertions="1">
      <failure type="PHPUnit\\Framework\\ExpectationFailedException">ATest::testBad
Failed asserting that 2 is identical to 1.

/app/ATest.php:5</failure>
    </testcase>
  </testsuite>
</testsuites>
"""

PHPUNIT_AFTER = """\


Time: 00:00.009, Memory: 6.00 MB

There was 1 failure:

1) ATest::testBad
Failed asserting that 2 is identical to 1.

/app/ATest.php:5

FAILURES!
Tests: 2, Assertions: 2, Failures: 1.
"""

CTEST_JUNIT = """\
<?xml version="1.0" encoding="UTF-8"?>
<testsuite name="(empty)"
\ttests="2"
\tfailures="1"
\tdisabled="0"
\t>
\t<testcase name="good" classname="good" time="0.00649261" status="run">
\t\t<system-out></system-out>
\t</testcase>
\t<testcase name="bad" classname="bad" time="0.0092425" status="fail">
\t\t<failure message=""/>
\t\t<system-out>wrong &lt;&amp;&gt;
</system-out>
\t</testcase>
</testsuite>
"""

GTEST_XML = """\
<?xml version="1.0" encoding="UTF-8"?>
<testsuites tests="4" failures="1" disabled="1" errors="0" time="0" name="AllTests">
  <testsuite name="Sum" tests="4" failures="1" disabled="1" skipped="1" errors="0" time="0">
    <testcase name="Adds" line="2" status="run" result="completed" time="0" classname="Sum" />
    <testcase name="Fails" line="3" status="run" result="completed" time="0" classname="Sum">
      <failure message="a.cc:3&#x0A;Expected equality of these values:&#x0A;  1" type="">\
<![CDATA[a.cc:3
Expected equality of these values:
  </testcase></testsuite></testsuites>]]></failure>
    </testcase>
    <testcase name="Skips" line="4" status="run" result="skipped" time="0" classname="Sum">
      <skipped message="a.cc:4&#x0A;"><![CDATA[a.cc:4
]]></skipped>
    </testcase>
    <testcase name="DISABLED_x" line="5" status="notrun" result="suppressed" classname="Sum" />
  </testsuite>
</testsuites>
"""

GTEST_BRIEF = """\
a.cc:3: Failure
Expected equality of these values:
  1
[  FAILED  ] Sum.Fails (0 ms)
a.cc:4: Skipped

[==========] 3 tests from 1 test suite ran. (0 ms total)
[  PASSED  ] 1 test.
[  SKIPPED ] 1 test.
"""

CARGO_JUNIT = """\
<?xml version="1.0" encoding="UTF-8"?><testsuites><testsuite name="test" package="test" id="0" \
errors="0" failures="1" tests="2" skipped="0" ><testcase classname="tests" name="ok" time="0"/>\
<testcase classname="tests" name="bad" time="0"><failure type="assert"/><system-out>\
<![CDATA[]]>&#xA;<![CDATA[thread 'tests::bad' (399) panicked at src/lib.rs:4:24:]]>&#xA;\
<![CDATA[assertion failed: one]]>&#xA;</system-out></testcase></testsuite></testsuites>
"""

JEST_JSON = (
    '{"numFailedTestSuites":1,"numFailedTests":1,"numPassedTests":1,"testResults":['
    '{"assertionResults":['
    '{"failureMessages":[],"fullName":"sums adds","status":"passed"},'
    '{"failureMessages":["Error: expect(received).toBe(expected)\\n    at a.test.js:3:37"],'
    '"fullName":"sums fails","status":"failed"}],'
    '"message":"\\n","name":"/app/a.test.js","status":"failed"}]}\n'
)

JEST_ERR = """\
FAIL ./a.test.js
  ● sums › fails

    expect(received).toBe(expected) // Object.is equality

      at Object.toBe (a.test.js:3:37)

Test Suites: 1 failed, 1 total
Tests:       1 failed, 1 passed, 2 total
"""

REPORTLOG = """\
{"pytest_version": "9.2.0", "$report_type": "SessionStart"}
{"nodeid": "test_c.py", "outcome": "failed", "longrepr": "test_c.py:1: in <module>\\nE   x", \
"result": null, "sections": [], "$report_type": "CollectReport"}
.{"nodeid": "test_a.py::test_ok", "outcome": "passed", "longrepr": null, "when": "call", \
"$report_type": "TestReport"}
{"nodeid": "test_a.py::test_ok", "outcome": "passed", "longrepr": null, "when": "teardown", \
"$report_type": "TestReport"}
F{"nodeid": "test_a.py::test_bad", "outcome": "failed", "longrepr": {"reprcrash": {"path": \
"/app/test_a.py", "lineno": 4, "message": "assert 2 == 1"}}, "when": "call", "sections": \
[["Captured stderr", "ERROR printed"]], "$report_type": "TestReport"}
"""

REPORTLOG_AFTER = """\
FAILED test_a.py::test_bad - assert 2 == 1
ERROR test_c.py
1 failed, 1 passed, 1 error in 0.04s
"""
