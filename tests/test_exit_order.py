"""When buses are drained at exit: before what handlers need is torn down, and with others around.

Programs and assertions are as in `test_exit`.
"""

import signal
import subprocess
import sys

import pytest

from helpers.processes import SOON, assert_clean, run_python
from helpers.waiting import HANG


def test_exit_drains_before_the_hooks_of_the_program() -> None:
    """Such as one that closes the database to which handlers write, whenever it was registered."""
    end = run_python(
        """
        bus, gate = bus_of(queue_size=100), Gate()
        bus.subscribe("gate", gate)
        bus.subscribe("a", lambda event: say(event.data))
        bus.publish(Event("gate"))
        gate.entered.acquire()
        for number in range(100):
            assert bus.publish(Event("a", number))
        atexit.register(say, "after")
        threading._register_atexit(gate.opened.set)
        """,
        first="import atexit\natexit.register(lambda: say('before'))",
    )
    assert_clean(end)
    assert end.lines == [*map(str, range(100)), "after", "before"]


def test_a_hook_of_the_program_may_still_publish() -> None:
    """The bus is drained by then, and closed when this hook, registered before, has run."""
    end = run_python("""
        bus = bus_of()
        bus.subscribe("a", lambda event: say(event.data))
        threading._register_atexit(lambda: bus.publish(Event("a", "in a hook of threading")))
    """)
    assert_clean(end)
    assert end.lines == ["in a hook of threading"]


def test_a_bus_that_a_hook_of_the_program_makes_is_drained() -> None:
    """It is the first one, so nothing but its module was imported before."""
    end = run_python("""
        def make():
            global bus
            bus = bus_of()
            bus.subscribe("a", lambda event: say(event.data))
            bus.publish(Event("a", "in a bus that was made in a hook"))
        atexit.register(make)
    """)
    assert_clean(end)
    assert end.lines == ["in a bus that was made in a hook"]


def test_a_first_bus_that_is_made_after_the_end_of_the_main_thread_is_drained() -> None:
    """The core, too, is imported there, when `threading` accepts no hook any more."""
    code = """
import atexit, os, threading, brummerbus

def work():
    threading.main_thread().join()
    bus = brummerbus.EventBus(workers=1)
    bus.subscribe("a", lambda event: os.write(1, b"handled "))
    bus.publish(brummerbus.Event("a"))

atexit.register(os.write, 1, b"after")
threading.Thread(target=work).start()
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=HANG)
    assert (done.stdout, done.stderr) == ("handled after", "")


@pytest.mark.parametrize("first", ["import concurrent.futures.thread", ""])
def test_exit_drains_before_executors_shut_down(first: str) -> None:
    """Handlers that hand work to one still can, whichever module was imported first."""
    end = run_python(
        """
        from concurrent.futures import ThreadPoolExecutor
        pool = ThreadPoolExecutor(2)
        bus, gate = bus_of(queue_size=100), Gate()
        bus.subscribe("gate", gate)
        bus.subscribe("a", lambda event: say(pool.submit(lambda: event.data).result()))
        bus.publish(Event("gate"))
        gate.entered.acquire()
        for number in range(100):
            assert bus.publish(Event("a", number))
        threading._register_atexit(gate.opened.set)
        """,
        first=first,
    )
    assert_clean(end)
    assert end.lines == [*map(str, range(100))]


@pytest.mark.slow
def test_exit_drains_as_long_as_deliveries_end() -> None:
    """In all for longer than the `shutdown_timeout`, which none of them comes near."""
    end = run_python("""
        bus = bus_of(shutdown_timeout=2)
        @bus.on("a")
        def handle(event):
            time.sleep(0.3)
            say(event.data)
        for number in range(8):
            assert bus.publish(Event("a", number))
    """)
    assert_clean(end)
    assert end.lines == [*map(str, range(8))]


def test_exit_without_a_shutdown_timeout_waits_as_long_as_it_takes() -> None:
    """Here until a thread opens the gate, once exit waits."""
    end = run_python("""
        bus, gate = bus_of(shutdown_timeout=None), Gate()
        @bus.on("a")
        def handle(event):
            gate(event)
            say("done")
        bus.publish(Event("a"))
        gate.entered.acquire()
        when_main_is_in("wait_idle", call=gate.opened.set)
    """)
    assert_clean(end)
    assert end.lines == ["done"]


# ---- others that still publish ---------------------------------------------------------------


@pytest.mark.parametrize("queue_size", [20, 2000])
def test_publishers_that_outlive_the_main_thread_lose_nothing(queue_size: int) -> None:
    """Threads that are not daemons are waited for; then their events are handled."""
    end = run_python(f"""
        bus = bus_of(workers=2, queue_size={queue_size}, policy=BackpressurePolicy.BLOCK)
        bus.subscribe("a", lambda event: say(event.data))
        def publish(first):
            threading.main_thread().join()
            for number in range(first, first + 500):
                assert bus.publish(Event("a", number))
        for publisher in range(4):
            threading.Thread(target=publish, args=(publisher * 500,)).start()
    """)
    assert_clean(end)
    assert sorted(map(int, end.lines)) == list(range(2000))


@pytest.mark.slow
def test_a_thread_that_outlives_the_main_thread_may_free_a_stuck_handler() -> None:
    """Given up by the first drain, it is waited for again once that thread has ended."""
    end = run_python("""
        bus, gate = bus_of(shutdown_timeout=1), Gate()
        @bus.on("a")
        def handle(event):
            gate(event)
            freeing.join()
            say(event.data)
        for number in range(3):
            bus.publish(Event("a", number))
        gate.entered.acquire()
        def free():
            threading.main_thread().join()
            bus.publish(Event("a", 3))
            gate.opened.set()
        freeing = threading.Thread(target=free)
        freeing.start()
    """)
    assert_clean(end)
    assert end.lines == ["0", "1", "2", "3"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    ["", "policy='block'", "policy='block', queue_size=1000"],
    ids=["drop", "block", "block, long queue"],
)
@pytest.mark.parametrize("handler", ["None", "time.sleep(0.002)"], ids=["fast", "slow"])
def test_daemons_that_publish_without_an_end_do_not_hold_up_exit(
    handler: str, settings: str
) -> None:
    """The queue is never empty; what the main thread published before its end is handled."""
    end = run_python(f"""
        bus = EventBus(**{{"workers": 2, "queue_size": 50, **dict({settings})}})
        bus.subscribe("a", lambda event: {handler})
        bus.subscribe("mine", lambda event: say("handled"))
        going = threading.Semaphore(0)
        def publish():
            going.release()
            while True:
                try:
                    bus.publish(Event("a"), priority=2)
                except BusClosed:
                    time.sleep(1000)
        for _ in range(3):
            threading.Thread(target=publish, daemon=True).start()
            going.acquire()
        assert bus.publish(Event("mine"), priority=3, timeout=60)
        say("end")
    """)
    assert end.code == 0
    assert sorted(end.lines) == ["end", "handled"]
    assert end.err == ""
    assert end.seconds < SOON


# ---- Ctrl-C ----------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="signals are not sent there")
def test_ctrl_c_ends_the_drain_at_exit_and_says_what_is_lost() -> None:
    """Of every bus; the user who presses it does not want to wait."""
    end = run_python(f"""
        def stuck(name):
            bus, gate = bus_of(name=name, shutdown_timeout=None), Gate()
            bus.subscribe("a", gate)
            for _ in range(3):
                bus.publish(Event("a"))
            gate.entered.acquire()
            return bus
        buses = [stuck("one"), stuck("two")]
        when_main_is_in("wait_idle", call=lambda: signal.raise_signal({signal.SIGINT:d}))
    """)
    assert end.code == 0
    assert end.seconds < SOON
    lost = "stopped with 2 deliveries dropped and 1 handler still running"
    assert sorted(line[: len(lost) + 5] for line in end.err.splitlines()) == [
        f"one: {lost}",
        f"two: {lost}",
    ]
