"""A broker that is reached by TLS, with a user and a password."""

import logging
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from brummerbus import BusError
from brummerbus.relay import Relay
from helpers.buses import BusFactory
from helpers.handlers import Recorder
from helpers.waiting import HANG, poll
from relay.scene import QUICK, publish_all
from relay.servers import HOST, NatsServer, adapter


class Encrypted(NatsServer):
    """A nats-server that only speaks TLS."""

    def command(self) -> list[str]:
        command = super().command()
        files = f"cert_file: '{self.folder}/cert.pem', key_file: '{self.folder}/key.pem'"
        with (self.folder / "server.conf").open("a") as configuration:
            configuration.write(f"\ntls {{ {files} }}\n")
            configuration.write("authorization { user: shop, password: 'right' }\n")
        make_certificate(self.folder)
        return command


def make_certificate(folder: Path) -> None:
    """Make a key, and a certificate for this machine that it has signed itself."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs openssl")
    name = f"subjectAltName=IP:{HOST}"
    files = ["-keyout", f"{folder}/key.pem", "-out", f"{folder}/cert.pem"]
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += [*files, "-subj", "/CN=test", "-addext", name]
    subprocess.run(command, check=True, capture_output=True, timeout=HANG)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Encrypted]:
    adapter("nats")
    monkeypatch.setattr("brummerbus.relay._tuning.TUNING", QUICK)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    server = Encrypted(tmp_path)
    yield server
    server.close()


def test_events_travel_by_tls_and_a_wrong_password_is_one_clear_error(
    server: Encrypted, factory: BusFactory, caplog: pytest.LogCaptureFixture
) -> None:
    """And asyncio says nothing, although the client does not tell it of TLS."""
    here, there, got = factory.bus(), factory.bus(), Recorder()
    errors: list[BusError] = []
    there.subscribe("t", got)
    tls = ssl.create_default_context(cafile=server.folder / "cert.pem")
    connect = {"tls": tls, "user": "shop", "password": "right"}
    receiver = Relay(there, server.url(), receive=["t"], connect=connect)
    assert receiver.wait_connected(HANG)
    with Relay(here, server.url().replace("nats:", "tls:"), send=["t"], connect=connect):
        publish_all(here, "t", range(3))
        got.wait_for(3)
    assert receiver.stop()
    wrong = {**connect, "password": "wrong"}
    relay = Relay(here, server.url(), send=["t"], connect=wrong, on_error=errors.append)
    poll(lambda: bool(errors))
    assert not relay.wait_connected(3 * QUICK.refused)
    assert relay.stop()
    assert len(errors) == 1
    assert "does not accept the credentials" in str(errors[0])
    assert not [r for r in caplog.records if r.name == "asyncio" and r.levelno >= logging.WARNING]


def test_a_certificate_that_nobody_vouches_for_is_one_clear_error(
    server: Encrypted, factory: BusFactory
) -> None:
    errors: list[BusError] = []
    relay = Relay(factory.bus(), server.url(), receive=["t"], on_error=errors.append)
    poll(lambda: bool(errors))
    assert not relay.wait_connected(6 * QUICK.retry)
    relay.stop()
    assert len(errors) == 1
    assert "CERTIFICATE_VERIFY_FAILED" in str(errors[0])
