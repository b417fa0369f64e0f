"""Checks of functions that a program gives: handlers, hooks, keys and conditions."""

import functools
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

from brummerbus._arguments import shown
from brummerbus._core import deferred

_LAZY = (
    ("iscoroutinefunction", "a coroutine function"),
    ("isasyncgenfunction", "an async generator function"),
    ("isgeneratorfunction", "a generator function"),
)

_LAZY_FLAGS = 0x20 | 0x80 | 0x200
"""`inspect.CO_GENERATOR`, `CO_COROUTINE` and `CO_ASYNC_GENERATOR`."""


def check_hook(name: str, hook: Any, arguments: tuple[str, ...] | None) -> None:
    """Raise `TypeError` unless a hook is None, or a callable that does its work when called.

    Args:
        name: The name of the hook.
        hook: What was given for it.
        arguments: What it is called with; None: that is not known.
    """
    if hook is None:
        return
    if not callable(hook):
        raise TypeError(f"{name} must be callable or None, got {shown(hook)}")
    check_works(name, hook, layers(hook))
    if arguments is not None:
        check_parameters(name, hook, arguments)


def check_on_done(on_done: Any) -> None:
    """Do the same for the hook that each publish can have, in a tenth of the time.

    It is not looked for in decorators. That it cannot take an outcome is logged when it is called.
    """
    if on_done is not None and (not callable(on_done) or _is_lazy(on_done)):
        check_hook("on_done", on_done, None)


def _is_lazy(function: Any) -> bool:
    """Return whether it is a coroutine or generator function, or a partial or a method of one."""
    while type(function) is functools.partial:
        function = function.func
    if type(function) is MethodType:
        function = function.__func__
    elif type(function) not in (FunctionType, BuiltinFunctionType):
        function = attribute(type(function), "__call__")
    return type(function) is FunctionType and bool(function.__code__.co_flags & _LAZY_FLAGS)


def check_works(name: str, function: Any, found: list[Any], hint: str = "") -> None:
    """Raise `TypeError` for what would not do its work when called.

    Args:
        name: The name of the argument.
        function: What was given for it.
        found: Its `layers`.
        hint: Said about coroutine functions.
    """
    for one in found:
        for test, what in _LAZY:
            if holds(test, one):
                raise TypeError(
                    f"{name} must do its work when called, got {shown(function)}: calling {what} "
                    "only returns an object, which the bus does not await or iterate over"
                    + (hint if "coroutine" in what else "")
                )


def layers(function: Any) -> list[Any]:
    """Return a function and those in it: of partials, decorators, methods, dispatchers."""
    found: list[Any] = []
    todo = [function]
    while todo and len(found) < 50:
        one = todo.pop()
        found.append(one)
        if isinstance(one, functools.partial):
            todo.append(one.func)
        elif isinstance(one, MethodType):
            todo.append(one.__func__)
        elif isinstance(one, FunctionType):
            if "__wrapped__" in one.__dict__:
                todo.append(one.__dict__["__wrapped__"])
            registry = one.__dict__.get("registry")  # of functools.singledispatch
            if registry is not None and "dispatch" in one.__dict__:
                todo.extend(dict(registry).values())
        elif not isinstance(one, (type, BuiltinFunctionType)):
            call = attribute(type(one), "__call__")
            if isinstance(call, FunctionType):
                todo.append(call)
    return found


def holds(test: str, function: Any) -> bool:
    """Return whether a test of `inspect` holds; False if it raises."""
    try:
        return bool(getattr(deferred.inspect, test)(function))
    except Exception:
        return False


def attribute(owner: object, name: str) -> Any:
    """Return an attribute; None if there is none or access raises."""
    try:
        return getattr(owner, name, None)
    except Exception:
        return None


def check_parameters(name: str, function: Any, arguments: tuple[str, ...]) -> None:
    """Raise `TypeError` if a function cannot be called with these arguments."""
    n = len(arguments)
    code = function.__code__ if isinstance(function, FunctionType) else None
    if code is not None and code.co_argcount == n and not code.co_kwonlyargcount:
        return  # the usual case, detected in a tenth of the time
    try:
        # Of the outermost function: a decorator may pass more arguments to what it decorates.
        signature = deferred.inspect.signature(function, follow_wrapped=False)
    except Exception:  # a builtin without a signature, or an invalid one
        return
    try:
        signature.bind(*[object()] * n)
    except TypeError as error:
        hint = ""
        if list(signature.parameters)[:1] == ["self"] and isinstance(function, FunctionType):
            verb = "subscribe" if name == "handler" else "give"
            hint = f"; {verb} a method through its object, as object.method"
        takes = "no argument"
        if n:
            number = "one argument" if n == 1 else f"{n} arguments"
            takes = f"{number}, the {_listed(arguments)}"
        raise TypeError(
            f"{name} must take {takes}, got {shown(function)} with the signature {signature} "
            f"({error}){hint}"
        ) from None


def _listed(names: tuple[str, ...]) -> str:
    return " and ".join([*([", ".join(names[:-1])] if names[1:] else []), names[-1]])
