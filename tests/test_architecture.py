"""Imports run one way, including those for types only and those inside functions; no cycle."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import brummerbus
import brummerbus.relay

ROOT = Path(brummerbus.__file__).parent

FLOORS = (
    ("_core", "_core._ext"),  # the extension, and the check that it can be used here
    ("_arguments", "_errors", "_events", "_measurements", "_policies", "_text"),
    ("sizing", "sizing.*"),
    ("_config", "_priorities", "_stats", "_typing"),
    ("_core.*",),
    ("_bus", "_listening", "_observing", "_streaming", "_subscribing"),
    ("ringqueue",),  # on the core: it has no bus
    ("",),  # the package itself: the public names
    ("_exported",),
    (
        *("_checked", "_spy", "loghandler", "loguru", "prometheus", "wsgi"),
        *("executor", "executor.*", "otel", "otel.*", "relay", "relay.*", "testing"),
    ),
    ("django",),  # on the executor
    ("_cli", "_cli.*", "watch", "watch.*"),
    ("__main__",),
)
"""From the bottom to the top. A module imports from its own layer and from those below."""


def name_of(path: Path) -> str:
    """Return a file's module name, without the package's."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {name_of(path): path for path in [*ROOT.rglob("*.py"), *ROOT.rglob("*.pyi")]}


def imports(name: str) -> Iterator[tuple[str, str]]:
    """Yield what a module imports from the package: the module, and the name taken from it."""
    for node in ast.walk(ast.parse(FILES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found = [(alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{name}: relative import"
            found = [(node.module or "", alias.name) for alias in node.names]
        else:
            continue
        for module, taken in found:
            if module.partition(".")[0] == "brummerbus":
                inside = module.partition(".")[2]
                deeper = f"{inside}.{taken}".lstrip(".")
                yield (deeper, "") if deeper in FILES else (inside, taken)


@cache
def imported_by(name: str) -> set[str]:
    """Return the other modules of the package that a module imports."""
    return {module for module, _ in imports(name)} - {name}


def floor_of(name: str) -> int:
    """Return the number of a module's layer; its own entry outranks one with a star."""
    for wanted in (name, name.partition(".")[0] + ".*"):
        for number, floor in enumerate(FLOORS):
            if wanted in floor:
                return number
    raise AssertionError(f"{name} has no floor: give it one in FLOORS")


def test_a_module_imports_from_its_own_floor_and_below() -> None:
    """So lower layers can be read, tested and changed without higher ones."""
    above = [
        (name, module)
        for name in FILES
        for module in imported_by(name)
        if floor_of(module) > floor_of(name)
    ]
    assert above == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    """`CycleError` names the cycle."""
    assert set(
        TopologicalSorter({name: imported_by(name) for name in FILES}).static_order()
    ) == set(FILES)


def test_the_command_line_and_the_watcher_do_not_know_each_other() -> None:
    """Only `__main__` uses both."""
    for name in FILES:
        top = {module.partition(".")[0] for module in (name, *imported_by(name))}
        assert name == "__main__" or not top >= {"_cli", "watch"}, name


def test_the_watcher_uses_public_names_only() -> None:
    """It could be a separate distribution."""
    public = {"": brummerbus.__all__, "relay": brummerbus.relay.__all__}
    private = [
        (name, module, taken)
        for name in FILES
        if name.partition(".")[0] == "watch"
        for module, taken in imports(name)
        if module.partition(".")[0] != "watch" and taken not in public.get(module, ())
    ]
    assert private == []


def test_the_extension_counts_references_to_constants() -> None:
    """`Py_RETURN_NONE` and its like do not when compiled for 3.12, and 3.10 loads that, too."""
    sources = sorted((ROOT.parents[1] / "csrc").rglob("*.c"))
    if not sources:
        pytest.skip("the package is installed, without its sources")
    assert [path.name for path in sources if "Py_RETURN_" in path.read_text("utf-8")] == []


def test_the_architecture_page_names_each_module() -> None:
    """Of a package, the files in it may be its own affair; not those of the core."""
    page = (Path(__file__).parents[1] / "docs" / "architecture.md").read_text("utf-8")
    tree = page.partition("\n    src/brummerbus/\n")[2].partition("\n\n")[0]
    described = set(re.findall(r"\w+", tree))
    names = {name.partition(".")[0] for name in FILES if name}
    names |= {name.rpartition(".")[2] for name in FILES if name.startswith("_core.")}
    assert names <= described


def functions(name: str) -> Iterator[tuple[str, int]]:
    """Yield the functions of a module, and their lines without the docstring."""
    for node in ast.walk(ast.parse(FILES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0]
            documented = ast.get_docstring(node) is not None
            text = (first.end_lineno or 0) - first.lineno + 1 if documented else 0
            yield f"{name}.{node.name}", (node.end_lineno or 0) - node.lineno + 1 - text


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_function_fits_on_a_screen(name: str) -> None:
    """About 50 lines, and its docstring."""
    assert {function: lines for function, lines in functions(name) if lines > 55} == {}
