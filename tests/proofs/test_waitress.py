"""waitress with a bus as its dispatcher: a WSGI application, and clients over sockets."""

import http.client
import io
import re
import shutil
import socket
import subprocess
import threading
from collections import Counter

import pytest
from waitress_server import HANG, Serve, Server, poll, serve

from brummerbus import DropReason

__all__ = ["serve"]


def test_requests_run_in_the_workers_of_the_bus(serve: Serve) -> None:
    server = serve(workers=2)
    assert server.get("/a").result() == (200, b"/a")
    connection = server.connect()
    for number in range(5):  # on one connection
        connection.request("POST", "/b", body=str(number))
        assert connection.getresponse().read() == f"/b{number}".encode()
    connection.close()
    poll(lambda: server.bus.stats().processed == 6)
    assert server.bus.stats().by_type["wsgi.request"].published == 6
    assert all("waitress" not in name for name in server.app.threads)


def test_at_the_bound_a_request_is_answered_with_503_at_once(serve: Serve) -> None:
    server = serve(queue_size=2)
    held = server.hold()
    queued = [server.queued(f"/{number}") for number in range(2)]
    busy = server.get("/more")
    assert busy.result()[0] == 503
    assert (busy.header("Retry-After"), busy.header("Connection")) == ("1", "close")
    server.app.go_on.set()
    assert [answer.status for answer in (*held, *queued)] == [200] * 3
    assert "/more" not in server.app.began
    assert server.get("/again").status == 200
    assert sum(server.bus.stats().dropped_by[DropReason.REFUSED].values()) == 1


def test_with_drop_oldest_the_request_that_waited_longest_is_answered_with_503(
    serve: Serve,
) -> None:
    server = serve(queue_size=2, policy="drop_oldest")
    held = server.hold()
    queued = [server.queued(f"/{number}") for number in range(2)]
    newest = server.get("/newest")
    assert queued[0].status == 503
    server.app.go_on.set()
    assert [answer.status for answer in (*held, queued[1], newest)] == [200] * 3
    assert server.app.began == ["/slow/0", "/1", "/newest"]


def test_the_path_decides_the_priority(serve: Serve) -> None:
    server = serve(priority=lambda path: 3 if path.startswith("/pay") else 1)
    held = server.hold()
    answers = [server.queued(path) for path in ("/poll", "/pay/1", "/poll", "/pay/2")]
    server.app.go_on.set()
    assert [answer.status for answer in (*held, *answers)] == [200] * 5
    assert server.app.began == ["/slow/0", "/pay/1", "/pay/2", "/poll", "/poll"]


def test_health_is_answered_while_every_ordinary_worker_is_stuck(serve: Serve) -> None:
    server = serve(
        workers=4, reserved_workers=1, priority=lambda path: 3 if path == "/health" else 2
    )
    held = server.hold(3)
    waiting = server.queued("/other")
    for _ in range(5):
        assert server.get("/health").result() == (200, b"/health")
    assert "/other" not in server.app.began
    server.app.go_on.set()
    assert [answer.status for answer in (*held, waiting)] == [200] * 4


def test_a_request_that_waited_too_long_is_not_run(serve: Serve) -> None:
    server = serve(expires=0.005)
    held = server.hold()
    late = server.queued("/late")
    threading.Event().wait(0.02)
    server.app.go_on.set()
    assert held[0].status == 200
    assert late.status == 503
    assert "/late" not in server.app.began


def test_an_application_that_raises_is_answered_with_500(serve: Serve) -> None:
    server = serve()
    assert server.get("/broken").status == 500
    assert server.get("/fine").status == 200
    assert server.bus.stats().failed == 0


# ---- connections -----------------------------------------------------------------------------


def exchange(server: Server, sent: bytes) -> socket.socket:
    """Send bytes on a new connection."""
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=HANG)
    connection.sendall(sent)
    return connection


def answers_on(connection: socket.socket) -> list[tuple[int, bytes]]:
    """Read answers until the server closes the connection."""
    received = b""
    while chunk := connection.recv(65536):
        received += chunk
    connection.close()
    stream, found = io.BytesIO(received), []
    while status := stream.readline():
        headers = http.client.parse_headers(stream)
        found.append((int(status.split()[1]), stream.read(int(headers["Content-Length"]))))
    return found


def requests(*paths: str) -> bytes:
    """Return requests of which the last closes the connection."""
    all_of_them = [f"GET {path} HTTP/1.1\r\nHost: x\r\n" for path in paths]
    return "\r\n".join([*all_of_them, ""]).encode()[:-2] + b"Connection: close\r\n\r\n"


def test_requests_on_one_connection_are_answered_in_order(serve: Serve) -> None:
    server = serve(workers=3)
    found = answers_on(exchange(server, requests("/1", "/large", "/2", "/3")))
    assert [status for status, _ in found] == [200] * 4
    assert [body[:6] for _, body in found] == [b"/1", b"/large", b"/2", b"/3"]


def test_a_refused_connection_is_not_kept_alive_though_the_client_asks_for_it(
    serve: Serve,
) -> None:
    server = serve(queue_size=1)
    held, queued = server.hold(), server.queued("/queued")
    sent = b"GET /busy HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"
    connection = exchange(server, sent)
    received = b""
    while chunk := connection.recv(65536):
        received += chunk
    connection.close()
    assert received.startswith(b"HTTP/1.0 503 Service Unavailable\r\n")
    assert (received.count(b"Connection: "), received.count(b"Connection: close")) == (1, 1)
    server.app.go_on.set()
    assert (held[0].status, queued.status) == (200, 200)


def test_what_follows_a_refused_request_on_its_connection_is_dropped(serve: Serve) -> None:
    server = serve(queue_size=1)
    held, queued = server.hold(), server.queued("/queued")
    found = answers_on(exchange(server, requests("/1", "/2", "/3")))
    assert [status for status, _ in found] == [503]
    server.app.go_on.set()
    assert (held[0].status, queued.status) == (200, 200)
    assert server.app.began == ["/slow/0", "/queued"]


def test_a_client_that_has_gone_holds_up_nothing(serve: Serve) -> None:
    server = serve(queue_size=2)
    held = server.hold()
    before = server.bus.depth
    gone = exchange(server, requests("/gone"))
    poll(lambda: server.bus.depth > before)
    gone.close()
    server.app.go_on.set()
    assert held[0].status == 200
    assert server.get("/after").status == 200


# ---- load ------------------------------------------------------------------------------------


def load(server: Server, clients: int, each: int) -> Counter[int]:
    """Request from many clients at once, each on its connection as long as that lasts."""
    counts: Counter[int] = Counter()
    errors: list[BaseException] = []

    def run(number: int) -> None:
        try:
            connection = server.connect()
            for n in range(each):
                connection.request("GET", f"/{number}/{n}")
                answer = connection.getresponse()
                body = answer.read()
                assert answer.status == 503 or body == f"/{number}/{n}".encode()
                counts[answer.status] += 1
            connection.close()
        except BaseException as error:  # noqa: BLE001, RUF100
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * HANG)
    assert errors == []
    return counts


def test_with_room_every_request_of_many_clients_is_answered(serve: Serve) -> None:
    server = serve(workers=4, queue_size=100)
    assert load(server, clients=30, each=50) == {200: 1500}
    assert server.bus.stats().published == 1500


@pytest.mark.parametrize("policy", ["reject", "drop_newest", "drop_oldest", "drop_lowest", "block"])
def test_without_room_each_request_is_answered_or_refused(serve: Serve, policy: str) -> None:
    """And each refusal is one drop of the bus."""
    server = serve(workers=1, queue_size=2, policy=policy)
    held = server.hold()
    answers = [server.get(f"/{number}") for number in range(20)]
    poll(lambda: server.bus.stats().dropped == 18)
    server.app.go_on.set()
    assert Counter(answer.status for answer in answers) == {200: 2, 503: 18}
    assert held[0].status == 200
    counts = load(server, clients=30, each=30)
    assert sum(counts.values()) == 900
    assert server.bus.flush(HANG)
    stats = server.bus.stats()
    assert stats.dropped == 18 + counts[503]
    assert stats.published == stats.processed + stats.dropped


@pytest.mark.skipif(not shutil.which("ab"), reason="ab is not installed (apache2-utils)")
@pytest.mark.parametrize("keep_alive", [["-k"], []], ids=["keep-alive", "new connections"])
def test_apache_bench_gets_an_answer_to_every_request(serve: Serve, keep_alive: list[str]) -> None:
    """200 or 503, no connection that is reset, and as many 503 as the bus has dropped."""
    server = serve(workers=2, queue_size=20)
    server.app.pause = 0.002
    url = f"http://127.0.0.1:{server.port}/"
    command = ["ab", "-q", "-r", *keep_alive, "-n", "2000", "-c", "100", url]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=2 * HANG)
    figures = dict(re.findall(r"(Connect|Receive|Exceptions|[\w-]+ \w+): +(\d+)", done.stdout))
    assert figures["Complete requests"] == "2000"
    failed = [figures.get(name, "0") for name in ("Connect", "Receive", "Exceptions")]
    assert failed == ["0", "0", "0"]
    assert int(figures["Non-2xx responses"]) == server.bus.stats().dropped > 0
