"""The runners that name failed tests in a report.

What such a report prints, exceptions and captured output, is the detail of a failed test, and no
error beside it.
"""

from brummerbus.watch.detect.cargo import Cargo
from brummerbus.watch.detect.go import GoTest
from brummerbus.watch.detect.harness import Catch2, Phpunit, Prove, Robot
from brummerbus.watch.detect.javascript import Jasmine, Mocha, NodeTest, Vitest
from brummerbus.watch.detect.report import Report
from brummerbus.watch.detect.ruby import Minitest, Rspec, TestUnit

REPORTS: tuple[type[Report], ...] = (
    *(Vitest, Mocha, NodeTest, Jasmine, Minitest, TestUnit, Rspec),
    *(Phpunit, Robot, Prove, Catch2, GoTest, Cargo),
)
HINTS = frozenset(
    ("⎯ failed", "⎯ un", "run  v", "dev  v", "failing", "failure", "error:", "rspec ", "pending:",
     "failures:", "successes:", "there was", "there were", "| pass |", "| fail |", "tests,",
     "failed", "files=", "stderr |", "stdout |", "--- ", '"action":', "=== run", "=== cont",
     "=== name", "_test.go:", "output:  ", "[pid:")
)  # fmt: skip
