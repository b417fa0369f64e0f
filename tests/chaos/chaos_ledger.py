"""What happened in a round, recorded where it happened, and a check that it is legal."""

from collections import Counter
from dataclasses import dataclass
from enum import Enum, auto
from fnmatch import fnmatchcase
from itertools import count
from typing import Any

from chaos_plan import Key

from brummerbus import BusStats, DropReason, Event

_FIELDS = ("published", "processed", "failed", "dropped", "queued", "running")
_GROWING = ("published", "dropped", "processed", "failed", "unrouted", "retried")


class Outcome(Enum):
    """The result of a publication."""

    ACCEPTED = auto()
    REFUSED = auto()
    CLOSED = auto()
    PART = auto()
    """One of several events of one call, not all of which were accepted."""
    RAISED = auto()
    """A handler that ran in place raised, or a hook; the event was accepted or refused."""


@dataclass
class Sent:
    """An event that was published, between two ticks of the ledger's clock.

    Without the event itself, so that the bus has the last reference to it.
    """

    kind: type
    name: str | None
    key: Key
    began: int
    ended: int
    outcome: Outcome
    tells: bool = False
    """Whether it has a completion hook."""


@dataclass
class Claim:
    """A subscription's life in ticks: it existed from `made` to `gone`."""

    event_type: str | type
    once: bool = False
    made: int | None = None
    leaving: int | None = None
    gone: int | None = None

    def wants(self, sent: Sent) -> bool:
        """Return whether the event is of the type."""
        if isinstance(self.event_type, type):
            return issubclass(sent.kind, self.event_type)
        return sent.name is not None and fnmatchcase(sent.name, self.event_type)

    def must_receive(self, sent: Sent) -> bool:
        """Return whether it existed during the whole publication."""
        there = self.made is not None and self.made < sent.began and not self.once
        return there and (self.leaving is None or sent.ended < self.leaving)

    def must_not_receive(self, sent: Sent) -> bool:
        """Return whether it had ended before the publication."""
        return self.gone is not None and self.gone < sent.began


class Ledger:
    """The records of one round.

    Each record is one atomic operation, so that no lock imposes an order on the threads.
    """

    def __init__(self) -> None:
        self.tick = count().__next__
        self.sent: list[Sent] = []
        self.claims: dict[int, Claim] = {}
        self.handled: list[tuple[Key, int]] = []
        self.failed: list[tuple[Key, int]] = []
        self.went_on: list[tuple[Key, int]] = []  # failures that were propagated to the publisher
        self.retried: list[tuple[Key, int]] = []
        self.done: list[tuple[Key, int, int]] = []  # handlers that have run, and drops
        self.told_drops: list[tuple[Key, int, DropReason]] = []
        self.told_errors: list[tuple[Key, int]] = []
        self.operations = 0
        self.snapshots = 0

    def note(self, event: Any, began: int, outcome: Outcome, *, tells: bool = False) -> None:
        """Record the result of a publication."""
        name = event.type if isinstance(event, Event) else None
        self.sent.append(Sent(type(event), name, event.data, began, self.tick(), outcome, tells))

    def check(self, stats: BusStats, *, reported: bool, exact: bool) -> None:
        """Check the whole round, after its end.

        Args:
            stats: The final statistics.
            reported: The bus had hooks.
            exact: They were called for every drop and failure.
        """
        check_counts(stats)
        assert (stats.queued, stats.running) == (0, 0), "something is left"
        assert stats.processed == len(self.handled), (stats.processed, len(self.handled))
        assert stats.failed == len(self.failed), (stats.failed, len(self.failed))
        assert stats.retried == len(self.retried), (stats.retried, len(self.retried))
        drops = Counter(reason for _, _, reason in self.told_drops)
        for reason, levels in stats.dropped_by.items():
            heard, counted = drops[reason], sum(levels.values())
            in_order = heard == counted if reported and exact else heard <= counted
            assert in_order, f"{counted} deliveries were {reason}, on_drop got {heard}"
        failures = Counter(self.failed) - Counter(self.went_on)
        heard_of = Counter(self.told_errors)
        in_order = heard_of == failures if reported and exact else heard_of <= failures
        assert in_order, f"on_error got {heard_of - failures}, but not {failures - heard_of}"
        self._check_deliveries(exact=reported and exact)
        self._check_outcomes()

    def _check_outcomes(self) -> None:
        """Check that each event with a hook has one outcome, with what became of its deliveries."""
        times = Counter(key for key, _, _ in self.done)
        ran = Counter(key for key, _ in self.handled)
        for sent in self.sent:
            if not sent.tells or sent.outcome is Outcome.CLOSED:
                assert times[sent.key] == 0, f"an outcome of {sent}"
            elif sent.outcome in (Outcome.ACCEPTED, Outcome.REFUSED):
                assert times[sent.key] == 1, f"{times[sent.key]} outcomes of {sent}"
            assert times[sent.key] <= 1, f"{times[sent.key]} outcomes of {sent}"
        for key, handlers, _ in self.done:
            assert ran[key] == handlers, f"{ran[key]} handlers have run for {key}, not {handlers}"

    def _check_deliveries(self, *, exact: bool) -> None:
        made = Counter(self.handled)
        made.update((key, number) for key, number, _ in self.told_drops)
        twice = [delivery for delivery, times in made.items() if times > 1]
        assert not twice, f"handled or dropped more than once: {twice[:5]}"
        for number in (number for number, claim in self.claims.items() if claim.once):
            events = [key for key, n in self.handled if n == number]
            events += [
                key
                for key, n, reason in self.told_drops
                if n == number and reason is not DropReason.REFUSED
            ]
            assert len(events) <= 1, f"{number} takes one event, and had {events}"
        refused = {(key, n) for key, n, reason in self.told_drops if reason is DropReason.REFUSED}
        # A hook that raises about an expired delivery ends the publication that found it.
        expired = any(reason is DropReason.EXPIRED for _, _, reason in self.told_drops)
        partial = (Outcome.PART, Outcome.RAISED) if expired else (Outcome.PART,)
        for sent in self.sent:
            for number, claim in self.claims.items():
                delivery = (sent.key, number)
                times = made[delivery]
                if sent.outcome is Outcome.CLOSED or claim.must_not_receive(sent):
                    assert times == 0, f"{delivery} was delivered wrongly: {sent}, {claim}"
                elif not claim.wants(sent):
                    assert times == 0, f"{delivery} is of another type: {sent}, {claim}"
                elif exact and sent.outcome not in partial and claim.must_receive(sent):
                    assert times == 1, f"{delivery} is lost: {sent}, {claim}"
                if times and exact and sent.outcome not in (Outcome.PART, Outcome.RAISED):
                    was_refused = sent.outcome is Outcome.REFUSED
                    assert (delivery in refused) == was_refused, f"{delivery}: {sent}"


class SnapshotChecker:
    """Takes snapshots of a bus repeatedly, and checks that no count ever decreases."""

    def __init__(self) -> None:
        self._last = dict.fromkeys(_GROWING, 0)

    def check(self, stats: BusStats) -> None:
        """Check one snapshot."""
        check_counts(stats)
        now = {field: getattr(stats, field) for field in _GROWING}
        for field, value in now.items():
            assert value >= self._last[field], f"{field} fell from {self._last[field]} to {value}"
        self._last = now


def check_counts(stats: BusStats) -> None:
    """Check that the counts agree: in total, by level, by type, and with each other."""
    for part in (stats, *stats.by_level.values(), *stats.by_type.values()):
        assert part.published == part.processed + part.dropped + part.queued + part.running, part
        assert part.failed <= part.processed, part
    for field in _FIELDS:
        total = getattr(stats, field)
        for parts in (stats.by_level, stats.by_type):
            assert sum(getattr(counts, field) for counts in parts.values()) == total, field
    assert sum(sum(levels.values()) for levels in stats.dropped_by.values()) == stats.dropped
    assert sum(stats.queue_depth.values()) == stats.queued
