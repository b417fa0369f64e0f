"""Each program in examples/ is run, and prints what it promises."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

import pytest

from helpers.waiting import HANG

EXAMPLES = Path(__file__).parent.parent / "examples"

TESTED = {"log_follower.py", "pipeline.py", "plugins.py", "web_orders.py"}


def run(name: str, *arguments: str) -> list[str]:
    """Run an example to its end; return the lines of its output."""
    command = [sys.executable, "-W", "error", str(EXAMPLES / name), *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=HANG, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout.splitlines()


def test_every_example_is_tested() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == TESTED


def test_the_log_follower_counts_the_lines_of_both_files_and_shows_the_errors() -> None:
    *errors, api, worker, total = run("log_follower.py")
    assert sorted(errors) == ["worker.log: ERROR request 100", "worker.log: ERROR request 200"]
    assert api == "api.log: lines 200, errors 0"
    assert worker == "worker.log: lines 200, errors 2"
    assert total == "deliveries: handled 802, dropped 0"  # 400 lines to two handlers, 2 errors


def test_the_log_follower_reads_what_a_file_has_before_its_time_is_over(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    log.write_text("INFO a\nERROR b\nhalf a line", encoding="utf-8")
    assert run("log_follower.py", str(log), "--seconds", "0") == [
        "app.log: ERROR b",
        "app.log: lines 2, errors 1",
        "deliveries: handled 5, dropped 0",
    ]


def test_the_pipeline_loses_nothing_in_three_stages() -> None:
    *stages, stored = run("pipeline.py")
    handled = [re.match(r"(\w+) +(\d+) handled (\d+) dropped", line).groups() for line in stages]
    assert handled == [("fetch", "300", "0"), ("parse", "300", "0"), ("store", "300", "0")]
    assert stored == "300 of 300 documents stored, threads left: 1"


def test_a_plugin_that_fails_three_times_is_unloaded_and_harms_no_other() -> None:
    lines = run("plugins.py")
    assert sum(line.startswith("broken failed: FileNotFoundError") for line in lines[:3]) == 3
    assert lines[3:] == [
        "broken is unloaded",
        "sizes: 1500 bytes",
        "history: 11 events, the last was FileSaved late.md",
        "failures: {'broken': 3}",
    ]


AFTER_ITS_REQUESTS = [
    "mails: 11, teas reserved: 12",
    "events recorded: 12, rejected orders: 1",
]


def test_the_web_application_answers_and_handles_every_order() -> None:
    assert run("web_orders.py") == [
        '202 {"order": 1}',
        '422 {"order": 2}',
        '200 {"queued": 0, "failed": 0}',
        *AFTER_ITS_REQUESTS,
    ]


@pytest.fixture
def server() -> Iterator["subprocess.Popen[str]"]:
    """Start the web application on a free port."""
    command = [sys.executable, "-W", "error", str(EXAMPLES / "web_orders.py"), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


@pytest.mark.skipif(sys.platform == "win32", reason="signals cannot be sent to one process")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda s: s.name)
def test_the_web_application_serves_until_a_signal_and_then_handles_the_rest(
    server: "subprocess.Popen[str]", number: signal.Signals
) -> None:
    assert server.stdout
    address = server.stdout.readline().removeprefix("serving at ").strip()
    opener = build_opener(ProxyHandler({}))
    order = json.dumps({"item": "tea", "amount": 3}).encode()
    with opener.open(f"{address}/orders", order, timeout=HANG) as answer:
        assert (answer.status, json.load(answer)) == (202, {"order": 1})
    server.send_signal(number)
    out, _ = server.communicate(timeout=HANG)
    assert server.returncode == 0
    assert out.splitlines() == [
        "stopping",
        "mails: 1, teas reserved: 3",
        "events recorded: 1, rejected orders: 0",
    ]
