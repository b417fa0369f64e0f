"""What was accepted is handled before the interpreter ends, and exit never hangs.

Each program runs in its own process. It reports by writing to its output directly, which works to
the very end. Unless a test says otherwise, nothing may be on standard error: no traceback of a
thread that died with the interpreter, no fatal error, no warning.
"""

import pytest

from helpers.processes import SOON, assert_clean, run_python


def test_exit_with_idle_workers_is_clean() -> None:
    """A bus that was never stopped, and never did anything."""
    assert_clean(run_python("bus = EventBus()"))


def test_exit_with_a_bus_that_was_stopped_is_clean() -> None:
    """The hook at exit has nothing to do."""
    end = run_python("""
        with bus_of() as bus:
            bus.subscribe("a", lambda event: say(event.data))
            bus.publish(Event("a", 1))
        say("stopped")
    """)
    assert_clean(end)
    assert end.lines == ["1", "stopped"]


@pytest.mark.parametrize("workers", [1, 4])
def test_full_queue_is_handled_before_exit(workers: int) -> None:
    """All of it, although the program's last line ran before anything was handled."""
    end = run_python(f"""
        bus, gate = bus_of(workers={workers}, queue_size=500), Gate()
        bus.subscribe("gate", gate)
        bus.subscribe("a", lambda event: say(event.data))
        for _ in range({workers}):
            bus.publish(Event("gate"), timeout=60)
            gate.entered.acquire()
        for number in range(500):
            assert bus.publish(Event("a", number))
        assert bus.depth == 500
        threading._register_atexit(gate.opened.set)  # the last: runs before the bus's own hook
    """)
    assert_clean(end)
    assert sorted(map(int, end.lines)) == list(range(500))


def test_handlers_that_publish_are_drained_before_exit() -> None:
    """What a handler publishes while the process exits is handled too."""
    end = run_python("""
        bus = bus_of(workers=2)
        @bus.on("count")
        def count(event):
            say(event.data)
            if event.data:
                bus.publish(Event("count", event.data - 1))
        bus.publish(Event("count", 300))
    """)
    assert_clean(end)
    assert end.lines == [str(number) for number in range(300, -1, -1)]


def test_exit_waits_for_a_handler_at_work() -> None:
    """It runs when the main thread ends, and is completed."""
    end = run_python("""
        bus, gate = bus_of(), Gate()
        @bus.on("a")
        def work(event):
            gate(event)
            say("done")
        bus.publish(Event("a"))
        gate.entered.acquire()
        threading._register_atexit(gate.opened.set)
    """)
    assert_clean(end)
    assert end.lines == ["done"]


@pytest.mark.slow
@pytest.mark.parametrize("other", ["json", "multiprocessing.util"])
def test_stuck_handler_delays_exit_by_the_shutdown_timeout(other: str) -> None:
    """No less, no longer, and one message logs it; `multiprocessing` has its own finalizers.

    Measured up to a hook of `atexit` from before the import, which runs after the bus's.
    """
    end = run_python(
        """
        bus, gate = bus_of(name="mine", shutdown_timeout=3), Gate()
        bus.subscribe("a", gate)
        bus.publish(Event("a"))
        gate.entered.acquire()
        bus.publish(Event("a"))
        began = time.monotonic()
        """,
        first=f"import {other}, atexit\natexit.register(lambda: say(time.monotonic() - began))",
    )
    assert end.code == 0
    assert end.seconds < SOON
    assert 3 <= float(end.lines[0]) < 6
    assert "Traceback" not in end.err
    assert [line.partition(":")[0] for line in end.err.splitlines()] == ["mine"]


@pytest.mark.slow
def test_stuck_handler_does_not_hang_exit() -> None:
    """In Python code, in a sleep, and in a lock, of several buses together."""
    end = run_python("""
        lock, entered = threading.Lock(), threading.Semaphore(0)
        lock.acquire()
        def enter_and(wait):
            def handler(event):
                entered.release()
                wait()
            return handler
        def spin():
            while True:
                pass
        waits = (spin, lambda: time.sleep(1000), lock.acquire)
        buses = [bus_of(shutdown_timeout=0.2) for _ in waits]
        for bus, wait in zip(buses, waits):
            bus.subscribe("a", enter_and(wait))
            bus.publish(Event("a"))
            entered.acquire()
        say("end")
    """)
    assert (end.code, end.lines) == (0, ["end"])
    assert end.seconds < SOON
    assert "Traceback" not in end.err
    assert "Fatal" not in end.err


def test_exit_after_an_unhandled_exception_drains() -> None:
    """Exit code 1 and its traceback, and the queue is handled nevertheless."""
    end = run_python("""
        bus = bus_of()
        bus.subscribe("a", lambda event: say(event.data))
        for number in range(10):
            bus.publish(Event("a", number), timeout=60)
        raise LookupError("mine")
    """)
    assert end.code == 1
    assert end.lines == [str(number) for number in range(10)]
    assert end.err.splitlines()[-1] == "LookupError: mine"
    assert end.err.count("Traceback") == 1
    assert end.seconds < SOON


def test_sys_exit_in_the_main_thread_drains() -> None:
    """With its code."""
    end = run_python("""
        bus = bus_of()
        bus.subscribe("a", lambda event: say("handled"))
        bus.publish(Event("a"))
        sys.exit(3)
    """)
    assert_clean(end, code=3)
    assert end.lines == ["handled"]


def test_os_exit_ends_at_once() -> None:
    """It runs no hooks, so nothing is drained; a stuck handler does not delay it."""
    end = run_python("""
        bus, gate = bus_of(shutdown_timeout=60), Gate()
        bus.subscribe("a", gate)
        bus.publish(Event("a"))
        gate.entered.acquire()
        os._exit(4)
    """)
    assert_clean(end, code=4)


def test_sys_exit_in_another_thread_ends_that_thread_only() -> None:
    """The process continues, and drains at its own end."""
    end = run_python("""
        bus = bus_of()
        bus.subscribe("a", lambda event: say(event.data))
        def leave():
            bus.publish(Event("a", 1))
            sys.exit(5)
        thread = threading.Thread(target=leave)
        thread.start()
        thread.join()
        bus.publish(Event("a", 2))
    """)
    assert_clean(end)
    assert end.lines == ["1", "2"]


@pytest.mark.parametrize("workers", [1, 3])
def test_bus_that_is_garbage_handles_what_it_has(workers: int) -> None:
    """Its last reference is released with work queued; its threads end when that is done."""
    end = run_python(f"""
        import gc
        from brummerbus._core import engine
        bus, gate = bus_of(workers={workers}, queue_size=100), Gate()
        bus.subscribe("gate", gate)
        bus.subscribe("a", lambda event: say(event.data))
        for _ in range(bus.workers):
            bus.publish(Event("gate"))
            gate.entered.acquire()
        for number in range(100):
            bus.publish(Event("a", number))
        workers = [t for t in threading.enumerate() if t is not threading.main_thread()]
        del bus
        gate.opened.set()
        for worker in workers:
            worker.join(60)
        gc.collect()
        say("threads:", threading.active_count(), "engines:", len(engine.live_engines()))
    """)
    assert_clean(end)
    *handled, left = end.lines
    assert sorted(map(int, handled)) == list(range(100))
    assert left == "threads: 1 engines: 0"


def test_bus_that_is_garbage_at_exit_handles_what_it_has() -> None:
    """The hook at exit waits for its workers, too."""
    end = run_python("""
        def lose():
            bus = bus_of(queue_size=100)
            bus.subscribe("gate", gate)
            bus.subscribe("a", lambda event: say(event.data))
            bus.publish(Event("gate"))
            gate.entered.acquire()
            for number in range(100):
                bus.publish(Event("a", number))
        gate = Gate()
        lose()
        threading._register_atexit(gate.opened.set)
    """)
    assert_clean(end)
    assert end.lines == [str(number) for number in range(100)]


def test_buses_that_publish_on_each_other_are_drained_together() -> None:
    """An event is passed back and forth a thousand times while the process exits."""
    end = run_python("""
        ping, pong = bus_of(name="ping"), bus_of(name="pong")
        def pass_to(other):
            def handler(event):
                if event.data:
                    other.publish(Event("ball", event.data - 1))
                else:
                    say("done")
            return handler
        ping.subscribe("ball", pass_to(pong))
        pong.subscribe("ball", pass_to(ping))
        ping.publish(Event("ball", 1001))
    """)
    assert_clean(end)
    assert end.lines == ["done"]


def test_publishing_after_the_end_is_refused_not_hung() -> None:
    """In a hook that runs after the bus's, as one registered before its import does."""
    end = run_python(
        """
        def late():
            try:
                bus.publish(Event("a"), timeout=5)
            except BusClosed:
                say("closed")
        bus = bus_of()
        bus.subscribe("a", print)
        """,
        first="import atexit\natexit.register(lambda: late())",
    )
    assert_clean(end)
    assert end.lines == ["closed"]


@pytest.mark.parametrize("how", ["sys.exit(0)", "raise SystemExit(5)"])
def test_exit_called_in_a_handler_ends_nothing(how: str) -> None:
    """It is the handler's failure; the program goes on and ends by itself."""
    end = run_python(f"""
        bus = bus_of(on_error=lambda event, subscription, error: say(type(error).__name__))
        def handler(event):
            {how}
        bus.subscribe("a", handler)
        bus.publish(Event("a"))
        bus.flush()
        say("still here")
    """)
    assert_clean(end)
    assert end.lines == ["SystemExit", "still here"]
