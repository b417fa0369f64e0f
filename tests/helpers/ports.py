"""Ports of the servers that tests start."""

import random
import socket

HOST = "127.0.0.1"

_PORTS = range(10_000, 32_000)
"""Below those that systems give to connections, and to servers that name none."""


def free_port() -> int:
    """Return a port that nobody listens at, and that hardly another test gets.

    One that the system has chosen may be chosen again before the server begins, or while a server
    that will be started again is dead.
    """
    while True:
        port = random.SystemRandom().choice(_PORTS)
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
