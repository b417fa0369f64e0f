"""`make test-package`: the sdist and the wheel are complete, valid, and pass their own tests.

They are built as for a release, from the sdist, and used as a user uses them: in new environments,
without access to the tree.
"""

import runpy
import shutil
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import setuptools
from artifacts import (
    PYTHONS,
    ROOT,
    build,
    environment,
    files_of_the_tree,
    first_found,
    install,
    run,
    run_tests,
    unpack,
)
from setuptools.command.build_ext import build_ext

MADE_BY_SETUPTOOLS = ("PKG-INFO", "setup.cfg", "src/brummerbus.egg-info/")


class Artifacts(NamedTuple):
    """The files of a release."""

    sdist: Path
    wheel: Path


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Artifacts:
    """Build them once."""
    return Artifacts(*build(tmp_path_factory.mktemp("build")))


def test_the_sdist_holds_the_whole_tree_and_nothing_else(artifacts: Artifacts) -> None:
    """A file in git that MANIFEST.in omits is missing for users of the sdist."""
    with tarfile.open(artifacts.sdist) as archive:
        paths = [Path(member.name) for member in archive if member.isfile()]
    names = [Path(*path.parts[1:]).as_posix() for path in paths]
    shipped = {name for name in names if not name.startswith(MADE_BY_SETUPTOOLS)}
    assert shipped == set(files_of_the_tree())


def test_the_sdist_installs_and_passes_the_tests_inside_it(
    artifacts: Artifacts, tmp_path: Path
) -> None:
    """Like a distribution's packager: compile, install, run the tests in it."""
    python = environment(tmp_path / "env")
    install(python, artifacts.sdist)
    print(run_tests(python, unpack(artifacts.sdist, tmp_path)))


def test_the_wheel_passes_the_tests_with_the_sources_out_of_reach(
    artifacts: Artifacts, tmp_path: Path
) -> None:
    """Nothing may be read from `src` or `csrc`; it runs on the oldest Python that is here."""
    python = first_found(PYTHONS, tmp_path / "env")
    install(python, artifacts.wheel)
    folder = unpack(artifacts.sdist, tmp_path)
    for sources in ("src", "csrc"):
        shutil.rmtree(folder / sources)
    print(run_tests(python, folder))


def test_the_wheel_has_one_extension_whose_name_every_python_looks_for(
    artifacts: Artifacts,
) -> None:
    """`_ext.abi3-x86_64-linux-gnu.so`, for one, is not found by 3.10 to 3.13."""
    names = zipfile.ZipFile(artifacts.wheel).namelist()
    extensions = [name for name in names if name.endswith((".so", ".pyd", ".dylib"))]
    suffix = ".pyd" if sys.platform == "win32" else ".abi3.so"
    assert extensions == [f"brummerbus/_core/_ext{suffix}"]
    assert "-cp310-abi3-" in artifacts.wheel.name


def test_the_wheel_has_types_licence_and_command(artifacts: Artifacts) -> None:
    """Files that are not Python code are forgotten most easily."""
    names = zipfile.ZipFile(artifacts.wheel).namelist()
    for name in ("py.typed", "_core/_ext.pyi"):
        assert f"brummerbus/{name}" in names
    for name in ("licenses/LICENSE", "entry_points.txt"):
        assert [each for each in names if each.endswith(f".dist-info/{name}")]
    assert not [name for name in names if name.startswith(("tests", "bench", "csrc", "release"))]


@pytest.mark.parametrize(
    ("named", "built"),
    [
        ("_ext.abi3-x86_64-linux-gnu.so", "_ext.abi3.so"),
        ("_ext.abi3-aarch64-linux-musl.so", "_ext.abi3.so"),
        ("_ext.abi3.so", "_ext.abi3.so"),
        ("_ext.cpython-314t-x86_64-linux-gnu.so", "_ext.cpython-314t-x86_64-linux-gnu.so"),
        ("_ext.pyd", "_ext.pyd"),
    ],
)
def test_a_suffix_that_only_new_pythons_know_is_not_used(
    monkeypatch: pytest.MonkeyPatch, named: str, built: str
) -> None:
    """CPython 3.15 names the platform in it; `make test-all` tests that on a real one."""
    given: dict[str, Any] = {}
    monkeypatch.setattr(setuptools, "setup", given.update)
    runpy.run_path(str(ROOT / "setup.py"))
    monkeypatch.setattr(build_ext, "get_ext_filename", lambda *_: named)
    command = given["cmdclass"]["build_ext"](setuptools.Distribution())
    assert command.get_ext_filename("_ext") == built


def test_only_the_stable_abi_of_the_oldest_python_is_used(artifacts: Artifacts) -> None:
    """abi3audit reads the symbols that the extension imports."""
    run(sys.executable, "-m", "abi3audit", "--strict", artifacts.wheel)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="auditwheel is for Linux")
def test_the_wheel_needs_the_c_library_only(artifacts: Artifacts) -> None:
    """Otherwise it could not be tagged for all distributions."""
    shown = " ".join(run(sys.executable, "-m", "auditwheel", "show", artifacts.wheel).split())
    assert "is consistent with the following platform tag" in shown
    assert '"manylinux_' in shown or '"musllinux_' in shown


def test_nothing_is_in_the_wheel_twice_or_by_accident(artifacts: Artifacts) -> None:
    """check-wheel-contents detects the usual mistakes."""
    run(sys.executable, "-m", "check_wheel_contents", artifacts.wheel)


def test_the_index_takes_and_shows_both(artifacts: Artifacts) -> None:
    """Twine renders the long description as the index does."""
    run(sys.executable, "-m", "twine", "check", "--strict", *artifacts)
