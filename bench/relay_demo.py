"""`make relay`: three processes, one broker that is killed on the way, 100,000 events across.

    shop ── order.* ──> workshop ── receipt.* ──> ledger

Each of them has a bus and a relay. The shop publishes orders of 20 customers; for each the workshop
publishes a receipt; the ledger takes those. Once a quarter of all receipts is there, this program
kills the broker with SIGKILL, and whichever process first misses it starts it again. At the end
every order must have been handled and every receipt have arrived, in order per customer, and the
counts of the relays must agree. The exit code says whether they do.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from queue import Queue
from time import monotonic
from typing import Any

from brummerbus import BackpressurePolicy, Event, EventBus
from brummerbus.relay import Relay

Message = dict[str, Any]

EVENTS = 100_000
CUSTOMERS = 20
PATIENCE = 300.0
"""Seconds after which a role that sees nothing new gives up."""


# ---- the three processes -------------------------------------------------------------------------


class Arrivals:
    """What has come, per customer: numbers that begin with 0 and must not be missed."""

    def __init__(self, expected: int) -> None:
        self.expected = expected
        self.counts: Counter[int] = Counter()
        self.out_of_order = 0
        self.complete = threading.Event()
        self._lock = threading.Lock()

    def note(self, data: dict[str, int]) -> None:
        """Count one; handlers of one customer run one at a time, those of others beside it."""
        customer, number = data["customer"], data["number"]
        with self._lock:
            self.out_of_order += number != self.counts[customer]
            self.counts[customer] += 1
            total = self.counts.total()
        if total == self.expected:
            self.complete.set()
        if total % 1000 == 0:
            print(json.dumps({"arrived": total}), flush=True)


def key(event: Event) -> object:
    """Return whose it is."""
    return event.data["customer"]


def shop(bus: EventBus, arrivals: Arrivals) -> None:
    """Publish the orders."""
    for number in range(arrivals.expected):
        customer = number % CUSTOMERS
        bus.publish(Event("order.new", {"customer": customer, "number": number // CUSTOMERS}))
    arrivals.complete.set()


def workshop(bus: EventBus, arrivals: Arrivals) -> None:
    """Answer each order with a receipt."""

    def make(event: Event) -> None:
        arrivals.note(event.data)
        bus.publish(Event("receipt.sent", event.data))

    bus.subscribe("order.*", make, key=key)


def ledger(bus: EventBus, arrivals: Arrivals) -> None:
    """Take the receipts."""
    bus.subscribe("receipt.*", lambda event: arrivals.note(event.data), key=key)


ROLES: dict[str, tuple[Callable[[EventBus, Arrivals], None], list[str], list[str]]] = {
    "ledger": (ledger, [], ["receipt.*"]),
    "workshop": (workshop, ["receipt.*"], ["order.*"]),
    "shop": (shop, ["order.*"], []),
}
"""What each process does, sends and receives. Those who receive begin first."""


def play(role: str, expected: int) -> None:
    """Run one of the three processes; its last line has what it counted."""
    work, send, receive = ROLES[role]
    arrivals = Arrivals(expected)
    block = BackpressurePolicy.BLOCK
    with EventBus(name=role, policy=block) as bus:
        if receive:  # handlers first: what comes before them would find none
            work(bus, arrivals)
        with Relay(bus, None, send=send, receive=receive, namespace="demo") as relay:
            print(json.dumps({"ready": True}), flush=True)
            if not receive:
                work(bus, arrivals)
            finished = arrivals.complete.wait(PATIENCE)
            bus.flush()
            relay.stop(timeout=PATIENCE)
            counted = relay.stats().as_dict()
    counted |= {"finished": finished, "out_of_order": arrivals.out_of_order}
    print(json.dumps({"counted": counted, "handled": arrivals.counts.total()}), flush=True)


# ---- the program that watches them ---------------------------------------------------------------


class Role:
    """One of the processes; its lines go to a queue that all of them share."""

    def __init__(self, name: str, expected: int, heard: "Queue[tuple[str, Message]]") -> None:
        self.name = name
        command = [sys.executable, "-m", "bench.relay_demo", "--role", name]
        command += ["--events", str(2 * expected)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.thread = threading.Thread(target=self._read, args=(heard,))
        self.thread.start()

    def _read(self, heard: "Queue[tuple[str, Message]]") -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            heard.put((self.name, json.loads(line)))
        heard.put((self.name, {"ended": self.process.wait()}))


class Watch:
    """Starts the three one after another, hears what they say, and kills the broker on the way."""

    def __init__(self, folder: Path, expected: int) -> None:
        self.folder = folder
        self.expected = expected
        self.counted: dict[str, Message] = {}
        self.seconds = 0.0
        self._heard: Queue[tuple[str, Message]] = Queue()
        self._waiting = list(ROLES)
        self._roles: list[Role] = []
        self._began = monotonic()
        self._killed = False
        self._ended = 0

    def run(self) -> None:
        """Run them to their end."""
        self._start_next()
        while self._ended < len(ROLES):
            self._hear(*self._heard.get(timeout=PATIENCE + 60))
        self.seconds = monotonic() - self._began
        for role in self._roles:
            role.thread.join()

    def _start_next(self) -> None:
        if self._waiting:
            self._roles.append(Role(self._waiting.pop(0), self.expected, self._heard))
        else:
            self._began = monotonic()

    def _hear(self, name: str, message: Message) -> None:
        if "ready" in message:
            print(f"{name} is ready")
            self._start_next()
        elif "arrived" in message and name == "ledger":
            self._arrived(message["arrived"])
        elif "counted" in message:
            self.counted[name] = message
        elif "ended" in message:
            self._ended += 1
            if message["ended"]:
                print(f"{name} ended with exit code {message['ended']}")

    def _arrived(self, receipts: int) -> None:
        now = monotonic() - self._began
        if receipts % (self.expected // 10) == 0:
            print(f"{now:5.1f} s: {receipts:,} receipts", flush=True)
        if receipts >= self.expected // 4 and not self._killed:
            self._killed = True
            kill_broker(self.folder)
            print(f"{now:5.1f} s: the broker was killed with SIGKILL", flush=True)


def kill_broker(folder: Path) -> None:
    """Kill it without a warning."""
    os.kill(int((folder / "brummerbus" / "server.pid").read_text()), signal.SIGKILL)


def problems(counted: dict[str, Message], expected: int) -> list[str]:
    """Return what does not add up."""
    found = [f"{name} has counted nothing" for name in ROLES if name not in counted]
    for name, message in counted.items():
        stats, handled = message["counted"], message["handled"]
        if not stats["finished"]:
            found.append(f"{name} waited until its time was over")
        if ROLES[name][1] and not stats["spooled"] == stats["acked"] == expected:
            found.append(f"{name}: {expected:,} published, {stats['acked']:,} acknowledged")
        if ROLES[name][2]:
            if handled != expected:
                found.append(f"{name}: {expected:,} sent to it, {handled:,} handled")
            if stats["out_of_order"]:
                found.append(f"{name}: {stats['out_of_order']:,} out of order")
    return found


def main() -> int:
    """Play a role, or watch all of them; return 0 if everything adds up."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=EVENTS, help="across the broker, in all")
    parser.add_argument("--role", choices=ROLES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    expected = arguments.events // 2
    if arguments.role:
        play(arguments.role, expected)
        return 0
    with tempfile.TemporaryDirectory() as name:
        # A machine of their own: a broker that no other program of this user takes part in.
        os.environ |= {"XDG_RUNTIME_DIR": name, "XDG_DATA_HOME": name}
        watch = Watch(Path(name), expected)
        watch.run()
    counted, seconds = watch.counted, watch.seconds
    wrong = problems(counted, expected)
    print(f"\n{2 * expected:,} events in {seconds:.1f} s, {2 * expected / seconds:,.0f} per second")
    print(
        f"\n{'':10}{'spooled':>9}{'acked':>9}{'resent':>9}{'received':>9}{'twice':>9}{'handled':>9}"
    )
    for role, message in counted.items():
        stats = message["counted"]
        figures = [stats[key] for key in ("spooled", "acked", "resent", "received", "duplicates")]
        print(f"{role:10}" + "".join(f"{n:9,}" for n in [*figures, message["handled"]]))
    print()
    for problem in wrong:
        print(f"  {problem}")
    print("The counts do not agree." if wrong else "All counts agree.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
