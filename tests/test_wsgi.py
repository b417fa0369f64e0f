"""`brummerbus.wsgi` without waitress; with it, see `tests/proofs/test_waitress.py`."""

import subprocess
import sys

from helpers.processes import modules_after
from helpers.waiting import HANG


def test_without_waitress_the_import_says_how_to_install_it() -> None:
    code = "import sys; sys.modules['waitress'] = None; import brummerbus.wsgi"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=HANG
    )
    last = done.stderr.splitlines()[-1]
    assert last == "ImportError: brummerbus.wsgi needs waitress: pip install 'brummerbus[waitress]'"


def test_the_package_is_imported_without_it() -> None:
    assert modules_after("import brummerbus").isdisjoint({"brummerbus.wsgi", "waitress"})
