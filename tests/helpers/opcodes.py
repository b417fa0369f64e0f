"""An action between any two opcodes that a call executes in the package."""

import contextlib
import gc
import itertools
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import brummerbus

PACKAGE = str(Path(brummerbus.__file__).parent)


class At:
    """Does something before the k-th opcode that a call executes in the package.

    Attributes:
        where: Where that was, or "" if the call has fewer opcodes.
        result: What `action` returned.
    """

    def __init__(self, k: int, action: Callable[[], Any]) -> None:
        self._k = k
        self._action = action
        self.where = ""
        self.result: Any = None

    def during(self, call: Callable[[], object]) -> None:
        """Make the call; what it or the action raises is raised."""
        watch = _monitored if sys.version_info >= (3, 12) else _traced
        with _no_collection():
            watch(self._k, self._act, call)

    def _act(self, frame: FrameType, offset: int) -> None:
        self.where = f"{frame.f_code.co_name}, line {frame.f_lineno}, opcode {offset}"
        self.result = self._action()


_without_line: dict[int, tuple[frozenset[int], CodeType]] = {}
"""By the address of the code, which is kept: its hash would be that of all its bytes."""


def without_line(code: CodeType) -> frozenset[int]:
    """Return the opcodes of an `except` block's own ends, where no signal is handled.

    CPython 3.14 would keep the exception in hand for the rest of the thread.
    """
    known = _without_line.get(id(code))
    if known is None:
        lines = code.co_lines()
        parts = [range(start, end, 2) for start, end, line in lines if line is None]
        known = _without_line[id(code)] = (frozenset(itertools.chain(*parts)), code)
    return known[0]


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """Disable collections: opcodes of another bus's finalizer would count, and swallow an error."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


Act = Callable[[FrameType, int], None]

# Some tests count hundreds of opcodes hundreds of times, so there is no further call for each.


def _traced(k: int, act: Act, call: Callable[[], object]) -> None:
    """Call `act` before the k-th opcode of the package that a call executes."""
    left = k

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        skipped = without_line(frame.f_code)

        def trace_opcode(frame: FrameType, event: str, _: Any) -> Any:
            nonlocal left
            if event == "opcode" and frame.f_lasti not in skipped:
                left -= 1
                if left == 0:
                    act(frame, frame.f_lasti)
            return trace_opcode

        return trace_opcode

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)


def _monitored(k: int, act: Act, call: Callable[[], object]) -> None:
    """Do as `_traced`, which from Python 3.12 on misses opcodes of frames that begin untraced."""
    monitoring: Any = sys.monitoring  # type: ignore[attr-defined]
    tool, thread, left = monitoring.DEBUGGER_ID, threading.get_ident(), k

    def on_instruction(code: CodeType, offset: int) -> Any:
        nonlocal left
        if not code.co_filename.startswith(PACKAGE):
            return monitoring.DISABLE
        if threading.get_ident() == thread and offset not in without_line(code):
            left -= 1
            if left == 0:
                act(sys._getframe(1), offset)
        return None

    monitoring.use_tool_id(tool, "opcodes")
    monitoring.register_callback(tool, monitoring.events.INSTRUCTION, on_instruction)
    monitoring.set_events(tool, monitoring.events.INSTRUCTION)
    try:
        call()
    finally:
        monitoring.set_events(tool, 0)
        monitoring.register_callback(tool, monitoring.events.INSTRUCTION, None)
        monitoring.free_tool_id(tool)
        monitoring.restart_events()
