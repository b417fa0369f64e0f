"""Message brokers for tests: real ones, on loopback, in a folder of their own."""

import os
import re
import shutil
import signal
import socket
import subprocess
from importlib import import_module
from pathlib import Path
from time import monotonic
from types import ModuleType

import pytest

from brummerbus import BusError
from brummerbus.relay._nats_server import binary
from helpers.ports import HOST, free_port
from helpers.waiting import HANG, pause


class Server:
    """A process that listens at a port, which it keeps when it is killed and started again."""

    scheme = ""

    def __init__(self, folder: Path, password: str = "") -> None:
        self.folder = folder / self.scheme
        self.folder.mkdir(parents=True)
        self.port = free_port()
        self.password = password
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def command(self) -> list[str]:
        """Return how it is started."""
        raise NotImplementedError

    def url(self, port: int | None = None, password: str | None = None) -> str:
        """Return its address, or that of a proxy before it."""
        secret = self.password if password is None else password
        return f"{self.scheme}://{self.secret(secret)}{HOST}:{port or self.port}"

    def secret(self, password: str) -> str:
        """Return how a password stands in an address."""
        return f":{password}@" if password else ""

    def start(self) -> None:
        """Start it, and wait until it serves."""
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(self.command(), stdout=log, stderr=log)
        deadline = monotonic() + HANG
        while True:
            try:
                with socket.create_connection((HOST, self.port), HANG) as connection:
                    if self.serves(connection):
                        return
            except OSError:
                pass
            said = (self.folder / "log").read_text()
            assert self.process.poll() is None, said
            assert monotonic() < deadline, said
            pause(0.005)

    def serves(self, connection: socket.socket) -> bool:
        """Return whether it does more than to listen."""
        return True

    async def unacknowledged(self) -> int:
        """Return how many messages it has handed out that were not acknowledged."""
        raise NotImplementedError

    def kill(self) -> None:
        """End it with SIGKILL."""
        assert self.process
        self.process.kill()
        self.process.wait(HANG)

    def freeze(self) -> None:
        """Stop it with SIGSTOP: it listens, and does not respond."""
        assert self.process
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self.process
        self.process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """End it, in whatever state it is."""
        if self.process and self.process.poll() is None:
            self.kill()


class NatsServer(Server):
    """A nats-server with JetStream, which syncs before it acknowledges."""

    scheme = "nats"
    jetstream = True
    sync = True

    def command(self) -> list[str]:
        store = f"store_dir: '{self.folder}'" + ", sync_interval: always" * self.syncs()
        lines = [f"listen: '{HOST}:{self.port}'"]
        lines += [f"jetstream {{ {store} }}"] * self.jetstream
        lines += [f"authorization {{ token: '{self.password}' }}"] * bool(self.password)
        configuration = self.folder / "server.conf"
        configuration.write_text("\n".join(lines))
        return [self.binary(), "-c", str(configuration)]

    def binary(self) -> str:
        """Return the path of nats-server; that of another one can be given."""
        return os.environ.get("BRUMMERBUS_NATS_SERVER") or binary()

    def syncs(self) -> bool:
        """Return whether it syncs before it acknowledges; servers before 2.10 cannot."""
        said = subprocess.check_output([self.binary(), "--version"], text=True)
        version = [int(number) for number in said.rpartition("v")[2].split(".")[:2]]
        return self.sync and version >= [2, 10]

    def secret(self, password: str) -> str:
        return f"{password}@" if password else ""

    async def unacknowledged(self) -> int:
        client = await import_module("nats").connect(self.url())
        try:
            manager = client.jsm()
            consumers = [
                consumer
                for stream in await manager.streams_info()
                for consumer in await manager.consumers_info(stream.config.name)
            ]
        finally:
            await client.close()
        return sum(consumer.num_ack_pending or 0 for consumer in consumers)


class RedisServer(Server):
    """A redis-server that syncs before it replies."""

    scheme = "redis"

    def command(self) -> list[str]:
        settings = (
            f"port {self.port} bind {HOST} dir {self.folder} appendonly yes appendfsync always"
        )
        settings += " proto-max-bulk-len 1mb save "
        words = re.sub(r"(^| )(\w[\w-]*) ([^ ]*)", r"\1--\2 \3", settings).split(" ")
        if self.password:
            words += ["--requirepass", self.password]
        return [redis_binary(), *words]

    def serves(self, connection: socket.socket) -> bool:
        """Not while it loads what it has stored, when it replies LOADING."""
        connection.sendall(b"PING\r\n")
        reply = connection.recv(8)
        return bool(reply) and not reply.startswith(b"-LOAD")

    async def unacknowledged(self) -> int:
        async with import_module("redis.asyncio").from_url(self.url()) as client:
            streams = [key async for key in client.scan_iter(_type="stream")]
            groups = [group for key in streams for group in await client.xinfo_groups(key)]
        return sum(group["pending"] for group in groups)


def redis_binary() -> str:
    """Return the path of redis-server; skip the test where there is none."""
    return shutil.which("redis-server", path="/usr/bin:/usr/local/bin") or pytest.skip(
        "needs redis-server"
    )


SERVERS: dict[str, type[Server]] = {"nats": NatsServer, "redis": RedisServer}


def start_server(name: str, folder: Path, password: str = "") -> Server:
    """Start a server; skip the test where there is none."""
    try:
        return SERVERS[name](folder, password)
    except BusError as error:
        pytest.skip(str(error))


def adapter(name: str) -> ModuleType:
    """Return the module that knows a broker; skip the test where its client is missing."""
    pytest.importorskip(name)
    return import_module(f"brummerbus.relay._{name}")
