"""What the tests have to know of the interpreter that runs them."""

import sys

import pytest

HAS_GIL = getattr(sys, "_is_gil_enabled", lambda: True)()

needs_gil = pytest.mark.skipif(not HAS_GIL, reason="this interpreter runs without a GIL")

needs_immediate_release = pytest.mark.skipif(
    not HAS_GIL,
    reason="without a GIL an object is freed by the thread that made it, some time after another "
    "has released it; CPython 3.13 never frees some functions and classes",
)
