"""The adapter of NATS JetStream: `_nats*` is all that knows NATS.

    <namespace>.evt.<type>     the events, in the stream `<namespace>`
    <namespace>.dead.<type>    dead letters, in the stream `<namespace>-dead`

(dots in the namespace are `_` in the names of streams). Streams that exist are used as they are.

What does not work
- The client's reconnecting: it repeats subscriptions, and nothing says what was lost.
"""

import asyncio
import inspect
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from brummerbus._arguments import shown
from brummerbus.relay._broker import BrokerError, Lost, Refused, shown_url

try:
    from nats import errors
    from nats.aio.client import Client
except ImportError as _missing:
    raise ImportError(
        "brummerbus.relay needs nats-py: pip install 'brummerbus[relay]'"
    ) from _missing

from brummerbus.relay._nats_consumer import Connected
from brummerbus.relay._nats_session import NatsSession

CONNECT_TIMEOUT = 1.5


class Nats(Connected):
    """A broker: NATS with JetStream. See `_broker.Broker`."""

    def __init__(self, url: str, namespace: str, options: Mapping[str, Any]) -> None:
        super().__init__(namespace, _without_credentials(url))
        self._urls = url.split(",")
        self._options = dict(options)

    async def connect(self) -> NatsSession:
        """See `_broker.Broker.connect`."""
        client = Client()
        loop = asyncio.get_running_loop()
        _mark_tls(loop)
        lost: asyncio.Future[Lost] = loop.create_future()

        async def on_error(error: Exception) -> None:
            session.note(error)

        async def on_closed() -> None:
            session.note(None)
            if not lost.done():
                text = f"the connection to {self.server} was lost{session.because()}"
                lost.set_result(Lost(text))

        session = NatsSession(self, client, lost)
        settings: dict[str, Any] = {
            "name": f"brummerbus {self.namespace}",
            **self._options,
            "servers": self._urls,
            "allow_reconnect": False,
            # Otherwise it tries each server for ever, with pauses of 2 s.
            "max_reconnect_attempts": 1,
            "reconnect_time_wait": 0,
            "connect_timeout": CONNECT_TIMEOUT,
            "pending_size": 0,
            "error_cb": on_error,
            "closed_cb": on_closed,
        }
        try:
            await asyncio.wait_for(client.connect(**settings), 2 * CONNECT_TIMEOUT)
            await session.begin()
        except BaseException as error:
            await session.close()
            if isinstance(error, (BrokerError, asyncio.CancelledError)):
                raise
            raise self._why_not(session.why or error) from error
        self.client = client
        return session

    def _why_not(self, error: BaseException) -> BrokerError:
        text = str(error).removeprefix("nats: ").strip("'\"") or type(error).__name__
        if "authorization" in text.lower() or "authentication" in text.lower():
            return Refused(f"{self.server} does not accept the credentials: {text}")
        if isinstance(error, (OSError, errors.Error, asyncio.TimeoutError, EOFError)):
            return Lost(f"no connection to {self.server}: {text}")
        return Refused(f"no connection to {self.server}: {type(error).__name__}: {text}")


def _mark_tls(loop: Any) -> None:
    """Have the streams of the relay's own loop know that they are encrypted.

    The client begins TLS without `StreamWriter.start_tls`, which says so: at the end of each
    connection, asyncio would log that `eof_received` returned true.
    """
    start_tls = loop.start_tls
    if getattr(start_tls, "marks", False):
        return

    async def marked(transport: Any, protocol: Any, *arguments: Any, **options: Any) -> Any:
        protocol._over_ssl = True  # noqa: SLF001
        return await start_tls(transport, protocol, *arguments, **options)

    marked.marks = True  # type: ignore[attr-defined]
    with suppress(AttributeError):  # a loop of C takes none
        loop.start_tls = marked


_OPTIONS = inspect.signature(Client.connect).parameters.keys() - {"self"}


def make(url: str, namespace: str, options: Mapping[str, Any]) -> Nats:
    """See `_broker.Broker`.

    Raises:
        TypeError: `nats.connect` has no argument of that name.
        ValueError: The URL is not understood.
    """
    for name in options:
        if name not in _OPTIONS:
            raise TypeError(f"connect: nats.connect() has no argument {shown(name)}")
    if not all(map(_is_address, url.split(","))):
        message = "url must be nats://host:port, or several with commas between"
        raise ValueError(f"{message}, got {shown_url(url) if '@' in url else shown(url)}")
    return Nats(url, namespace, options)


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url if "://" in url else f"nats://{url}")
        return bool(parts.hostname) and parts.port != 0
    except ValueError:  # the port is no number, or too large
        return False


def _without_credentials(url: str) -> str:
    found = []
    for one in url.split(","):
        parts = urlsplit(one if "://" in one else f"nats://{one}")
        found.append(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}")
    return ",".join(found)
