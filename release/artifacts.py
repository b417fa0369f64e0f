"""Helpers of the release checks: the files of the tree, environments, test runs."""

import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

SUBSET = ("@release/subset.txt",)
"""The tests to run on each artifact and interpreter; their paths are relative to the root."""

PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14", "3.15")
"""The versions that the wheel is for, oldest first."""

FREE_THREADED = ("3.14t", "3.15t")
"""The versions that need their own build, which they can only get from the sdist."""

# the environment of the checks must not affect the environments under test
_CLEAN = {key: value for key, value in os.environ.items() if not key.startswith("PYTHONPATH")}


def run(*command: object, cwd: Path = ROOT) -> str:
    """Run a command and return its standard output; fail with all its output if it fails."""
    words = [str(word) for word in command]
    done = subprocess.run(
        words,
        cwd=cwd,
        env=_CLEAN,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"exit code {done.returncode} of {words}:\n{done.stdout}"
    return done.stdout


def files_of_the_tree() -> list[str]:
    """Return the paths of the files in git, relative to the root."""
    return run("git", "ls-files", "-z").rstrip("\0").split("\0")


def build(into: Path) -> tuple[Path, Path]:
    """Build the sdist, and the wheel from the sdist, each in an isolated environment.

    They are built in a copy of the files in git: setuptools adds to an sdist what an earlier build
    in the same folder listed, so that a gap in MANIFEST.in would not be detected there.
    """
    tree = into / "tree"
    for name in files_of_the_tree():
        target = tree / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target)
    run(sys.executable, "-m", "build", "--outdir", into / "dist", tree)
    (sdist,) = (into / "dist").glob("*.tar.gz")
    (wheel,) = (into / "dist").glob("*.whl")
    return sdist, wheel


def unpack(sdist: Path, into: Path) -> Path:
    """Unpack an sdist and return its top folder."""
    with tarfile.open(sdist) as archive:
        archive.extractall(into)
    return into / sdist.name.removesuffix(".tar.gz")


def environment(path: Path, python: str = sys.executable, hints: Sequence[str] = ()) -> Path:
    """Create a virtual environment and return its interpreter.

    Args:
        path: Where to create it; an existing one is removed.
        python: A version, such as "3.14" or "3.14t", or the path of an interpreter.
        hints: Paths of interpreters that are tried before those on the PATH.
    """
    options = [option for hint in hints for option in ("--try-first-with", hint)]
    run(sys.executable, "-m", "virtualenv", "--quiet", "--clear", *options, "-p", python, path)
    return path / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def interpreter(version: str, path: Path) -> Path | None:
    """Create an environment with a version of Python; return None if there is none here.

    Searched are the PATH, pyenv's versions, and the variable PYTHONS.
    """
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    hints = [
        *os.environ.get("PYTHONS", "").split(),
        *map(str, pyenv.glob("versions/*/bin/python3")),
    ]
    try:
        return environment(path, version, hints)
    except AssertionError as error:
        if "failed to find interpreter" in str(error):
            return None
        raise


def first_found(versions: Iterable[str], path: Path) -> Path:
    """Create an environment with the first available of some versions."""
    return next(found for version in versions if (found := interpreter(version, path)))


def install(python: Path, artifact: Path) -> None:
    """Install an artifact with its tests' requirements, and check that it is what is imported."""
    run(python, "-m", "pip", "install", "--quiet", f"{artifact}[test]")
    found = run(python, "-c", "import brummerbus; print(brummerbus.__file__)", cwd=artifact.parent)
    assert python.parents[1] in Path(found).parents


def run_tests(python: Path, folder: Path, tests: Sequence[str] = SUBSET) -> str:
    """Run tests in a folder that has `tests` and pyproject.toml; return pytest's output."""
    return run(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests, cwd=folder)
