"""An action between any two opcodes that a call executes in the package."""

import contextlib
import gc
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
        self._left = k
        self._action = action
        self.where = ""
        self.result: Any = None

    def during(self, call: Callable[[], object]) -> None:
        """Make the call; what it or the action raises is raised."""
        watch = _monitored if sys.version_info >= (3, 12) else _traced
        with _no_collection():
            watch(self._before_opcode, call)

    def _before_opcode(self, frame: FrameType, offset: int) -> None:
        if frame.f_lineno is None:  # of an `except` block's own ends, where no signal is handled:
            return  # CPython 3.14 would keep the exception in hand for the rest of the thread
        self._left -= 1
        if self._left == 0:
            self.where = f"{frame.f_code.co_name}, line {frame.f_lineno}, opcode {offset}"
            self.result = self._action()


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


def _traced(before_opcode: Callable[[FrameType, int], None], call: Callable[[], object]) -> None:
    def trace(frame: FrameType, event: str, _: Any) -> Any:
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        if event == "opcode":
            before_opcode(frame, frame.f_lasti)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)


def _monitored(before_opcode: Callable[[FrameType, int], None], call: Callable[[], object]) -> None:
    """Do as `_traced`, which from Python 3.12 on misses opcodes of frames that begin untraced."""
    monitoring: Any = sys.monitoring  # type: ignore[attr-defined]
    tool, thread = monitoring.DEBUGGER_ID, threading.get_ident()

    def on_instruction(code: CodeType, offset: int) -> Any:
        if not code.co_filename.startswith(PACKAGE):
            return monitoring.DISABLE
        if threading.get_ident() == thread:
            before_opcode(sys._getframe(1), offset)
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
