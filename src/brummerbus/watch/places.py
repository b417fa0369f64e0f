"""Where errors are: `file:line` in the output of a process becomes a link to a file."""

import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

FORMATS = {
    "file": "file://{path}",
    "kitty": "file://{path}#{line}",
    "vscode": "vscode://file{path}:{line}:{column}",
    "none": "",
}
"""What a link is made of, by name. A terminal or browser that opens `file:` shows the file, not
the line; editors register schemes of their own."""

_PLACE = re.compile(r"(?P<file>.+?)(?::(?P<line>\d+))?(?::(?P<column>\d+))?:?")
_TEST = re.compile(r"(?P<file>[^:\s]+\.\w+)::?\S")
"""A test that is named by its file, as `tests/test_a.py::test_b`."""

_KEPT = 2000


class LinkError(Exception):
    """A format of links that cannot be used, in one line."""


class Links:
    """Makes links to places in files. Thread-safe.

    Args:
        directories: Where each process runs: the files that it names are relative to that. Others
            have no links.
        format: A name of `FORMATS`, or a text with `{path}` and, if wanted, `{line}`, `{column}`.

    Raises:
        LinkError: The format is neither.
    """

    def __init__(self, directories: Mapping[str, str], format: str = "file") -> None:
        self._directories = directories
        self._format = FORMATS.get(format, format)
        if self._format and "{path}" not in self._format:
            known = ", ".join(FORMATS)
            raise LinkError(f"--links: expected {known} or a text with {{path}}, got {format!r}")
        self._known: dict[tuple[str, str], str] = {}

    def to(self, process: str, place: str) -> str:
        """Return a link to `file:line:column`, empty if there is no such file."""
        key = process, place
        link = self._known.get(key)
        if link is None:
            # A view asks for the same places at each frame.
            if len(self._known) >= _KEPT:
                self._known.clear()
            link = self._known[key] = self._made(process, _PLACE.fullmatch(place))
        return link

    def shown(self, process: str, place: str) -> str:
        """Return a place as a reader of the process's directory would write it."""
        directory = self._directories.get(process, "").rstrip("/") + "/"
        return place.removeprefix(directory) if len(directory) > 1 else place

    def to_test(self, process: str, name: str) -> str:
        """Return a link to the file of a test, empty if its name has none."""
        match = _TEST.match(name)
        return self.to(process, match["file"]) if match else ""

    def _made(self, process: str, match: "re.Match[str] | None") -> str:
        directory = self._directories.get(process)
        if match is None or directory is None or not self._format:
            return ""  # or its files are those of another machine
        try:
            path = Path(directory, match["file"]).resolve()
            if not path.is_file():
                return ""
        except (OSError, ValueError, RuntimeError):
            return ""  # too long, a null character, a loop of links: no file in any case
        return (
            self._format.replace("{path}", quote(path.as_posix()))
            .replace("{line}", match["line"] or "1")
            .replace("{column}", match["column"] or "1")
        )
