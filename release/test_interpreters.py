"""`make test-all`: the tests pass on every interpreter that is found here.

Searched are the PATH, pyenv's versions, and the paths listed by `make test-all PYTHONS="..."`. The
wheel is built once and installed everywhere; a free-threaded Python, for which it is not, builds
the sdist. `TESTS="tests"` runs all tests instead of the subset.
"""

import os
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest
from artifacts import (
    FREE_THREADED,
    PYTHONS,
    ROOT,
    SUBSET,
    build,
    first_found,
    install,
    interpreter,
    run,
    run_tests,
    unpack,
)

ENVIRONMENTS = ROOT / "build" / "interpreters"
TESTS = os.environ.get("TESTS", "").split() or SUBSET


class Built(NamedTuple):
    """The artifacts, and the sdist's tests without the sources."""

    sdist: Path
    wheel: Path
    tests: Path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Build them once."""
    folder = tmp_path_factory.mktemp("build")
    sdist, wheel = build(folder)
    tests = unpack(sdist, folder)
    shutil.rmtree(tests / "src")
    return Built(sdist, wheel, tests)


@pytest.mark.parametrize("version", PYTHONS)
def test_the_wheel_passes_on(version: str, built: Built) -> None:
    """One wheel, built once."""
    python = interpreter(version, ENVIRONMENTS / version)
    if python is None:
        pytest.skip(f"Python {version} was not found")
    install(python, built.wheel)
    print(run(python, "-VV"), run_tests(python, built.tests, TESTS))


@pytest.mark.parametrize("version", FREE_THREADED)
def test_a_build_without_the_gil_passes_on(version: str, built: Built) -> None:
    """And the GIL stays off, which an extension could have enabled."""
    python = interpreter(version, ENVIRONMENTS / version)
    if python is None:
        pytest.skip(f"Python {version} was not found")
    install(python, built.sdist)
    run(python, "-W", "error", "-c", "import brummerbus, sys; assert not sys._is_gil_enabled()")
    print(run(python, "-VV"), run_tests(python, built.tests, TESTS))


def test_a_wheel_of_the_newest_python_imports_on_the_oldest(built: Built, tmp_path: Path) -> None:
    """Its extension must have the name and the symbols that the oldest Python knows."""
    newest = first_found(reversed(PYTHONS), tmp_path / "newest")
    oldest = first_found(PYTHONS, tmp_path / "oldest")
    run(newest, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", tmp_path, built.sdist)
    (wheel,) = tmp_path.glob("*.whl")
    run(oldest, "-m", "pip", "install", "--quiet", wheel)
    run(oldest, "-c", "import brummerbus", cwd=tmp_path)
