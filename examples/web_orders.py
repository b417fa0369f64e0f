"""A web application that emits domain events: the request ends, the work goes on.

    python examples/web_orders.py              # serves itself a few requests, and ends
    python examples/web_orders.py --port 8000  # serves until Ctrl-C
    curl -d '{"item": "tea", "amount": 2}' http://127.0.0.1:8000/orders

`application` is a WSGI application: `gunicorn --chdir examples --preload web_orders:application`.

What it shows: events named after what happened in the domain; subscribers that do not know of each
other; a mail that is retried if it fails; a request that is answered with 503 when the queue is
full; figures at /health; everything that was accepted is handled before the server ends.
"""

import argparse
import itertools
import json
import signal
import threading
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

from brummerbus import EventBus, QueueFull


@dataclass(frozen=True)
class OrderEvent:
    """What all order events have in common. A subscriber to it receives all of them."""

    number: int


@dataclass(frozen=True)
class OrderPlaced(OrderEvent):
    """A customer has ordered."""

    item: str
    amount: int


@dataclass(frozen=True)
class OrderRejected(OrderEvent):
    """An order made no sense."""

    priority = 3  # a class attribute, not a field: it overtakes the others
    reason: str


class Shop:
    """The application: it publishes, and knows none of those who listen."""

    def __init__(self, bus: EventBus) -> None:
        self._bus = bus
        self._numbers = itertools.count(1)

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., object]
    ) -> Iterable[bytes]:
        """Answer a request."""
        status, answer = self._answer(environ)
        body = json.dumps(answer).encode()
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        start_response(status, headers)
        return [body]

    def _answer(self, environ: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        if environ["PATH_INFO"] == "/health":
            stats = self._bus.stats()
            return "200 OK", {"queued": stats.queued, "failed": stats.failed}
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        try:
            return self._place(json.loads(body))
        except QueueFull:
            return "503 Service Unavailable", {"error": "busy"}

    def _place(self, order: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        number = next(self._numbers)
        if order["amount"] < 1:
            self._bus.publish(OrderRejected(number, "nothing ordered"), timeout=0.05)
            return "422 Unprocessable Content", {"order": number}
        self._bus.publish(OrderPlaced(number, order["item"], order["amount"]), timeout=0.05)
        return "202 Accepted", {"order": number}


class Listeners:
    """Three that listen; each could be in a module of its own."""

    def __init__(self, bus: EventBus) -> None:
        self.mails: list[str] = []
        self.stock: Counter[str] = Counter()
        self.audit: list[str] = []
        # One call at a time of each, so they need no lock; the three run beside each other.
        bus.subscribe(OrderPlaced, self.confirm, max_concurrency=1, retries=3)
        bus.subscribe(OrderPlaced, self.reserve, max_concurrency=1)
        bus.subscribe(OrderEvent, self.record, max_concurrency=1)

    def confirm(self, order: OrderPlaced) -> None:
        """Send a mail."""
        self.mails.append(f"order {order.number} is confirmed")

    def reserve(self, order: OrderPlaced) -> None:
        """Reserve what was ordered."""
        self.stock[order.item] += order.amount

    def record(self, event: OrderEvent) -> None:
        """Keep each event, of any class."""
        self.audit.append(f"{event.number} {type(event).__name__}")


bus = EventBus(name="shop", queue_size=1_000, policy="reject")
listeners = Listeners(bus)
application = Shop(bus)


class Quiet(WSGIRequestHandler):
    """A request handler that logs nothing."""

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


def request(url: str, order: object = None) -> str:
    """Make a request, and return status and answer."""
    data = None if order is None else json.dumps(order).encode()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # it is this machine
    try:
        with opener.open(url, data, timeout=10) as answer:
            return f"{answer.status} {answer.read().decode()}"
    except urllib.error.HTTPError as error:
        with error:
            return f"{error.code} {error.read().decode()}"


@contextmanager
def serving(port: int) -> Iterator[str]:
    """Serve in a thread of its own; gives the address."""
    with make_server("127.0.0.1", port, application, handler_class=Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def demonstrate() -> None:
    """Serve a few requests to itself."""
    with serving(0) as address:
        for order in ({"item": "tea", "amount": 2}, {"item": "cup", "amount": 0}):
            print(request(f"{address}/orders", order))
        for _ in range(10):
            request(f"{address}/orders", {"item": "tea", "amount": 1})
        bus.flush()
        print(request(f"{address}/health"))


def serve(port: int) -> None:
    """Serve until Ctrl-C or SIGTERM, whose default would end the process without draining."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with serving(port) as address:
        try:
            print(f"serving at {address}", flush=True)
            threading.Event().wait()
        except KeyboardInterrupt:
            print("stopping")


def main(arguments: list[str] | None = None) -> None:
    """Serve, then say what was handled."""
    parser = argparse.ArgumentParser(description="A web application that emits domain events.")
    parser.add_argument("--port", type=int, help="serve until Ctrl-C (default: demonstrate)")
    options = parser.parse_args(arguments)
    with bus:  # what was accepted is handled before the block ends
        if options.port is None:
            demonstrate()
        else:
            serve(options.port)
    print(f"mails: {len(listeners.mails)}, teas reserved: {listeners.stock['tea']}")
    rejected = sum(entry.endswith("OrderRejected") for entry in listeners.audit)
    print(f"events recorded: {len(listeners.audit)}, rejected orders: {rejected}")


if __name__ == "__main__":
    main()
