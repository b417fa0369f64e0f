"""Envelopes, beside the `cloudevents` package's own parser and serialiser."""

import base64
import json
import math
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from brummerbus import Event
from brummerbus.relay._codec import Codec, decode
from brummerbus.relay._envelope import BadEnvelope, Envelope, escape, pack, time_text, unpack

cloudevents = pytest.importorskip("cloudevents.core.v1.event")
http = pytest.importorskip("cloudevents.core.bindings.http")
json_format = pytest.importorskip("cloudevents.core.formats.json")

EXAMPLES = 50
SOURCE = "brummerbus://host/b%20us/1234"

TEXT = st.text(
    st.characters(
        exclude_categories=["Cs"], exclude_characters=map(chr, [*range(32), *range(127, 160)])
    ),
    min_size=1,
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=5,
)


def packed(event: Event, codec: str = "json", **extensions: Any) -> tuple[dict[str, str], bytes]:
    given = {"priority": 2, "partition_key": None, "traceparent": None, "hops": 1, **extensions}
    return pack(event, escape(SOURCE), Codec(codec), **given)


@pytest.mark.slow
@settings(deadline=None, max_examples=EXAMPLES)
@given(st.text(min_size=1), JSON, st.text())
@example("a b", [], '"%"')
def test_what_is_packed_is_unpacked(event_type: str, data: Any, source: str) -> None:
    event = Event(event_type.encode(errors="replace").decode(), data)
    event = event.replace(source=source.encode(errors="replace").decode())
    headers, body = packed(event, partition_key="k", traceparent="00-ab-cd-01", hops=3)
    assert all(33 <= ord(c) < 127 or c == " " for value in headers.values() for c in value)
    assert all(name == name.lower() for name in headers)
    envelope = unpack(headers, body)
    timestamp = envelope.timestamp
    assert timestamp == pytest.approx(event.timestamp, abs=1e-5)
    assert envelope == Envelope(
        id=str(event.id),
        source=SOURCE,
        type=event.type,
        data=data,
        timestamp=timestamp,
        subject=event.source,
        priority=2,
        partition_key="k",
        traceparent="00-ab-cd-01",
        hops=3,
    )


@settings(deadline=None, max_examples=EXAMPLES)
@given(TEXT, JSON, TEXT)
def test_cloudevents_reads_what_we_write(event_type: str, data: Any, source: str) -> None:
    event = Event(event_type, data, source=source)
    headers, body = packed(event, partition_key="k", hops=3)
    # Its package has no binding of NATS; that of HTTP differs by this header.
    content_type = headers.pop("ce-datacontenttype", None)
    if content_type:
        headers["content-type"] = content_type
    message = http.HTTPMessage(headers=headers, body=body)
    read = http.from_binary(message, json_format.JSONFormat(), cloudevents.CloudEvent)
    assert (read.get_type(), read.get_source(), read.get_subject()) == (event_type, SOURCE, source)
    assert (read.get_id(), read.get_specversion()) == (str(event.id), "1.0")
    assert read.get_time().timestamp() == pytest.approx(event.timestamp, abs=1e-5)
    assert read.get_extension("partitionkey") == "k"
    assert read.get_extension("hops") == "3"
    assert (read.get_data() or None) == (data or None)


def foreign(data: Any, **attributes: Any) -> Any:
    given = {
        "id": "7",
        "source": "/é x",
        "type": "a.b",
        "specversion": "1.0",
        "datacontenttype": "application/json",
        "subject": '"%20"',
        "priority": 3,
        **attributes,
    }
    return cloudevents.CloudEvent(attributes=given, data=data)


@pytest.mark.parametrize("mode", ["to_binary", "to_structured"])
def test_we_read_what_cloudevents_writes(mode: str) -> None:
    event = foreign({"x": [1, "ü"]})
    message = getattr(http, mode)(event, json_format.JSONFormat())
    envelope = unpack({k.lower(): v for k, v in message.headers.items()}, message.body)
    assert envelope.key == ("/é x", "7")
    assert (envelope.type, envelope.data) == ("a.b", {"x": [1, "ü"]})
    assert (envelope.subject, envelope.priority, envelope.hops) == ('"%20"', 3, 0)
    assert envelope.timestamp == pytest.approx(event.get_time().timestamp(), abs=1e-5)


def test_structured_mode_has_bytes_in_base64() -> None:
    event = foreign(b"\0\xff", datacontenttype="application/octet-stream")
    message = http.to_structured(event, json_format.JSONFormat())
    assert base64.b64encode(b"\0\xff") in message.body
    assert unpack({"content-type": "Application/CloudEvents+json"}, message.body).data == b"\0\xff"


GOOD = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/s", "ce-type": "t"}
STRUCTURED = {"content-type": "application/cloudevents+json"}


@pytest.mark.parametrize(
    ("headers", "body", "text"),
    [
        ({}, b"", "no specversion"),
        ({"ce-specversion": "1.0", "ce-id": "1", "ce-type": "t"}, b"", "no source"),
        ({**GOOD, "ce-specversion": "0.3"}, b"", "version '0.3'"),
        ({**GOOD, "ce-type": "%C0%A0"}, b"", "header"),
        ({**GOOD, "ce-datacontenttype": "application/json"}, b"{", "no application/json"),
        ({**GOOD, "ce-datacontenttype": "text/plain; charset=klingon"}, b"{", "text/plain"),
        (STRUCTURED, b"[", "is not JSON"),
        (STRUCTURED, b"[]", "no object"),
        (STRUCTURED, b'{"data_base64": "?"}', "data_base64"),
        (STRUCTURED, b"[" * 100_000, "JSON"),
    ],
)
def test_what_is_malformed_is_said(headers: dict[str, str], body: bytes, text: str) -> None:
    with pytest.raises(BadEnvelope, match=text):
        unpack(headers, body)


def test_quoted_headers_of_older_versions_are_understood() -> None:
    assert unpack({**GOOD, "ce-subject": r'"a \"b\""'}, b"").subject == 'a "b"'


def test_extensions_of_strangers_need_not_be_numbers() -> None:
    envelope = unpack({**GOOD, "ce-priority": "high", "ce-hops": "x", "ce-time": "now"}, b"x")
    assert (envelope.priority, envelope.hops, envelope.timestamp) == (None, 0, None)
    assert envelope.data == b"x"
    assert unpack({**GOOD, "ce-hops": "-5"}, b"").hops == 0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:00:01Z", 1.0),
        ("1970-01-01T01:00:01.5+01:00", 1.5),
        ("1970-01-01t00:00:01.123456789z", 1.123456789),
        ("1969-12-31 23:59:59Z", -1.0),
    ],
)
def test_times_in_all_forms_of_rfc_3339(text: str, seconds: float) -> None:
    assert unpack({**GOOD, "ce-time": text}, b"").timestamp == pytest.approx(seconds)


def test_our_times_are_in_utc() -> None:
    assert time_text(1.5) == "1970-01-01T00:00:01.500000Z"


def test_escaping_is_that_of_the_binding() -> None:
    assert escape("Euro € 😀") == "Euro%20%E2%82%AC%20%F0%9F%98%80"
    assert escape('a"b%c') == "a%22b%25c"
    assert escape("!#$&'()*+,-./:;<=>?@[\\]^_`{|}~") == "!#$&'()*+,-./:;<=>?@[\\]^_`{|}~"


# ---- payloads ------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=EXAMPLES)
@given(JSON)
def test_json_comes_back(data: Any) -> None:
    assert decode(*Codec("json").encode(data)) == data


@pytest.mark.parametrize("name", ["json", "msgpack"])
def test_bytes_and_nothing_travel_as_such(name: str) -> None:
    pytest.importorskip("msgspec")
    codec = Codec(name)
    assert decode(*codec.encode(bytearray(b"\0"))) == b"\0"
    assert codec.encode(None) == (None, b"")
    assert decode(None, b"") is None


@pytest.mark.parametrize("data", [math.nan, object(), {1j: 2}, {"x": {3}}])
def test_what_json_cannot_say_is_refused(data: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        Codec("json").encode(data)


def test_content_types_of_others() -> None:
    assert decode("application/problem+json; charset=utf-8", b"[1]") == [1]
    assert decode("text/plain; charset=latin-1", b"\xe9") == "é"
    assert decode("text/csv", "é".encode()) == "é"
    assert decode("image/png", b"x") == b"x"


def test_json_is_compact_utf_8() -> None:
    assert (
        Codec("json").encode({"é": [1, 2]})[1]
        == json.dumps({"é": [1, 2]}, separators=(",", ":"), ensure_ascii=False).encode()
    )


def test_messagepack_needs_msgspec(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "msgspec", None)
    with pytest.raises(ImportError, match="pip install msgspec"):
        Codec("msgpack")
