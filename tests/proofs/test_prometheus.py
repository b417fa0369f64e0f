"""Prometheus itself scrapes a bus and answers what the dashboard and the page ask.

The expressions are also read by a parser of PromQL, where Prometheus (a program, no Python package)
is not installed.
"""

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import ProxyHandler, build_opener

import pytest

pytest.importorskip("prometheus_client")

import prometheus_client as client

from brummerbus import Event, EventBus
from brummerbus.prometheus import BusCollector

HANG = 60.0
ROOT = Path(__file__).parents[2]
DASHBOARD = ROOT / "docs" / "grafana-dashboard.json"
PAGE = ROOT / "docs" / "howto" / "prometheus.md"

CONFIG = """
global: {{scrape_interval: 1s}}
scrape_configs:
  - job_name: proof
    static_configs: [{{targets: ["127.0.0.1:{}"]}}]
"""


def dashboard() -> list[str]:
    """Return the expressions of the dashboard, as Grafana sends them."""
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    return [
        target["expr"].replace("$__rate_interval", "1m").replace("$bus", ".*")
        for panel in panels
        for target in panel["targets"]
    ]


def alerts() -> list[str]:
    """Return the expressions of the page."""
    table = PAGE.read_text(encoding="utf-8").partition("## What to alert on")[2]
    rows = table.partition("\n## ")[0].splitlines()
    return [row.split("`")[1] for row in rows if row.startswith("| ") and "`" in row]


@pytest.fixture
def registry() -> Iterator[Any]:
    """Yield a registry with a bus that goes on counting something of everything."""
    registry = client.CollectorRegistry(auto_describe=True)
    options: Any = {"queue_size": 20, "policy": "drop_oldest", "publish_timeout": 0}
    with EventBus(name="proof", workers=2, on_error=lambda *_: None, **options) as bus:
        registry.register(BusCollector(bus))
        bus.subscribe("good", lambda _: None)
        bus.subscribe("bad", lambda _: 1 // 0)
        bus.publish_many([Event("good"), Event("bad")] * 100)
        yield registry


@pytest.mark.parametrize("expression", [*dashboard(), *alerts()])
def test_every_expression_is_promql(expression: str) -> None:
    promql = pytest.importorskip("promql_parser")
    promql.parse(expression)


def test_the_dashboard_and_the_page_have_expressions() -> None:
    assert len(dashboard()) > 15
    assert len(alerts()) == 5


def installed(name: str) -> str:
    """Return the path of a program."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name}, of Prometheus, is not installed")
    return path


def test_promtool_has_nothing_to_say_about_a_scrape(registry: Any) -> None:
    """It knows the rules for names, units, types and help texts."""
    command = [installed("promtool"), "check", "metrics"]
    scrape = client.generate_latest(registry)
    checked = subprocess.run(command, input=scrape, capture_output=True, timeout=HANG, check=False)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class Prometheus:
    """A Prometheus that scrapes a port every second."""

    def __init__(self, folder: Path, target: int) -> None:
        config = folder / "prometheus.yml"
        config.write_text(CONFIG.format(target), encoding="utf-8")
        self._port = free_port()
        command = [
            installed("prometheus"),
            f"--config.file={config}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self._port}",
        ]
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL)

    def ask(self, expression: str) -> list[Any]:
        """Return the answer to a query."""
        url = f"http://127.0.0.1:{self._port}/api/v1/query?{urlencode({'query': expression})}"
        with build_opener(ProxyHandler({})).open(url, timeout=HANG) as answer:
            return list(json.load(answer)["data"]["result"])

    def wait_for(self, expression: str) -> None:
        """Return when a query has an answer."""
        end = time.monotonic() + HANG
        while True:
            assert time.monotonic() < end, f"{expression} never had an answer"
            assert self.process.poll() is None, "Prometheus has ended"
            try:
                if self.ask(expression):
                    return
            except OSError:  # it has not begun, or is still reading its storage
                pass
            time.sleep(0.2)


def test_prometheus_answers_what_the_dashboard_asks(registry: Any, tmp_path: Path) -> None:
    """It scrapes three times; then every panel has data, and the alert on failures fires."""
    port = free_port()
    server, thread = client.start_http_server(port, addr="127.0.0.1", registry=registry)
    try:
        prometheus = Prometheus(tmp_path, port)
        try:
            prometheus.wait_for("count_over_time(brummerbus_queue_capacity[1m]) >= 3")
            assert {expr for expr in dashboard() if not prometheus.ask(expr)} == set()
            [published] = prometheus.ask("sum (brummerbus_published_total)")
            assert published["value"][1] == "200"
        finally:
            prometheus.process.terminate()
            prometheus.process.wait(HANG)
    finally:
        server.shutdown()
        server.server_close()
        thread.join(HANG)
