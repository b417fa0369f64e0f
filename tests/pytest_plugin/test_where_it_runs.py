"""The pytest plugin in other processes, switched off, and when it imports the package."""

import subprocess
import sys
from pathlib import Path

import pytest

from helpers.pytests import HEAD
from helpers.waiting import HANG

pytest_plugins = ["pytester"]


TWO = """
def test_good(bus, bus_spy):
    with bus_spy.expect("a"):
        bus.publish(Event("a"))

def test_bad(bus):
    bus.subscribe("a", boom)
    bus.publish(Event("a", 17))
"""


@pytest.mark.slow
def test_it_works_in_the_processes_of_xdist(pytester: pytest.Pytester) -> None:
    pytest.importorskip("xdist")
    pytester.makepyfile(HEAD + TWO)
    result = pytester.runpytest_subprocess("-n2", "-p", "no:cacheprovider")
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*ValueError: boom 17"])


def test_it_can_be_switched_off(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(HEAD + TWO)
    result = pytester.runpytest_inprocess("-p", "no:brummerbus", "-p", "no:cacheprovider")
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(["*fixture 'bus' not found"])


@pytest.mark.slow
def test_the_package_is_imported_by_the_first_test_that_uses_a_fixture(tmp_path: Path) -> None:
    """The plugin itself is imported at each start of pytest, in every project."""
    (tmp_path / "test_a.py").write_text(
        "import sys\n"
        "def test_before(): assert '_brummerbus_pytest' in sys.modules\n"
        "def test_still(): assert 'brummerbus' not in sys.modules\n"
        "def test_use(bus): assert 'brummerbus' in sys.modules\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly"]
    ended = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=HANG, check=False
    )
    assert ended.returncode == 0, ended.stdout
    assert "3 passed" in ended.stdout
