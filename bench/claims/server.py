"""The handlers' HTTP server: a separate process, so that it has its own interpreter.

Prints its port, and ends when its standard input does: also if its parent was killed.
"""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from bench.claims.limits import raise_descriptors

ROOT = Path(__file__).resolve().parents[2]
BODY = b'{"state": "ready", "tools": ["logs", "status", "restart"]}'


class Answer(BaseHTTPRequestHandler):
    """Answers after a delay; keeps the connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body are sent together
    think = 0.0

    def do_GET(self) -> None:
        """Answer."""
        time.sleep(self.think)
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, *_: object) -> None:
        """Do not log: the terminal is for the results."""


class Server(ThreadingHTTPServer):
    """With a backlog for hundreds of threads that connect at once."""

    request_queue_size = 4096

    def handle_error(self, *_: object) -> None:
        """Ignore clients that close the connection, as they do at their end."""


@contextmanager
def serving(think: float) -> Iterator[int]:
    """Run a server; its port."""
    command = [sys.executable, "-m", "bench.claims.server", str(think)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, cwd=ROOT) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield int(process.stdout.readline())
        process.stdin.close()


def main() -> None:
    """Serve until standard input ends."""
    raise_descriptors()
    Answer.think = float(sys.argv[1])
    server = Server(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
