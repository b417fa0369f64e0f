"""Gives the reference the docstrings of what is written in C.

The reference is made from the source, and of a type in C that is a stub without docstrings.
"""

import importlib
import inspect
from typing import Any

import griffe


class NativeDocstrings(griffe.Extension):
    """Takes the docstrings of public names, where the source has none, from the objects."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Look at each public name, and at what a public class has and inherits."""
        module = importlib.import_module(pkg.path)
        for name in module.__all__:
            declared, found = pkg[name], getattr(module, name)
            _document(declared, found)
            if declared.is_class:
                for member, declaration in declared.all_members.items():
                    if not member.startswith("_"):
                        _document(declaration, getattr(found, member, None))


def _document(declared: griffe.Object, found: object) -> None:
    if declared.docstring or not (
        inspect.isclass(found) or inspect.isdatadescriptor(found) or inspect.isroutine(found)
    ):
        return
    if text := inspect.getdoc(found):
        declared.docstring = griffe.Docstring(text, parent=declared, parser="google")
