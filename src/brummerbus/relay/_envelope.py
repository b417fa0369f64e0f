"""Events on the way: CloudEvents 1.0 in the binary mode of its NATS binding.

Each attribute is a header with the prefix `ce-`, percent-encoded; the payload is the body. What
comes in structured mode, the whole event as JSON in the body, is understood too.

`source` and `id` together are unique, which tells copies of an event from others. Extensions are
`priority`, `partitionkey`, `traceparent` and `hops`.
"""

import base64
import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any
from urllib.parse import quote, unquote

from brummerbus import Event
from brummerbus.relay._codec import JSON, Codec, decode

PREFIX = "ce-"
VERSION = "1.0"
STRUCTURED = "application/cloudevents"

_SAFE = "".join(chr(c) for c in range(0x21, 0x7F) if chr(c) not in '"%')
_IS_SAFE = re.compile(r"[!#$&-~]*").fullmatch
_REQUIRED = ("specversion", "id", "source", "type")
REQUIRED = tuple(PREFIX + name for name in _REQUIRED)
"""Headers that every event has."""


class BadEnvelope(ValueError):
    """What came is no CloudEvent of a version that is understood, or its data cannot be decoded."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """A CloudEvent, with what the relay uses of its attributes."""

    id: str
    source: str
    type: str
    data: Any = None
    timestamp: float | None = None
    """Seconds since the epoch; None: it does not say when."""
    subject: str = ""
    """`Event.source`: where in its program the event came from."""
    priority: int | None = None
    partition_key: str | None = None
    traceparent: str | None = None
    hops: int = 0
    """How often it, and what it was derived from, has passed from bus to bus."""

    @property
    def key(self) -> tuple[str, str]:
        """What is unique to it."""
        return self.source, self.id


def escape(value: str) -> str:
    """Percent-encode an attribute for a header."""
    return value if _IS_SAFE(value) else quote(value, safe=_SAFE, errors="surrogatepass")


def headers_of(
    event: Event,
    source: str,
    content_type: str | None,
    *,
    priority: int,
    partition_key: str | None,
    traceparent: str | None,
    hops: int,
) -> dict[str, str]:
    """Return the headers of an event; `source` is escaped already."""
    headers = {
        "ce-specversion": VERSION,
        "ce-id": str(event.id),
        "ce-source": source,
        "ce-type": escape(event.type),
        "ce-time": time_text(event.timestamp),
        "ce-priority": str(priority),
        "ce-hops": str(hops),
    }
    if content_type is not None:
        headers["ce-datacontenttype"] = content_type
    if event.source:
        headers["ce-subject"] = escape(event.source)
    if partition_key:
        headers["ce-partitionkey"] = escape(partition_key)
    if traceparent:
        headers["ce-traceparent"] = escape(traceparent)
    return headers


def pack(
    event: Event, source: str, codec: Codec, **extensions: Any
) -> tuple[dict[str, str], bytes]:
    """Return the headers and the body of an event; see `headers_of`.

    Raises:
        Exception: Its payload cannot be encoded.
    """
    content_type, body = codec.encode(event.data)
    return headers_of(event, source, content_type, **extensions), body


def unpack(headers: Mapping[str, str], body: bytes) -> Envelope:
    """Return the event of a message, in binary or structured mode.

    Raises:
        BadEnvelope: It is none, or its data cannot be decoded here.
    """
    content_type = headers.get("content-type", "")
    if content_type.lower().startswith(STRUCTURED):
        attributes, data = _structured(body)
    else:
        attributes = {
            name[len(PREFIX) :]: _unescape(value)
            for name, value in headers.items()
            if name.startswith(PREFIX)
        }
        data = body
        if content_type:  # as in the binding of HTTP, which some use here too
            attributes.setdefault("datacontenttype", content_type)
    for name in _REQUIRED:
        if not attributes.get(name):
            raise BadEnvelope(f"it has no {name}: it is no CloudEvent")
    if attributes["specversion"] != VERSION:
        raise BadEnvelope(f"it is a CloudEvent of version {attributes['specversion']!r}, not 1.0")
    if isinstance(data, bytes):
        data = _decoded(attributes.get("datacontenttype"), data)
    return Envelope(
        id=attributes["id"],
        source=sys.intern(attributes["source"]),  # many are remembered, from few sources
        type=attributes["type"],
        data=data,
        timestamp=_timestamp(attributes.get("time")),
        subject=attributes.get("subject", ""),
        priority=_number(attributes.get("priority")),
        partition_key=attributes.get("partitionkey"),
        traceparent=attributes.get("traceparent"),
        hops=max(0, _number(attributes.get("hops")) or 0),
    )


def _structured(body: bytes) -> tuple[dict[str, str], Any]:
    """Return the attributes of an event in JSON, and its data: bytes, or what the JSON has."""
    try:
        whole = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadEnvelope(f"it should be a CloudEvent in JSON, and is not JSON: {error}") from error
    if not isinstance(whole, dict):
        raise BadEnvelope("it should be a CloudEvent in JSON, and is no object")
    data = whole.pop("data", None)
    if "data_base64" in whole:
        try:
            data = base64.b64decode(whole.pop("data_base64"), validate=True)
        except (ValueError, TypeError) as error:
            raise BadEnvelope(f"its data_base64 cannot be decoded: {error}") from error
    return {name: _text(value) for name, value in whole.items() if value is not None}, data


def _text(value: Any) -> str:
    """Return an attribute as a string, in its canonical form."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else str(value)


def _decoded(content_type: str | None, body: bytes) -> Any:
    try:
        return decode(content_type, body)
    except (ValueError, ImportError) as error:
        raise BadEnvelope(str(error)) from error


def _unescape(value: str) -> str:
    if len(value) > 1 and value[0] == '"' == value[-1]:  # as older versions wrote it
        value = re.sub(r"\\(.)", r"\1", value[1:-1])
    if "%" not in value:
        return value
    try:
        return unquote(value, errors="surrogatepass")
    except UnicodeDecodeError as error:
        raise BadEnvelope(f"a header cannot be decoded: {error}") from error


def _number(text: str | None) -> int | None:
    try:
        return None if text is None else int(text)
    except ValueError:
        return None  # extensions of strangers may mean something else


def time_text(timestamp: float) -> str:
    """Return seconds since the epoch as RFC 3339 has them, in UTC."""
    return datetime.fromtimestamp(timestamp, timezone.utc).isoformat().replace("+00:00", "Z")


def _timestamp(text: str | None) -> float | None:
    if not text:
        return None
    try:  # Python 3.10 understands neither Z nor other than 3 or 6 digits
        seconds, fraction, offset = _TIME(text.upper()).groups()  # type: ignore[union-attr]
        offset = "+00:00" if offset == "Z" else offset
        whole = datetime.fromisoformat(f"{seconds.replace(' ', 'T')}{offset}").timestamp()
        return whole + float(f"0{fraction or '.0'}")
    except (AttributeError, ValueError, OverflowError):
        return None


_TIME = re.compile(r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)").fullmatch

__all__ = ["JSON", "REQUIRED", "BadEnvelope", "Envelope", "escape", "pack", "time_text", "unpack"]
