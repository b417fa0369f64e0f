"""The relay's numbers that are no arguments."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Tuning:
    """Limits and times, in seconds; one set for all relays, another one in tests."""

    window: int = 256
    """Events that were sent and not acknowledged, at most."""
    window_bytes: int = 4 * 1024 * 1024
    """Their size, at most; one event may be larger."""
    spool_bytes: int = 64 * 1024 * 1024
    """The size of what is spooled, at most."""
    ack_timeout: float = 5.0
    """The connection is given up when the oldest event was not acknowledged for that long."""
    check_interval: float = 2.0
    """Between two round trips that only test the connection."""
    retry: float = 0.25
    """Between two attempts to connect."""
    refused: float = 1.0
    """Before what the broker refused is tried again."""
    ack_wait: float = 10.0
    """After which the broker delivers again what was not acknowledged."""
    fetch_wait: float = 5.0
    """That one request for events lasts while there are none."""
    redelivery: float = 1.0
    """Before an event whose handler failed is delivered again; doubled each time."""
    max_deliveries: int = 5
    """After which an event becomes a dead letter."""
    remembered: int = 20_000
    """Events received, by which duplicates are recognised."""
    max_hops: int = 16
    """How often an event, and those derived from it, pass from bus to bus."""
    lag_interval: float = 1.0
    """Between two questions how much waits at the broker."""


TUNING = Tuning()
