"""One process as the manager sees it: what it does, and what becomes of it."""

import enum
from dataclasses import dataclass

from brummerbus.watch.processes.process import WatchedProcess
from brummerbus.watch.processes.ready import answers
from brummerbus.watch.processes.restart import BackOff, Policy

_NEVER = float("inf")


class State(enum.Enum):
    """What a process does."""

    WAITING = "waiting"
    """For others to be ready, or for its restart."""
    RUNNING = "running"
    STOPPING = "stopping"
    """It was asked to end."""
    ENDED = "ended"


@dataclass(frozen=True)
class Snapshot:
    """The state of a process at one moment."""

    name: str
    state: State
    pid: int
    """0 before the first start."""
    ready: bool
    starts: int
    """How often it was started."""
    exit_code: int | None
    """Of its last end; None while it runs."""


class Managed:
    """A process and its state. Used in the main thread only, except for `snapshot`.

    Args:
        process: The process.
        policy: When it is restarted.
        restart_delay: Seconds before the first restart.
    """

    def __init__(self, process: WatchedProcess, policy: Policy, restart_delay: float) -> None:
        self.process = process
        self.policy = policy
        self.back_off = BackOff(restart_delay)
        self.state = State.WAITING
        self.ready = False
        self.start_at = 0.0
        self.kill_at = _NEVER
        self.lost_at = _NEVER
        self.again = False
        """Whether it was stopped to be started again."""
        self.asked = False
        """Whether it is started whatever it should be started after."""
        self.alone = False
        """Whether it was stopped by hand, and the others go on."""
        self.excused = False
        """Whether its exit code does not count, as it was asked to end for another reason than a
        signal to the watcher."""

    def start(self) -> None:
        """Start it.

        Raises:
            OSError: The system cannot start it; it counts as ended.
        """
        self.state = State.ENDED
        self.process.start()
        self.state = State.RUNNING
        self.kill_at = self.lost_at = _NEVER
        self.asked = self.again = self.alone = self.excused = self.ready = False
        self.check_ready()

    def schedule(self, moment: float) -> None:
        """Let it be started at a moment of the monotonic clock."""
        self.state = State.WAITING
        self.start_at = moment
        self.asked = True
        self.again = False

    def check_ready(self) -> None:
        """Note whether it is ready by now; that may try to connect to a port of this machine."""
        wanted = self.process.readiness
        if self.ready:
            return
        if wanted.at_exit:
            self.ready = self.process.exit_code == 0
        elif wanted.pattern is not None:
            self.ready = self.process.found.is_set()
        else:
            self.ready = wanted.port is None or answers(wanted.port)

    def snapshot(self) -> Snapshot:
        """Return its state. From any thread."""
        process = self.process
        return Snapshot(
            process.name, self.state, process.pid, self.ready, process.starts, process.exit_code
        )
