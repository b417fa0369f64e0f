"""The package: its public names, their modules, and what importing it loads."""

import importlib.metadata
import pickle
from typing import Any

import pytest

import brummerbus
from brummerbus import sizing
from helpers.processes import modules_after

ADVICE = (
    "psutil",
    "statistics",
    "brummerbus.testing",
    "brummerbus._core.autoscaler",
    "brummerbus._core.stepped",
    "brummerbus.sizing._adviser",
    "brummerbus.sizing._advice",
    "brummerbus.sizing._autoscale",
    "brummerbus.sizing._gil_wait",
    "brummerbus.sizing._queueing_model",
    "brummerbus.sizing._cgroups",
)
"""Needed only by tests, sizing from the machine, an elastic pool or advice."""

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
