"""Payloads as bytes: JSON or, with msgspec, MessagePack. Never pickle: what comes is not trusted.

Bytes travel as they are. Everything else comes back as what its format has: tuples as lists.
"""

import json
from collections.abc import Callable
from typing import Any

from brummerbus._arguments import shown

JSON = "application/json"
MSGPACK = "application/msgpack"
BYTES = "application/octet-stream"

Encode = Callable[[Any], bytes]

_to_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def _encode_json(data: Any) -> bytes:
    return _to_json(data).encode()


def _msgpack() -> Any:
    try:
        from msgspec import msgpack  # noqa: PLC0415, an extra
    except ImportError as error:
        raise ImportError("MessagePack needs msgspec: pip install msgspec") from error
    return msgpack


class Codec:
    """How payloads are encoded; `Codec("json")` or `Codec("msgpack")`.

    Raises:
        ValueError: There is no codec of that name.
        ImportError: It needs msgspec, which is not installed.
    """

    def __init__(self, name: object) -> None:
        if name == "json":
            self._type, self._encode = JSON, _encode_json
        elif name == "msgpack":
            self._type, self._encode = MSGPACK, _msgpack().Encoder().encode
        else:
            raise ValueError(f"codec must be 'json' or 'msgpack', got {shown(name)}")

    def encode(self, data: object) -> tuple[str | None, bytes]:
        """Return the content type and the bytes of a payload; nothing for None.

        Raises:
            Exception: It cannot be encoded, for whatever reason its objects have.
        """
        if data is None:
            return None, b""
        if isinstance(data, (bytes, bytearray, memoryview)):
            return BYTES, bytes(data)
        return self._type, self._encode(data)


def decode(content_type: str | None, body: bytes) -> Any:
    """Return the payload of bytes, by their content type, whatever this program sends.

    Text is a string; what has another type, or none, remains bytes; no bytes without a type are
    None.

    Raises:
        ValueError: They are not what the content type says.
        ImportError: It is MessagePack, and msgspec is not installed.
    """
    if content_type is None:
        return body or None
    kind, _, parameters = content_type.partition(";")
    kind = kind.strip().lower()
    try:
        if kind == JSON or kind.endswith("+json"):
            return json.loads(body)
        if kind == MSGPACK:
            return _msgpack().decode(body)
        if kind.startswith("text/"):
            _, _, charset = parameters.partition("charset=")
            return body.decode(charset.strip(' "') or "utf-8")
    except ImportError:
        raise
    except Exception as error:  # RecursionError and LookupError among them
        raise ValueError(f"the data is no {kind}: {error}") from error
    return body
