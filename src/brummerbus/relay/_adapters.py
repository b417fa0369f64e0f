"""Which adapter speaks to which URL, and the embedded server as a broker."""

import asyncio
from collections.abc import Mapping
from importlib import import_module
from typing import Any, cast

from brummerbus._arguments import shown
from brummerbus._errors import BusError
from brummerbus.relay._broker import Broker, Lost, Refused, Session, shown_url

_MODULES = {
    **dict.fromkeys(("nats", "tls", "ws", "wss"), "brummerbus.relay._nats"),
    **dict.fromkeys(("redis", "rediss", "unix"), "brummerbus.relay._redis"),
}


def broker_for(url: str | None, namespace: str, options: Mapping[str, Any]) -> Broker:
    """Return the broker of a URL, or for None the embedded server, which is joined.

    Raises:
        TypeError: The URL is no string.
        ValueError: Its scheme is not known.
        ImportError: The client is not installed; the message names the extra.
        BusError: The embedded server cannot be started.
    """
    if url is None:
        return Embedded(namespace, options)
    if not isinstance(url, str):
        raise TypeError(f"url must be a string or None, got {shown(url)}")
    scheme, separator, _ = url.partition("://")
    name = _MODULES.get(scheme) if separator else "brummerbus.relay._nats"
    if name is None or not url:
        known = ", ".join(f"{one}://" for one in _MODULES)
        raise ValueError(f"url must begin with one of {known}, got {shown_url(url)}")
    return cast("Broker", import_module(name).make(url, namespace, options))


class Embedded:
    """The server of this machine alone, which is started again when it has died."""

    def __init__(self, namespace: str, options: Mapping[str, Any]) -> None:
        nats = import_module("brummerbus.relay._nats")
        embedded = import_module("brummerbus.relay._embedded")
        self._server = embedded.join()
        settings = {**options, "token": self._server.token}
        try:
            self._broker: Broker = nats.make(self._server.url, namespace, settings)
        except BaseException:  # or the server would never be ended
            self._server.leave()
            raise

    async def connect(self) -> Session:
        """See `_broker.Broker.connect`."""
        try:
            return await self._broker.connect()
        except Lost as lost:
            loop = asyncio.get_running_loop()
            try:
                await loop.run_in_executor(None, self._server.revive)
            except BusError as error:
                raise Refused(str(error)) from error
            except RuntimeError as error:  # the interpreter is shutting down
                raise lost from error
        return await self._broker.connect()

    def leave(self) -> None:
        """End the membership, and the server if nobody else uses it."""
        self._server.leave()


def leave(broker: Broker) -> None:
    """Leave the embedded server, if it is one."""
    if isinstance(broker, Embedded):
        broker.leave()
