"""More than one process, and more than one machine: buses that are connected by a message broker.

    from brummerbus.relay import Relay

    with EventBus() as bus, Relay(bus, send=["process.*"], receive=["build.*"]):
        bus.publish(Event("process.started"))

It needs `pip install 'brummerbus[relay]'`. docs/relay.md says what is promised, and what is not.
"""

from brummerbus.relay._arrived import RelayedEvent
from brummerbus.relay._relay import Relay
from brummerbus.relay._report import RelayError
from brummerbus.relay._stats import RelayStats

__all__ = ["Relay", "RelayError", "RelayStats", "RelayedEvent"]

RelayError.__module__ = "brummerbus.relay"
