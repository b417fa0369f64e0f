"""Relays in processes that are killed, fork, or end without a word."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

import pytest

from brummerbus import EventBus
from brummerbus.relay import Relay
from helpers.buses import BusFactory
from helpers.handlers import Recorder
from helpers.processes import assert_clean, ended, in_child, start_python
from helpers.waiting import HANG, poll
from relay.scene import LONG, QUICK, Scene, publish_all, scene

pytestmark = pytest.mark.slow  # tests here take a second and more

__all__ = ["scene"]

FIRST = f"""
from brummerbus.relay import Relay, _tuning
from brummerbus.relay._tuning import Tuning
_tuning.TUNING = {QUICK!r}
"""


@contextmanager
def process(code: str) -> Iterator["subprocess.Popen[str]"]:
    """Run a program with a relay, and kill it at the end."""
    running = start_python(FIRST + code)
    try:
        yield running
    finally:
        running.kill()
        running.communicate()


def said(running: "subprocess.Popen[str]") -> str:
    """Return the next line of its output."""
    assert running.stdout is not None
    line = running.stdout.readline()
    assert line, running.communicate()
    return line.strip()


SENDER = """
bus = bus_of(queue_size=100, publish_timeout=60)
relay = Relay(bus, {url!r}, send=["t"])
for number in range({first}, 10**9):
    bus.publish(Event("t", number))
    if number % 10 == 0:
        say({first} + relay.stats().acked)
"""


@pytest.mark.slow
def test_a_sender_that_is_killed_loses_only_what_was_not_acknowledged(
    scene: Scene, factory: BusFactory
) -> None:
    there, got = factory.bus(queue_size=1000), Recorder()
    there.subscribe("t", got)
    scene.relay(there, receive=["t"])
    with process(SENDER.format(url=scene.server.url(), first=0)) as sender:
        acknowledged = 0
        while acknowledged < 300:
            acknowledged = int(said(sender))
        sender.send_signal(signal.SIGKILL)
    got.wait_for(acknowledged)
    with process(SENDER.format(url=scene.server.url(), first=10**6)) as sender:
        while int(said(sender)) < 10**6 + 100:
            pass
    poll(lambda: got.data[-1] >= 10**6 + 99)
    before = [number for number in got.data if number < 10**6]
    after = [number for number in got.data if number >= 10**6]
    assert before == list(range(len(before)))
    assert len(before) >= acknowledged
    assert after == list(range(10**6, 10**6 + len(after)))


RECEIVER = """
bus = bus_of(name="there", workers={workers}, queue_size=10)
held = threading.Event()
def handle(event):
    say("begin", event.data)
    if event.data == {hold}:
        held.wait()
    say("end", event.data)
bus.subscribe("t", handle)
relay = Relay(bus, {url!r}, receive=["t"])
relay.wait_connected()
say("ready")
held.wait()
"""


@pytest.mark.slow
def test_a_receiver_that_is_killed_in_a_handler_handles_everything_at_least_once(
    scene: Scene, factory: BusFactory
) -> None:
    """What comes twice is at most what was in flight: a queue of 10, and one in a handler."""
    here = factory.bus(queue_size=100)
    sender = scene.relay(here, send=["t"])
    lines = []
    settings = {"url": scene.server.url(), "workers": 1}
    with process(RECEIVER.format(hold=20, **settings)) as receiver:
        assert said(receiver) == "ready"
        publish_all(here, "t", range(50))
        while (line := said(receiver)) != "begin 20":
            lines.append(line)
        poll(lambda: sender.stats().acked == 50)
        poll(lambda: asyncio.run(scene.server.unacknowledged()) <= 11)
        receiver.send_signal(signal.SIGKILL)
    with process(RECEIVER.format(hold=-1, **settings)) as receiver:
        handled = 0
        while handled < 50:
            lines.append(said(receiver))
            handled = len({line for line in lines if line.startswith("end")})
    handled_twice = [
        line for line in set(lines) if line.startswith("end") and lines.count(line) > 1
    ]
    assert len(handled_twice) <= 11
    again = [int(line.split()[1]) for line in lines[lines.index("ready") + 1 :] if "begin" in line]
    assert again == sorted(again)


DEADLY = """
bus = bus_of(name="there", queue_size=100)
def handle(event):
    if event.data == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    say("end", event.data)
bus.subscribe("t", handle)
relay = Relay(bus, {url!r}, receive=["t"], on_error=lambda error: say("error", error))
relay.wait_connected()
say("ready")
threading.Event().wait()
"""


@pytest.mark.slow
@pytest.mark.parametrize("scene", ["nats", "redis"] if LONG else ["nats"], indirect=True)
def test_what_kills_its_process_each_time_becomes_a_dead_letter(
    scene: Scene, factory: BusFactory
) -> None:
    here = factory.bus()
    scene.relay(here, send=["t"])
    code = DEADLY.format(url=scene.server.url())
    for attempt in range(7):
        with process(code) as receiver:
            assert receiver.stdout is not None
            if not attempt:
                assert said(receiver) == "ready"
                publish_all(here, "t", [3])
            for line in receiver.stdout:  # ends when it was killed
                if line.startswith("error"):
                    assert "delivered 5 times and never acknowledged" in line
                    assert attempt == 5
                    publish_all(here, "t", [4])
                if line.startswith("end 4"):
                    return
    pytest.fail("it was delivered again and again")


def test_a_program_that_ends_without_a_word_has_sent_what_it_published(
    scene: Scene, factory: BusFactory
) -> None:
    there, got = factory.bus(queue_size=1000), Recorder()
    there.subscribe("t", got)
    scene.relay(there, receive=["t"])
    began = monotonic()
    code = """
bus = bus_of(queue_size=1000)
relay = Relay(bus, {url!r}, send=["t"])
for number in range(300):
    bus.publish(Event("t", number))
"""
    end = ended(start_python(FIRST + code.format(url=scene.server.url())), began)
    assert_clean(end)
    got.wait_for(300)
    assert got.data == list(range(300))


def test_a_program_ends_although_the_broker_is_gone(scene: Scene) -> None:
    scene.server.kill()
    began = monotonic()
    code = """
bus = bus_of(queue_size=1000, shutdown_timeout=0.2)
relay = Relay(bus, {url!r}, send=["t"], receive=["u"], on_error=lambda error: None)
for number in range(300):
    bus.publish(Event("t", number))
"""
    end = ended(start_python(FIRST + code.format(url=scene.server.url())), began)
    assert end.code == 0
    assert "stopped with 300 events" in end.err


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_both_sides_of_a_fork_send_and_the_child_receives_nothing(
    scene: Scene, factory: BusFactory
) -> None:
    here, there = factory.bus(queue_size=100), factory.bus(queue_size=100)
    got, echo = Recorder(), Recorder()
    there.subscribe("t", got)
    here.subscribe("u", echo)
    scene.relay(there, receive=["t"], send=["u"])
    relay = scene.relay(here, send=["t"], receive=["u"])
    publish_all(here, "t", range(50))

    def child() -> None:
        publish_all(here, "t", range(1000, 1050))
        assert relay.stop()
        stats = relay.stats()
        assert (stats.spooled, stats.acked, stats.received) == (50, 50, 0)

    assert in_child(child) == 0
    publish_all(here, "t", range(50, 100))
    got.wait_for(150)
    assert [number for number in got.data if number < 1000] == list(range(100))
    assert [number for number in got.data if number >= 1000] == list(range(1000, 1050))
    publish_all(there, "u", ["echo"])
    echo.wait_for(1)
    assert relay.stats().spooled == 100
    assert relay.stop()


def test_without_a_url_it_is_the_server_of_this_machine(
    factory: BusFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    pytest.importorskip("nats")
    got = Recorder()
    with EventBus(name="here") as here, EventBus(name="there") as there:
        there.subscribe("t", got)
        with Relay(there, receive=["t"]) as receiver, Relay(here, send=["t"]) as sender:
            assert receiver.wait_connected(HANG)
            publish_all(here, "t", range(20))
            got.wait_for(20)
            _kill_server(tmp_path)
            publish_all(here, "t", range(20, 40))
            got.wait_for(40)
            assert sender.stats().dropped == 0
    assert got.data == list(range(40))
    assert not (tmp_path / "brummerbus" / "server.json").exists()


def _kill_server(runtime: Path) -> None:
    os.kill(int((runtime / "brummerbus" / "server.pid").read_text()), signal.SIGKILL)
