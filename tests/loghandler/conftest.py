"""Fixtures of the tests of the log handler."""

import logging
import logging.config
from collections.abc import Iterator

import pytest


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    """Return a logger of its own, and leave no handler behind."""
    logger = logging.getLogger("shop")
    logger.propagate = False
    logger.setLevel(logging.DEBUG)
    yield logger
    for one in (logger, logging.getLogger("brummerbus")):
        for handler in list(one.handlers):
            one.removeHandler(handler)
            handler.close()
