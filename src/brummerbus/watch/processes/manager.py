"""Starts all processes, stops and restarts them, and decides when.

It is the main thread's only job while they run. When they are stopped
- A first Ctrl-C, SIGTERM or SIGHUP is forwarded to all; a second kills them.
- When one ends and is not restarted, the others get SIGTERM, unless they are to keep going.
- What has not ended when the kill time-out is over is killed.

It waits for neither output nor handlers: it asks only whether processes have ended. Only a restart
waits until the last lines of the run before were published.
"""

import signal
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Event as Flag

from brummerbus.watch.interrupts import Interrupts
from brummerbus.watch.processes.managed import Managed, Snapshot, State
from brummerbus.watch.processes.process import WatchedProcess
from brummerbus.watch.processes.restart import DELAY, Policy

KILL_TIMEOUT = 5.0
"""Seconds between the first signal to a process and SIGKILL, by default."""

_TICK = 0.1
_LOST = 2.0
"""Seconds after SIGKILL; then it is not waited for any more: the kernel does not end it either."""


@dataclass(frozen=True)
class Plan:
    """What the manager is to do with the processes; names are those of instances."""

    kill_timeout: float = KILL_TIMEOUT
    """Seconds between the first signal and SIGKILL."""
    keep_going: bool = False
    """Whether the others go on when one has ended."""
    restart: Mapping[str, Policy] = field(default_factory=dict)
    """When a process is started again; otherwise never."""
    restart_delay: float = DELAY
    """Seconds before the first restart."""
    after: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """The processes that must be ready before one is started."""


class ProcessManager:
    """Runs processes until all have ended.

    `restart`, `stop`, `write` and `states` may be called in any thread, and never wait.

    Args:
        processes: What to run.
        interrupts: The signals so far.
        changed: Set by the processes when one of them has ended.
        plan: How.
        say: Prints a message without waiting.
    """

    def __init__(
        self,
        processes: Sequence[WatchedProcess],
        interrupts: Interrupts,
        changed: Flag,
        *,
        plan: Plan,
        say: Callable[[str], None],
    ) -> None:
        self._managed = {
            process.name: Managed(
                process, plan.restart.get(process.name, Policy.NEVER), plan.restart_delay
            )
            for process in processes
        }
        self._plan = plan
        self._interrupts = interrupts
        self._forwarded = 0
        self._changed = changed
        self._say = say
        self._requests: deque[tuple[Callable[[Managed], None], Managed]] = deque()
        self._failed_start = False
        self._stopping = False

    def run(self, tick: Callable[[], None]) -> None:
        """Start them, and return once all have ended; call it in the main thread.

        Args:
            tick: Called several times per second; it must not wait.
        """
        while True:
            self._forward()
            while self._requests:
                request, managed = self._requests.popleft()
                request(managed)
            for managed in self._managed.values():
                self._advance(managed, time.monotonic())
            tick()
            if all(managed.state is State.ENDED for managed in self._managed.values()):
                return
            self._changed.wait(_TICK)
            self._changed.clear()

    @property
    def exit_code(self) -> int:
        """2 if one could not be started, else the code of the one that failed first in time."""
        if self._failed_start:
            return 2
        failed = [
            managed.process
            for managed in self._managed.values()
            if managed.process.exit_code and not managed.excused
        ]
        return min(failed, key=lambda process: process.ended).exit_code or 0 if failed else 0

    def restart(self, name: str) -> None:
        """Stop a process if it runs, and start it again.

        Raises:
            ValueError: There is no process of this name.
        """
        self._request(self._restart, name)

    def stop(self, name: str) -> None:
        """Stop a process; the others go on.

        Raises:
            ValueError: There is no process of this name.
        """
        self._request(self._stop_alone, name)

    def write(self, name: str, data: bytes) -> int:
        """Write to the standard input of a process as far as it takes it; return how many bytes.

        Raises:
            ValueError: There is no process of this name.
            OSError: It has no standard input, or does not read it any more.
        """
        return self._named(name).process.write(data)

    def states(self) -> list[Snapshot]:
        """Return what each process does, in the order of the Procfile."""
        return [managed.snapshot() for managed in self._managed.values()]

    def _named(self, name: str) -> Managed:
        if name not in self._managed:
            raise ValueError(f"no process {name!r}; there are: {', '.join(self._managed)}")
        return self._managed[name]

    def _request(self, request: Callable[[Managed], None], name: str) -> None:
        """Have the main thread do something with a process."""
        self._requests.append((request, self._named(name)))
        self._changed.set()

    def _restart(self, managed: Managed) -> None:
        if self._stopping:
            return
        if managed.state in (State.RUNNING, State.STOPPING):
            managed.again = managed.excused = True
            self._stop(managed, signal.SIGTERM)
        else:
            managed.schedule(time.monotonic())

    def _stop_alone(self, managed: Managed) -> None:
        managed.again = False
        managed.alone = managed.excused = True
        if managed.state is State.WAITING:
            managed.state = State.ENDED
        else:
            self._stop(managed, signal.SIGTERM)

    def _forward(self) -> None:
        """Pass signals on that have come in since the last time."""
        count = self._interrupts.count
        if count == self._forwarded:
            return
        first, self._forwarded = self._forwarded == 0, count
        self._stopping = True
        for managed in self._managed.values():
            if not first or count > 1:
                self._kill(managed)
            else:
                self._stop(managed, self._interrupts.first)
        if first and count == 1:
            self._say("stopping; press Ctrl-C again to kill")

    def _advance(self, managed: Managed, now: float) -> None:
        """Take a process as far as it has come."""
        if managed.state is State.ENDED:
            return
        if managed.state is State.WAITING:
            if self._stopping:
                managed.state = State.ENDED
            elif not managed.process.done:
                return  # it has ended, but its last lines are being published
            elif now >= managed.start_at and (managed.asked or self._may_start(managed)):
                self._start(managed)
            return
        managed.check_ready()
        if managed.process.gone or now >= managed.lost_at:
            self._note_end(managed, now)
        elif now >= managed.kill_at:
            limit = self._plan.kill_timeout
            self._say(f"{managed.process.name} did not stop within {limit:g} s: killed")
            self._kill(managed)

    def _may_start(self, managed: Managed) -> bool:
        """Return whether all are ready that it is started after."""
        name = managed.process.name
        for other in self._plan.after.get(name, ()):
            before = self._managed[other]
            before.check_ready()
            if not before.ready:
                if before.state is State.ENDED and before.process.done:
                    self._say(f"{name} is not started: {other} has ended before it was ready")
                    managed.state = State.ENDED
                return False
        return True

    def _start(self, managed: Managed) -> None:
        try:
            managed.start()
        except OSError as error:
            self._say(f"{managed.process.name}: cannot start: {error.strerror or error}")
            self._failed_start = True
            self._stop_all(signal.SIGINT)

    def _note_end(self, managed: Managed, now: float) -> None:
        """Restart it, or stop the others if that is what its end means."""
        process = managed.process
        code = process.exit_code or 0
        wanted = managed.again or (not managed.alone and managed.policy.wants(code))
        if wanted and not self._stopping and now < managed.lost_at:
            if not process.done:
                return  # its last lines are being published
            delay = 0.0 if managed.again else managed.back_off.delay(process.run_time or 0.0)
            if not managed.again:
                self._say(f"{process.name} ended with code {code}: restart in {delay:g} s")
            managed.schedule(now + delay)
            return
        managed.state = State.ENDED
        others = [each for each in self._managed.values() if each.state is not State.ENDED]
        may_end = managed.alone or (process.readiness.at_exit and managed.ready)
        if self._stopping or self._plan.keep_going or may_end or not others:
            return
        self._say(
            f"{process.name} ended with code {code}: stopping the others"
            " (--keep-going lets them run)"
        )
        for each in others:
            # One that has ended by itself at the same moment counts.
            each.excused = each.process.exit_code is None
        self._stop_all(signal.SIGTERM)

    def _stop_all(self, number: int) -> None:
        self._stopping = True
        for managed in self._managed.values():
            self._stop(managed, number)

    def _stop(self, managed: Managed, number: int) -> None:
        """Ask a process to end; it is killed later if it does not."""
        if managed.state is State.RUNNING:
            managed.state = State.STOPPING
            managed.kill_at = time.monotonic() + self._plan.kill_timeout
            managed.process.send(number)

    def _kill(self, managed: Managed) -> None:
        if managed.state in (State.RUNNING, State.STOPPING):
            managed.state = State.STOPPING
            managed.kill_at = float("inf")
            managed.lost_at = min(managed.lost_at, time.monotonic() + _LOST)
            managed.process.kill()
