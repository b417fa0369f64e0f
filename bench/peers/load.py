"""A load generator of its own process: `python -m bench.peers.load port connections requests`.

Each connection is kept open, and sends its next request when it has the answer to the last one.
"""

import selectors
import socket
import sys

REQUEST = b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n"
ANSWER_ENDS = b"\r\n\r\nok"


def main() -> None:
    """Send that many requests, and end."""
    port, connections, requests = map(int, sys.argv[1:])
    selector = selectors.DefaultSelector()
    for _ in range(connections):
        connection = socket.create_connection(("127.0.0.1", port))
        connection.sendall(REQUEST)
        selector.register(connection, selectors.EVENT_READ, bytearray())
    left, sent = requests, connections
    while left:
        for key, _ in selector.select():
            connection, answer = key.fileobj, key.data
            assert isinstance(connection, socket.socket)
            part = connection.recv(65536)
            if not part:
                sys.exit("the server has closed a connection")
            answer += part
            if answer.endswith(ANSWER_ENDS):
                answer.clear()
                left -= 1
                if sent < requests:
                    sent += 1
                    connection.sendall(REQUEST)


if __name__ == "__main__":
    main()
