"""Errors with all their lines, and failed tests, as lines that the view scrolls in."""

from typing import NamedTuple

from brummerbus.watch.view.scene import Scene


class FailureLine(NamedTuple):
    """A line of a failure."""

    process: str
    """Empty, except in the first line of a failure."""
    text: str


def failure_lines(scene: Scene, process: str = "") -> list[tuple[int, FailureLine]]:
    """Return the lines of the last errors and of failed tests, in order of time, numbered.

    Args:
        scene: What is shown.
        process: Only those of this process, if not empty.
    """
    found: list[tuple[float, str, str, list[str]]] = []
    for error in reversed(scene.counters.latest(process)):
        place = scene.links.shown(error.process, error.location)
        lines = error.text.expandtabs().splitlines()
        head = f"{error.message}  {place}" if place else error.message
        found.append((error.time, error.process, head, lines if len(lines) > 1 else []))
    for test in scene.counters.failed_tests():
        if process in ("", test.process):
            details = [test.detail] if test.detail else []
            found.append((test.time, test.process, test.name or "a test without a name", details))
    found.sort(key=lambda each: each[0])
    every = [
        line
        for _, name, head, lines in found
        for line in (FailureLine(name, head), *(FailureLine("", f"    {each}") for each in lines))
    ]
    return list(enumerate(every))
