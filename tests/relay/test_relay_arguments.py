"""What `Relay` accepts, what it says of what it does not, and what it needs installed."""

import threading
from typing import Any

import pytest

from brummerbus import BackpressurePolicy, BusClosed, EventBus
from brummerbus.relay import Relay
from helpers.buses import BusFactory
from helpers.processes import modules_after, run_python


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"send": "process.*"}, TypeError, "send must be a list of event types, got 'process.*'"),
        ({"receive": [int]}, TypeError, "receive must have strings only"),
        ({"send": [""]}, ValueError, "send must have non-empty strings"),
        ({"send": 3}, TypeError, "send must be a list"),
        ({"group": "a b"}, ValueError, "group must be 1 to 64 letters"),
        ({"group": 1}, TypeError, "group must be a string or None"),
        ({"namespace": "a..b"}, ValueError, "namespace must be letters"),
        ({"namespace": None}, TypeError, "namespace must be a string"),
        ({"codec": "pickle"}, ValueError, "codec must be 'json' or 'msgpack', got 'pickle'"),
        ({"spool": 0}, ValueError, "spool must be an int from 1"),
        ({"spool_policy": "caller_runs"}, ValueError, "spool_policy must be one of"),
        ({"on_error": 1}, TypeError, "on_error must be callable"),
        ({"url": "http://user:secret@x"}, ValueError, "url must begin with one of nats://"),
        ({"url": 1}, TypeError, "url must be a string or None"),
        ({"url": "nats://"}, ValueError, "url must be nats://host:port.*got 'nats://'"),
        ({"url": "nats://a,nats://b:x"}, ValueError, "url must be nats://host:port"),
        ({"url": "nats://user:secret@b:x"}, ValueError, "url must be nats://host:port"),
        ({"connect": 3}, TypeError, "connect must be a dict of arguments.*got <int>"),
    ],
)
def test_a_wrong_argument_is_named(
    factory: BusFactory, arguments: dict[str, Any], error: type[Exception], text: str
) -> None:
    before = threading.active_count()
    with pytest.raises(error, match=text) as raised:
        Relay(factory.bus(), **{"url": "nats://127.0.0.1:1", **arguments})
    assert "secret" not in str(raised.value)
    assert threading.active_count() <= before + 1


def test_a_relay_needs_a_bus_that_is_open() -> None:
    with pytest.raises(TypeError, match="bus must be an EventBus"):
        Relay(None)  # type: ignore[arg-type]
    bus = EventBus(workers=1)
    bus.stop()
    with pytest.raises(BusClosed):
        Relay(bus, "nats://127.0.0.1:1")


def test_policies_are_accepted_by_name_and_as_such(factory: BusFactory) -> None:
    for policy in (BackpressurePolicy.REJECT, "REJECT", "reject"):
        bus = factory.bus(shutdown_timeout=0.0)
        Relay(bus, "nats://127.0.0.1:1", spool_policy=policy).stop()


@pytest.mark.parametrize(
    ("url", "client", "extra"),
    [("nats://127.0.0.1:1", "nats", "relay"), ("redis://127.0.0.1:1", "redis", "redis")],
)
def test_without_the_client_the_message_names_the_extra(url: str, client: str, extra: str) -> None:
    without = f"import sys; sys.modules['{client}'] = None"
    end = run_python(
        f"from brummerbus.relay import Relay; Relay(EventBus(), {url!r})", first=without
    )
    assert end.code == 1
    assert "ImportError" in end.err
    assert f"pip install 'brummerbus[{extra}]'" in end.err


def test_importing_the_relay_imports_no_client() -> None:
    loaded = modules_after("import brummerbus.relay")
    assert loaded.isdisjoint({"nats", "redis", "msgspec", "opentelemetry"})
