"""A gRPC server on a `BusExecutor`, and twelve calls at once; run by test_grpc.py as a program.

Arguments: the policy, and whether `maximum_concurrent_rpcs` is set (1 or 0). Prints a JSON object.
"""

import json
import os
import sys
import threading
from collections import Counter
from concurrent import futures
from time import monotonic
from typing import Any

import grpc

from brummerbus.executor import BusExecutor

CALLS = 12
METHOD = "/proof/Call"
SOON = 1.0
"""Seconds in which a call that is refused is answered."""


class Service(grpc.GenericRpcHandler):  # type: ignore[misc]
    """One method, which waits until it may return."""

    def __init__(self) -> None:
        self.go_on = threading.Event()

    def service(self, _details: Any) -> Any:
        """Return the handler of any method."""
        return grpc.unary_unary_rpc_method_handler(self._call)

    def _call(self, request: bytes, _context: Any) -> bytes:
        self.go_on.wait(30)
        return request


def code_of(call: Any, seconds: float) -> str:
    """Return the status of a call, or that it has none after so long."""
    try:
        call.result(timeout=seconds)
    except grpc.FutureTimeoutError:
        return "no answer"
    except grpc.RpcError as error:
        return str(error.code().name)
    return "OK"


def main(policy: str, limited: str) -> None:
    """Serve, call, and say how the calls ended."""
    executor = BusExecutor(2, queue_size=2, policy=policy)
    limit = executor.capacity if limited == "1" else None
    server = grpc.server(executor, maximum_concurrent_rpcs=limit)
    service = Service()
    server.add_generic_rpc_handlers((service,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    channel = grpc.insecure_channel(f"127.0.0.1:{port}")
    grpc.channel_ready_future(channel).result(timeout=10)
    method = channel.unary_unary(METHOD)
    began = monotonic()
    calls = [method.future(b"call", timeout=20) for _ in range(CALLS)]
    ended = futures.ThreadPoolExecutor(CALLS).map(
        lambda call: code_of(call, began + SOON - monotonic()), calls
    )
    at_once = Counter(ended)
    service.go_on.set()
    after = code_of(method.future(b"after", timeout=5), 10)
    later = Counter(code_of(call, 1) for call in calls)
    print(json.dumps({"within 1 s": at_once, "a further call": after, "later": later}), flush=True)
    os._exit(0)  # a server that was killed by `submit` does not end


if __name__ == "__main__":
    main(*sys.argv[1:])
