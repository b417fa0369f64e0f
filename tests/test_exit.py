"""Interpreter exit: nothing that was accepted is lost, and nothing hangs."""

import pytest
from support import run_python

def test_idle_workers_do_not_keep_the_interpreter() -> None:
    """A bus that was never stopped, and never used."""
    end = run_python("bus = bus_of(workers=8)")
    assert (end.code, end.err) == (0, "")


def test_a_full_queue_is_handled_before_the_end() -> None:
    """All ten deliveries, though nobody waits for them."""
    end = run_python("""
        gate = Gate()
        bus = bus_of(shutdown_timeout=20)
        bus.subscribe("gate", gate)
        bus.subscribe("a", lambda event: say(event.data))
        bus.publish(Event("gate"))
        gate.entered.acquire()
        for n in range(10):
            assert bus.publish(Event("a", n))
        atexit.register(gate.opened.set)
    """)
    assert (end.code, end.err) == (0, "")
    assert end.lines == [str(n) for n in range(10)]


def test_a_running_handler_is_waited_for() -> None:
    """It ends before the interpreter does."""
    end = run_python("""
        gate = Gate()
        bus = bus_of(shutdown_timeout=20)
        bus.subscribe("a", lambda event: (gate(event), say("done")))
        bus.publish(Event("a"))
        gate.entered.acquire()
        atexit.register(gate.opened.set)
    """)
    assert (end.code, end.err, end.lines) == (0, "", ["done"])


def test_a_stuck_handler_is_waited_for_no_longer_than_shutdown_timeout() -> None:
    """And the log says what was left."""
    end = run_python("""
        gate = Gate()
        bus = bus_of(shutdown_timeout=0.2)
        bus.subscribe("a", gate)
        bus.publish(Event("a"))
        bus.publish(Event("a"))
        gate.entered.acquire()
    """)
    assert end.code == 0
    assert end.err == "bus: stopped with 1 deliveries dropped and 1 handlers still running\n"
    assert end.seconds < 20


def test_an_unhandled_exception_still_drains() -> None:
    """The exit code and the traceback are the exception's."""
    end = run_python("""
        bus = bus_of()
        bus.subscribe("a", lambda event: say("handled"))
        bus.publish(Event("a"))
        raise SystemExit(3)
    """)
    assert (end.code, end.err, end.lines) == (3, "", ["handled"])


def test_a_garbage_collected_bus_finishes_its_queue() -> None:
    """Its workers hold what they need, and end afterwards."""
    end = run_python("""
        import gc
        gate = Gate()
        bus = bus_of()
        bus.subscribe("gate", gate)
        bus.subscribe("a", lambda event: say(event.data))
        bus.publish(Event("gate"))
        gate.entered.acquire()
        for n in range(3):
            bus.publish(Event("a", n))
        del bus
        gc.collect()
        gate.opened.set()
    """)
    assert (end.code, end.err, end.lines) == (0, "", ["0", "1", "2"])


def test_os_exit_does_not_hang() -> None:
    """It asks nobody."""
    end = run_python("""
        gate = Gate()
        bus = bus_of(workers=4)
        bus.subscribe("a", gate)
        bus.publish(Event("a"))
        gate.entered.acquire()
        os._exit(7)
    """)
    assert (end.code, end.err) == (7, "")


def test_publishers_that_outlive_the_main_thread_are_served() -> None:
    """Python waits for their threads first, and the bus is open until then."""
    end = run_python("""
        bus, seen = bus_of(policy=BackpressurePolicy.BLOCK), []
        bus.subscribe("a", seen.append)
        def publish():
            for n in range(5_000):
                bus.publish(Event("a", n))
        threads = [threading.Thread(target=publish) for _ in range(3)]
        atexit.register(lambda: (bus.flush(), say(len(seen))))
        for thread in threads:
            thread.start()
    """)
    assert (end.code, end.err, end.lines) == (0, "", ["15000"])


def test_buses_that_publish_on_each_other_are_all_drained() -> None:
    """None is closed before the others had the chance to finish."""
    end = run_python("""
        first, second, gate = bus_of(), bus_of(name="second"), Gate()
        first.subscribe("a", lambda event: second.publish(Event("b", event.data)))
        second.subscribe("b", lambda event: (gate(event), first.publish(Event("c", event.data))))
        first.subscribe("c", lambda event: say(event.data))
        first.publish(Event("a", "round"))
        gate.entered.acquire()
        atexit.register(gate.opened.set)
    """)
    assert (end.code, end.err, end.lines) == (0, "", ["round"])


@pytest.mark.parametrize("how", ["sys.exit(0)", "raise SystemExit(5)"])
def test_exit_called_in_a_handler_ends_nothing(how: str) -> None:
    """It is the handler's failure; the program goes on and ends by itself."""
    end = run_python(f"""
        errors = []
        bus = bus_of(on_error=lambda event, subscription, error: say(type(error).__name__))
        def handler(event):
            {how}
        bus.subscribe("a", handler)
        bus.publish(Event("a"))
        bus.flush()
        say("still here")
    """)
    assert (end.code, end.err, end.lines) == (0, "", ["SystemExit", "still here"])
