"""The nats-server of the system, which may be years older than that of the environment."""

import shutil
from pathlib import Path

import pytest

from brummerbus.relay._nats_server import binary
from helpers.buses import BusFactory
from relay import test_relay, test_reliability
from relay.scene import Scene, scene

__all__ = ["scene"]

FOUND = shutil.which("nats-server", path="/usr/sbin:/usr/bin:/usr/local/bin")


@pytest.fixture(autouse=True)
def older(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use it in place of the one that tests use otherwise."""
    if FOUND is None or Path(FOUND) == Path(binary()):
        pytest.skip("needs a nats-server of the system, such as Debian's")
    monkeypatch.setenv("BRUMMERBUS_NATS_SERVER", FOUND)


@pytest.mark.parametrize("scene", ["nats"], indirect=True)
def test_an_older_server_filters_and_delivers(
    older: None, scene: Scene, factory: BusFactory
) -> None:
    test_relay.test_only_what_the_globs_match_travels(scene, factory)


@pytest.mark.slow
@pytest.mark.parametrize("scene", ["nats"], indirect=True)
def test_an_older_server_that_is_killed_loses_and_reorders_nothing(
    older: None, scene: Scene, factory: BusFactory
) -> None:
    test_reliability.test_a_broker_that_is_killed_again_and_again_loses_and_reorders_nothing(
        scene, factory
    )
