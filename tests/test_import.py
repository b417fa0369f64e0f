"""The package: its public names, their modules, and what importing it loads."""

import ast
import importlib.metadata
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import brummerbus
from brummerbus import sizing
from helpers.processes import modules_after
from helpers.waiting import HANG

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

VALUES = """
_arguments _core _core._ext _core._ext.lib _errors _events _policies
"""
"""The modules of the package that `import brummerbus` imports: exceptions, events, enumerations."""

STANDARD = "copyreg enum importlib queue typing"
"""What they take from the standard library: a further module is worth a thought."""

STANDARD_OF_A_BUS = f"""
{STANDARD} _imp _thread atexit collections collections.abc contextlib contextvars fnmatch functools
heapq itertools operator os re reprlib sys threading time types weakref
"""
"""The same for `from brummerbus import EventBus`, which programs do that make no bus."""

DEFERRED = {
    *("concurrent.futures", "dataclasses", "inspect", "logging", "traceback"),
    *("brummerbus._config", "brummerbus._stats", "brummerbus.sizing"),
}
"""What comes with the first bus. That is a third of the time which all of it takes."""

PUBLISHED = """
from brummerbus import Event, EventBus
with EventBus(workers=2) as bus:
    bus.subscribe("a", print)
    bus.publish(Event("a"))
    assert bus.flush(60)
    bus.stats()
"""


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


def taken_by(code: str) -> tuple[set[str], set[str]]:
    """Return the modules of the package that some code imports, and what these take from others."""
    loaded = modules_after(code)
    ours = {module for module in loaded if module.partition(".")[0] == "brummerbus"}
    taken = set[str]().union(*map(imported_at_once, ours)) - ours
    return ours, {name for name in taken if not name.startswith("brummerbus")}


def test_the_import_takes_only_values() -> None:
    """A module that defines events, hooks or handlers needs no more; it takes some 10 ms of CPU."""
    ours, taken = taken_by("import brummerbus")
    assert ours == {"brummerbus"} | {f"brummerbus.{name}" for name in VALUES.split()}
    assert taken == set(STANDARD.split())


def test_the_class_of_a_bus_takes_no_module_that_is_deferred() -> None:
    """Importing it must take less than 30 ms of CPU time, and so must the package."""
    ours, taken = taken_by("from brummerbus import Event, EventBus")
    assert taken == set(STANDARD_OF_A_BUS.split())
    assert ours.isdisjoint({*ADVICE, *DEFERRED})
    new = modules_after("from brummerbus import Event, EventBus") - modules_after("pass")
    assert new.isdisjoint({*DEFERRED, "asyncio", "datetime", "subprocess"})


LATER = """
import sys
from threading import Event as Flag
from brummerbus import Event, EventBus

def fail(event):
    raise ValueError("oops")

flag = Flag()
bus = EventBus(workers=1, queue_size=1, policy="drop_newest", publish_timeout=0)
before = set(sys.modules)
bus.subscribe("failing", fail)
bus.subscribe("slow", lambda event, /, *args: flag.wait(60))
bus.publish(Event("failing"))
bus.flush(60)
while bus.publish(Event("slow")):
    pass
flag.set()
assert bus.stop()
assert bus.stats().failed and bus.stats().dropped
print(*sorted(set(sys.modules) - before))
"""


def test_a_bus_imports_nothing_after_it_was_made() -> None:
    """Its workers log, and an import there could fail for lack of memory, or wait for another."""
    command = [sys.executable, "-c", LATER]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=HANG)
    assert "ValueError: oops" in done.stderr
    assert "the queue is full" in done.stderr
    assert [one for one in done.stdout.split() if one in DEFERRED or "brummerbus" in one] == []


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
