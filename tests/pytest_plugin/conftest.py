"""Fixtures of the tests of the pytest plugin."""

import pytest

from helpers.pytests import HEAD


@pytest.fixture
def result(pytester: pytest.Pytester, request: pytest.FixtureRequest) -> pytest.RunResult:
    """Return how pytest ends with the tests that the parameter has."""
    pytester.makepyfile(HEAD + request.param)
    return pytester.runpytest_inprocess("--strict-markers", "-p", "no:cacheprovider")
