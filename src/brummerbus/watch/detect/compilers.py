"""Compiler errors: gcc and clang, their linker, rustc, tsc, go, and webpack's summary of one."""

import re

from brummerbus.watch.detect.blocks import Block, Verdict
from brummerbus.watch.payloads import LogLine

_C_LIKE = re.compile(
    r"(?P<place>(?:[A-Za-z]:)?(?=\S)(?:[^:]*/[^:]*|[^:]*\.[\w+]+):\d+(?::\d+)?): "
    r"(?:fatal )?error: (?P<message>.+)"
)
_C_SUFFIX = re.compile(r"\.(?:c|h|cc|cpp|cxx|c\+\+|hpp|hh|hxx|m|mm|S|s|cu|inc|ipp):")
_C_MORE = re.compile(r"\s+\S|[^\s:][^:]*:\d+(?::\d+)?: note: ")
_DRIVER = re.compile(
    r"(?:\S*/)?(?:collect2|cc1(?:plus)?|clang(?:\+\+)?(?:-\d+)?|gcc|g\+\+|ld(?:\.\w+)?|as): "
    r"(?:fatal )?error: (?P<message>.+)"
)
_LINKER = re.compile(
    r"(?:(?P<place>[^\s:]+:\d+|[^\s:]+):)?.*?(?P<message>undefined reference to .+)"
)
_LINKER_MORE = re.compile(
    r".*(?:undefined references? to|: in function |ld returned \d+ exit status)"
)
_RUST = re.compile(r"error\[E\d+\]: (?P<message>.+)")
_RUST_PLACE = re.compile(r"\s*--> (?P<place>\S+:\d+:\d+)")
_TSC = re.compile(
    r"(?P<place>\S.*?\(\d+(?:,\d+)?\)) ?: (?:fatal )?error (?P<code>[A-Z]+\d+): (?P<message>.+)"
)
_TSC_PRETTY = re.compile(r"(?P<place>\S.*?:\d+:\d+) - error (?P<code>TS\d+): (?P<message>.+)")
_TSC_SOURCE = re.compile(r"\d+ |\s*~+\s*$|\s+\S")
_GO = re.compile(r"(?:vet: )?(?P<place>(?:\.{0,2}/)?[\w./@-]+\.go:\d+:\d+): (?P<message>.+)")
_WEBPACK = re.compile(r"ERROR in (?P<place>\S+(?: \d+:\d+(?:-\d+)*)?)\s*$")
_VITE = "error during build:"


def start(line: LogLine, text: str) -> Block | None:
    """Return the block that this line starts, if any."""
    if match := _C_LIKE.match(text):
        kind = "gcc/clang" if _C_SUFFIX.search(match["place"] + ":") else "compiler"
        return Compiler(line, text, match["message"], match["place"], kind)
    if match := _RUST.match(text):
        return Rustc(line, text, match["message"])
    if match := _TSC.match(text):
        kind = "tsc" if match["code"].startswith("TS") else "compiler"
        message = f"{match['code']}: {match['message']}"
        return Compiler(line, text, message, match["place"], kind)
    if match := _TSC_PRETTY.match(text):
        return PrettyTsc(line, text, f"{match['code']}: {match['message']}", match["place"])
    if match := _GO.match(text):
        return Compiler(line, text, match["message"], match["place"], "go")
    if "undefined reference" in text and (match := _LINKER.match(text)):
        return Linker(line, text, match["message"], match["place"] or "")
    if match := _DRIVER.match(text):
        return Compiler(line, text, match["message"], "", "gcc/clang")
    if match := _WEBPACK.match(text):
        return Bundler(line, text, "webpack", match["place"])
    if text.startswith(_VITE):
        return Bundler(line, text, "vite")
    return None


class Compiler(Block):
    """The error's own line, then indented source, carets and notes."""

    def __init__(self, line: LogLine, text: str, message: str, place: str, kind: str) -> None:
        self.kind = kind
        super().__init__(line, text, message, place)

    def judge(self, text: str) -> Verdict:
        """Take source, carets and notes."""
        return Verdict.TAKE if _C_MORE.match(text) else Verdict.END


class Linker(Block):
    """All undefined references of one link, and the driver's failure message."""

    kind = "linker"

    def judge(self, text: str) -> Verdict:
        """Take further references and the driver's failure message."""
        return Verdict.TAKE if _LINKER_MORE.match(text) else Verdict.END


class Rustc(Block):
    """Everything up to the blank line that rustc prints after each error."""

    kind = "rustc"

    def judge(self, text: str) -> Verdict:
        """Take lines up to a blank one; the arrow gives the location."""
        if not self.location and (match := _RUST_PLACE.match(text)):
            self.location = match["place"]
        return Verdict.TAKE if text.strip() else Verdict.END


class PlainError(Block):
    """A line that starts with `error:`. If the next line is an arrow, it is rustc's."""

    kind = "error"

    def judge(self, text: str) -> Verdict:
        """Take rustc's lines if the first is an arrow, else nothing."""
        if self.kind == "error":
            match = _RUST_PLACE.match(text)
            if match is None:
                return Verdict.END
            self.kind = "rustc"
            self.location = match["place"]
        return Verdict.TAKE if text.strip() else Verdict.END


class PrettyTsc(Block):
    """The error, and after a blank line its source, underlined."""

    kind = "tsc"

    def judge(self, text: str) -> Verdict:
        """Hold blank lines, take source and underlines."""
        if not text.strip():
            return Verdict.HOLD
        return Verdict.TAKE if _TSC_SOURCE.match(text) else Verdict.END


class Bundler(Block):
    """An error of webpack or vite, up to a blank line."""

    def __init__(self, line: LogLine, text: str, kind: str, place: str = "") -> None:
        self.kind = kind
        super().__init__(line, text, location=place)

    def judge(self, text: str) -> Verdict:
        """Take lines up to a blank one; the first is the message."""
        if not text.strip():
            return Verdict.END
        self.message = self.message or text.strip()
        return Verdict.TAKE
