"""Runs of pytest inside a test: what the tests of the plugin share."""

import pytest

HEAD = """
import threading
import pytest
from brummerbus import Event

def boom(event):
    raise ValueError(f"boom {event.data}")
"""


def runs(code: str) -> pytest.MarkDecorator:
    """Mark a test with the tests that it runs."""
    return pytest.mark.parametrize("result", [code], indirect=True, ids=[""])
