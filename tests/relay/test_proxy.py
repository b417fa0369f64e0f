"""The proxy that the relay's tests break the network with does what it says."""

import socket
from collections.abc import Iterator

import pytest

from helpers.waiting import poll
from relay.proxy import HOST, Proxy

SOON = 10.0


@pytest.fixture
def broker() -> Iterator[socket.socket]:
    with socket.create_server((HOST, 0)) as listener:
        listener.settimeout(SOON)
        yield listener


@pytest.fixture
def proxy(broker: socket.socket) -> Iterator[Proxy]:
    with Proxy(broker.getsockname()[1]) as proxy:
        yield proxy


Ends = tuple[socket.socket, socket.socket]


@pytest.fixture
def ends(broker: socket.socket, proxy: Proxy) -> Iterator[Ends]:
    """A client and the broker's end of its connection."""
    with socket.create_connection((HOST, proxy.port), SOON) as client:
        accepted, _ = broker.accept()
        with accepted:
            accepted.settimeout(SOON)
            yield client, accepted


def silent(end: socket.socket) -> bool:
    """Return whether nothing arrives in a tenth of a second."""
    end.settimeout(0.1)
    try:
        return not end.recv(1) and False
    except TimeoutError:
        return True
    finally:
        end.settimeout(SOON)


def test_it_passes_bytes_in_both_directions(proxy: Proxy, ends: Ends) -> None:
    client, broker = ends
    client.sendall(b"up")
    assert broker.recv(10) == b"up"
    broker.sendall(b"down")
    assert client.recv(10) == b"down"
    assert proxy.accepted == proxy.connections == 1


def test_a_stalled_connection_passes_nothing_and_goes_on_when_repaired(
    proxy: Proxy, ends: Ends
) -> None:
    client, broker = ends
    proxy.stall()
    client.sendall(b"up")
    broker.sendall(b"down")
    assert silent(client)
    assert silent(broker)
    proxy.repair()
    assert broker.recv(10) == b"up"
    assert client.recv(10) == b"down"


def test_a_half_open_connection_passes_only_what_the_client_sends(proxy: Proxy, ends: Ends) -> None:
    client, broker = ends
    proxy.half_open()
    client.sendall(b"up")
    broker.sendall(b"down")
    assert broker.recv(10) == b"up"
    assert silent(client)


def test_a_cut_closes_connections_and_refuses_new_ones_until_repaired(
    broker: socket.socket, proxy: Proxy, ends: Ends
) -> None:
    proxy.cut()
    assert [end.recv(10) for end in ends] == [b"", b""]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((HOST, proxy.port), SOON)
    proxy.repair()
    with socket.create_connection((HOST, proxy.port), SOON):
        broker.accept()[0].close()
    poll(lambda: proxy.accepted == 2)


def test_a_reset_reaches_both_ends(proxy: Proxy, ends: Ends) -> None:
    proxy.reset()
    for end in ends:
        with pytest.raises(ConnectionResetError):
            end.recv(10)


def test_the_end_of_one_side_ends_the_other(proxy: Proxy, ends: Ends) -> None:
    client, broker = ends
    broker.close()
    assert client.recv(10) == b""
