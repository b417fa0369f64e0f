"""The package: its public names, their modules, and what importing it loads."""

import ast
import importlib.metadata
import pickle
from pathlib import Path
from typing import Any

import pytest

import brummerbus
from brummerbus import sizing
from helpers.processes import modules_after

ADVICE = (
    "psutil",
    "statistics",
    "brummerbus.testing",
    "brummerbus.relay",
    "brummerbus._core.autoscaler",
    "brummerbus._core.stepped",
    "brummerbus.sizing._adviser",
    "brummerbus.sizing._advice",
    "brummerbus.sizing._autoscale",
    "brummerbus.sizing._gil_wait",
    "brummerbus.sizing._queueing_model",
    "brummerbus.sizing._cgroups",
)
"""Needed only by relays, tests, sizing from the machine, an elastic pool or advice."""

STANDARD = """
_imp _thread atexit collections collections.abc concurrent.futures.thread contextlib contextvars
copyreg dataclasses enum fnmatch functools heapq inspect itertools logging math os queue re reprlib
sys threading time traceback types typing weakref
"""
"""What the import takes from the standard library. Most of its time is that of dataclasses (with
inspect), typing and logging: a further module is worth a thought, or an import where it is used."""

PUBLISHED = """
from brummerbus import Event, EventBus
with EventBus(workers=2) as bus:
    bus.subscribe("a", print)
    bus.publish(Event("a"))
    assert bus.flush(60)
    bus.stats()
"""


def test_the_import_brings_in_nothing_that_only_some_programs_need() -> None:
    """It must take less than 30 ms of CPU time."""
    assert modules_after("import brummerbus").isdisjoint({*ADVICE, "brummerbus._stats"})


def imported_at_once(module: str) -> set[str]:
    """Return the modules that one of ours imports when it is imported itself."""
    path = Path(brummerbus.__file__).parent.parent.joinpath(*module.split("."))
    source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    if not source.exists():
        return set()  # it is in the extension
    found: set[str] = set()
    for node in ast.parse(source.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def test_the_import_takes_these_modules_of_the_standard_library_and_no_other() -> None:
    """Each costs every program that imports the package."""
    loaded = modules_after("import brummerbus")
    ours = {module for module in loaded if module.partition(".")[0] == "brummerbus"}
    taken = set[str]().union(*map(imported_at_once, ours)) - ours
    assert {name for name in taken if not name.startswith("brummerbus")} == set(STANDARD.split())
    new = loaded - modules_after("pass")
    assert new.isdisjoint({"asyncio", "datetime", "subprocess"})


def test_a_bus_of_a_fixed_size_needs_neither_psutil_nor_the_models() -> None:
    """Publishing, handling and statistics do without."""
    assert modules_after(PUBLISHED).isdisjoint(ADVICE)


def test_dir_shows_the_public_names_and_no_other() -> None:
    """Private names are not offered by completion."""
    assert dir(brummerbus) == sorted([*brummerbus.__all__, "__version__"])


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    """As of any module; lazy names make no difference."""
    with pytest.raises(AttributeError, match="'brummerbus' has no attribute 'Evnet'"):
        _ = brummerbus.Evnet
    assert all(hasattr(brummerbus, name) for name in brummerbus.__all__)


def test_the_version_is_that_of_the_distribution() -> None:
    """There is one source: the installed distribution."""
    assert brummerbus.__version__ == importlib.metadata.version("brummerbus")


@pytest.mark.parametrize("name", sorted({*brummerbus.__all__} - {"sizing"}))
def test_a_public_class_names_the_public_place(name: str) -> None:
    """In its repr, in tracebacks and in pickles, which so survive a move of the private modules."""
    cls: Any = getattr(brummerbus, name)
    assert (cls.__module__, cls.__qualname__) == ("brummerbus", name)
    assert pickle.loads(pickle.dumps(cls)) is cls


@pytest.mark.parametrize("name", [name for name in sizing.__all__ if not name.isupper()])
def test_a_function_of_sizing_names_its_public_place(name: str) -> None:
    """As the classes of the package do."""
    assert getattr(sizing, name).__module__ == "brummerbus.sizing"


def test_statistics_can_be_unpickled_where_no_bus_was_made() -> None:
    """Their module comes with the first bus, or with the first pickle that names it."""
    with brummerbus.EventBus(workers=1) as bus:
        dumped = pickle.dumps(bus.stats())
    loading = f"import pickle; assert pickle.loads({dumped!r}).published == 0"
    assert "brummerbus._stats" in modules_after(loading)
