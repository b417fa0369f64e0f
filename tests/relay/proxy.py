"""A proxy on loopback between a client and a broker, whose network a test breaks and repairs."""

import select
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress

HOST = "127.0.0.1"
CHUNK = 65536
NO_LINGER = struct.pack("ii", 1, 0)
"""SO_LINGER with no time: close sends a reset."""


class _Pipe:
    """One direction of a connection: what was read and is not written yet."""

    def __init__(self, source: socket.socket, target: socket.socket) -> None:
        self.source, self.target = source, target
        self.waiting = b""
        self.ended = False


class _Link:
    """A client's connection and the one to the broker."""

    def __init__(self, client: socket.socket, broker: socket.socket) -> None:
        self.sockets = (client, broker)
        self.up = _Pipe(client, broker)
        self.down = _Pipe(broker, client)
        for end in self.sockets:
            end.setblocking(False)

    def close(self, *, reset: bool = False) -> None:
        for end in self.sockets:
            if reset:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
            end.close()


class Proxy:
    """A proxy to a port on loopback, in a thread of its own; a context manager.

    It begins passing everything. A method that changes that has taken effect when it returns.
    Whatever was passed before is not undone: bytes that the other end has, it keeps.

    Args:
        port: Of the broker. It may be away, and come back.
    """

    def __init__(self, port: int) -> None:
        self._broker = (HOST, port)
        self._listener: socket.socket | None = None
        self._links: list[_Link] = []
        self._passing: tuple[str, ...] = ("up", "down")
        self._wake, self._woken = socket.socketpair()
        self._orders: list[tuple[Callable[[], None], threading.Event]] = []
        self._closed = False
        self.accepted = 0
        """How many connections were made."""
        self.passed = 0
        """Bytes that were passed, in both directions."""
        self.port = 0
        """Where clients connect."""
        self._listen()
        self._thread = threading.Thread(target=self._run, name="proxy")
        self._thread.start()

    # ---- what a test asks for --------------------------------------------------------------------

    def repair(self) -> None:
        """Pass everything again; connections that were only stalled go on."""
        self._order(self._repair)

    def cut(self) -> None:
        """Close all connections, and refuse new ones: the broker is down."""
        self._order(self._cut)

    def stall(self) -> None:
        """Keep connections, also new ones, and pass nothing: packets are lost on the way."""
        self._order(lambda: self._set_passing())

    def half_open(self) -> None:
        """Pass what clients send, and nothing to them: they cannot tell that it arrives."""
        self._order(lambda: self._set_passing("up"))

    def reset(self) -> None:
        """Reset all connections; new ones are accepted."""
        self._order(lambda: self._drop(reset=True))

    @property
    def connections(self) -> int:
        """How many connections there are."""
        return len(self._links)

    def close(self) -> None:
        """Close everything; idempotent."""
        if not self._closed:
            self._order(self._end)
            self._thread.join()
            self._wake.close()
            self._woken.close()

    def __enter__(self) -> "Proxy":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- in its thread, except at the beginning --------------------------------------------------

    def _order(self, work: Callable[[], None]) -> None:
        done = threading.Event()
        self._orders.append((work, done))
        self._wake.send(b"!")
        assert done.wait(30), "the proxy hangs"

    def _listen(self) -> None:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, self.port))
        listener.listen()
        self._listener, self.port = listener, listener.getsockname()[1]

    def _repair(self) -> None:
        self._set_passing("up", "down")
        if self._listener is None:
            self._listen()

    def _cut(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        self._drop(reset=False)

    def _set_passing(self, *directions: str) -> None:
        self._passing = directions

    def _drop(self, *, reset: bool) -> None:
        for link in self._links:
            link.close(reset=reset)
        self._links = []

    def _end(self) -> None:
        self._cut()
        self._closed = True

    def _pipes(self) -> list[_Pipe]:
        return [getattr(link, name) for link in self._links for name in self._passing]

    def _run(self) -> None:
        while not self._closed:
            pipes = self._pipes()
            readable = [pipe.source for pipe in pipes if not pipe.waiting and not pipe.ended]
            writable = [pipe.target for pipe in pipes if pipe.waiting]
            listeners = [self._listener] if self._listener else []
            can_read, can_write, _ = select.select(
                [self._woken, *listeners, *readable], writable, []
            )
            for pipe in pipes:
                with suppress(BlockingIOError):
                    self._pass(pipe, can_read, can_write)
            self._links = [link for link in self._links if link.sockets[0].fileno() >= 0]
            if self._listener in can_read:
                self._accept()
            if self._woken in can_read:
                self._woken.recv(CHUNK)
                while self._orders:
                    work, done = self._orders.pop(0)
                    work()
                    done.set()

    def _pass(self, pipe: _Pipe, can_read: list[object], can_write: list[object]) -> None:
        try:
            if pipe.source in can_read and not pipe.waiting:
                pipe.waiting = pipe.source.recv(CHUNK)
                pipe.ended = not pipe.waiting
            elif pipe.target in can_write:
                sent = pipe.target.send(pipe.waiting)
                self.passed += sent
                pipe.waiting = pipe.waiting[sent:]
        except BlockingIOError:
            raise
        except OSError:
            pipe.ended = True
        if pipe.ended:
            for link in self._links:
                if pipe in {link.up, link.down}:
                    link.close()

    def _accept(self) -> None:
        assert self._listener is not None
        client, _ = self._listener.accept()
        try:
            broker = socket.create_connection(self._broker, 1)
        except OSError:
            client.close()
            return
        self.accepted += 1
        self._links.append(_Link(client, broker))
