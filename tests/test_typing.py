"""What type checkers and `typing.get_type_hints` make of the package, as its users have it.

`typing/good.py` is a program without mistakes, `typing/bad.py` one with a mistake in each line
marked `E`. Both are checked as a program of somebody else, without this project's settings.
"""

import dataclasses
import functools
import importlib.util
import inspect
import json
import subprocess
import sys
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import brummerbus
from brummerbus import EventBus, EventBusConfig, sizing
from brummerbus._config import ConfigOverrides
from helpers.processes import modules_after

PROGRAMS = Path(__file__).parent / "typing"
PACKAGE = Path(brummerbus.__file__).parent
OLDEST = "3.10"

Lines = set[tuple[str, int]]


def checked_by(checker: str, *arguments: object) -> str:
    """Return what a type checker prints about the programs; skip where there is no such checker."""
    if importlib.util.find_spec(checker) is None:
        pytest.skip(f"{checker} is not installed")
    command = [sys.executable, "-m", checker, *map(str, arguments)]
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, cwd=PROGRAMS, timeout=300
    )
    assert done.returncode in {0, 1}, done.stdout + done.stderr  # 1: there are mistakes
    return done.stdout


def reported_by_mypy(cache: Path) -> Lines:
    """Return the files and lines in which mypy finds errors."""
    settings = ("--strict", "--config-file=", "--no-error-summary", "--output=json")
    places = ("--python-version", OLDEST, "--cache-dir", cache, "good.py", "bad.py")
    found = map(json.loads, checked_by("mypy", *settings, *places).splitlines())
    return {(Path(e["file"]).name, e["line"]) for e in found if e["severity"] == "error"}


@functools.cache
def has_pyright() -> bool:
    """Return whether pyright could fetch itself from npm, which has it."""
    return "\npyright " in "\n" + checked_by("pyright", "--version")


def pyright(*arguments: object) -> dict[str, Any]:
    """Return what pyright reports; skip where there is none."""
    if not has_pyright():
        pytest.skip("pyright is installed, but could not be fetched from npm")
    settings = ("--outputjson", "--pythonpath", sys.executable, "--pythonversion", OLDEST)
    return dict(json.loads(checked_by("pyright", *settings, *arguments)))


def reported_by_pyright(_cache: Path) -> Lines:
    """Return the files and lines in which pyright finds errors or warnings."""
    found = pyright("good.py", "bad.py")["generalDiagnostics"]
    return {(Path(e["file"]).name, e["range"]["start"]["line"] + 1) for e in found}


@pytest.mark.slow
@pytest.mark.parametrize("reported", [reported_by_mypy, reported_by_pyright])
def test_a_checker_finds_each_mistake_in_a_program_and_no_other(
    reported: Callable[[Path], Lines], tmp_path: Path
) -> None:
    """Strict, on the oldest Python: the lines marked in `bad.py`, and nothing in `good.py`."""
    lines = (PROGRAMS / "bad.py").read_text(encoding="utf-8").splitlines()
    marked = {("bad.py", n) for n, line in enumerate(lines, 1) if "  # E: " in line}
    found = reported(tmp_path)
    assert len(marked) > 50
    assert (sorted(marked - found), sorted(found - marked)) == ([], [])


@pytest.mark.slow
def test_each_public_name_has_a_type_that_all_checkers_see(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing public is left to inference, in which checkers differ.

    The watcher's modules are not counted: it is a program, not a library. Nor are the names of
    other projects, which pyright also reports, and what has a base class or a parameter of one.
    """
    # It does not follow the link of an editable installation.
    monkeypatch.setenv("PYTHONPATH", str(PACKAGE.parent))
    report = pyright("--verifytypes", "brummerbus")["typeCompleteness"]
    assert report["pyTypedPath"] == str(PACKAGE / "py.typed")
    names = {symbol["name"]: symbol for symbol in report["symbols"]}
    assert "brummerbus._subscribing.SubscribingBus.subscribe" in names
    others = (
        "brummerbus.watch.",
        "brummerbus.django.BusBackend",
        "brummerbus.otel.instrument",
        "brummerbus.prometheus.BusCollector",
    )
    ours = {name: s for name, s in names.items() if name.startswith("brummerbus.")}
    library = [s for name, s in ours.items() if not name.startswith(others)]
    assert [s["name"] for s in library if not s["isTypeKnown"] or s["isTypeAmbiguous"]] == []


# ---- at run time --------------------------------------------------------------------------------


def members(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield a public object, and of a class what it and its own bases have."""
    yield name, value
    for cls in value.__mro__ if isinstance(value, type) else ():
        if "brummerbus" in cls.__module__:
            for part, member in vars(cls).items():
                for function in unwrapped(member):
                    yield f"{name}.{part}", function


def unwrapped(member: Any) -> list[Any]:
    """Return the functions in what a class has under a name."""
    if isinstance(member, property):
        return [function for function in (member.fget, member.fset) if function is not None]
    function = getattr(member, "__func__", member)
    return [function] if inspect.isroutine(function) else []


PUBLIC = [
    (f"{module.__name__}.{name}", member)
    for module in (brummerbus, sizing)
    for public in module.__all__
    for name, member in members(public, getattr(module, public))
    if callable(member)
]


def test_the_type_hints_of_what_is_public_can_be_read() -> None:
    """By libraries that inject, validate or document; names that come late included."""
    assert len(PUBLIC) > 100
    for name, value in PUBLIC:
        assert isinstance(typing.get_type_hints(value), dict), name


def test_names_that_come_late_are_found_in_the_hints() -> None:
    """The same classes as the public ones."""
    assert typing.get_type_hints(EventBus.stats)["return"] is brummerbus.BusStats
    assert typing.get_type_hints(EventBus.advise)["return"] is brummerbus.Advice


def test_the_overrides_of_a_bus_are_the_fields_of_its_configuration() -> None:
    """In the same order, and of each at least what the attribute can be."""
    overrides = typing.get_type_hints(ConfigOverrides)
    fields = typing.get_type_hints(EventBusConfig)
    assert list(overrides) == [field.name for field in dataclasses.fields(EventBusConfig)]
    for name, field in fields.items():
        accepted = typing.get_args(overrides[name]) or (overrides[name],)
        assert {*(typing.get_args(field) or (field,))} <= {*accepted}, name


def test_typing_extensions_is_not_needed() -> None:
    """Type checkers bring it along; the package imports it for them only."""
    assert "typing_extensions" not in modules_after("import brummerbus")
