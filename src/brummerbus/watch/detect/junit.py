"""Test results as JUnit XML, which many runners write, some of them to standard output.

It is read as it comes, without a parser: an element at a time, since the document may be huge, may
never end, and may have characters in it that no parser accepts.
"""

import re
from html import unescape

from brummerbus.watch.detect.reasons import reason
from brummerbus.watch.detect.runs import Held, Report
from brummerbus.watch.payloads import Found, LogLine

_START = re.compile(r"(?:.*<\?xml [^<>]*\?>)?\s*(?=<testsuites?(?:[\s>/]|$))")
_MARK = re.compile(
    r"<!\[CDATA\[|<!--|"
    r"<(?P<tag>/?(?:testsuites?|testcase|failure|error|skipped|system-(?:out|err)))(?=[\s>/]|$)"
)
_TAG = re.compile(r"""<(?P<inside>[^"'>]*(?:(?:"[^"]*"|'[^']*')[^"'>]*)*)>""")
_ATTRIBUTE = re.compile(r"""([\w:.-]+)\s*=\s*(?:"([^"]*)"|'([^']*)')""")
_KNOWN = re.compile(r"\b(?:pytest|vitest|jest|mocha|phpunit|rspec|ruff)\b", re.IGNORECASE)
_LONGEST_TAG = 16 * 1024
"""Characters of a tag, which may extend over lines; of a longer one the attributes are lost."""
_LONGEST_TEXT = 4000
"""Characters of an element that are kept for the reason."""
_SILENT = 2000
"""Lines without a tag after which the document is taken for cut off."""
_UNPROVED = 30
"""The same before the first test: then it may be something else."""
_NOT_RUN = ("notrun", "disabled", "skipped", "ignored")


class Junit:
    """Reads the documents in one stream; feed it every line in order."""

    def __init__(self, held: Held) -> None:
        self._held = held
        self._report: Report | None = None
        self._depth = 0
        self._silent = 0
        self._proved = False
        """Whether a test has come."""
        self._inside = ""
        """What ends the comment or section that is open."""
        self._rest = ""
        """The beginning of a tag whose end is on a later line."""
        self._case: _Case | None = None

    @property
    def open(self) -> bool:
        """Whether the next lines belong to a document."""
        return self._report is not None

    def feed(self, line: LogLine, text: str) -> list[Found] | None:
        """Take a line of a document; None if it is none."""
        if self._report is None:
            match = _START.match(text) if "<testsuite" in text else None
            if match is None:
                return None
            self._report = Report("junit", line, certain=False)
            self._depth = self._silent = 0
            self._proved = False
            text = text[match.end() :]
        self._report.end = line.number
        self._silent += 1
        self._read(line, f"{self._rest}\n{text}" if self._rest else text)
        if self._silent > (_SILENT if self._proved else _UNPROVED):
            self._leave()
        return []

    def finish(self) -> list[Found]:
        """Hold what a document has said that has no end."""
        if self._report is not None:
            self._leave()
        return []

    def _read(self, line: LogLine, text: str) -> None:
        """Take the tags in a text, and what stands between them."""
        self._rest = ""
        place = 0
        while self._report is not None:
            if self._inside:
                end = text.find(self._inside, place)
                self._keep(text[place : end if end >= 0 else len(text)])
                if end < 0:
                    return
                place, self._inside = end + len(self._inside), ""
            match = _MARK.search(text, place)
            self._keep(text[place : match.start() if match else len(text)])
            if match is None:
                return
            place = match.end()
            if match["tag"] is None:
                self._inside = "]]>" if match[0].startswith("<![") else "-->"
                continue
            tag = _TAG.match(text, match.start())
            if tag is None and len(text) - match.start() <= _LONGEST_TAG:
                self._rest = text[match.start() :]
                return
            place = tag.end() if tag else match.end()
            self._silent = 0
            self._take(line, match["tag"], tag["inside"] if tag else "")

    def _take(self, line: LogLine, name: str, inside: str) -> None:
        """Take a tag."""
        empty = inside.endswith("/")
        if name in ("testsuite", "testsuites"):
            self._suite(_attributes(inside))
            self._depth += not empty
        elif name == "testcase":
            self._proved = True
            self._end_case()
            self._case = _Case(line, _attributes(inside))
            if empty:
                self._end_case()
        elif name == "/testcase":
            self._end_case()
        elif name in ("/testsuite", "/testsuites"):
            self._end_case()
            self._depth -= 1
        elif self._case is not None:
            self._case.take(name, _attributes(inside), empty=empty)
        if self._depth <= 0:
            self._leave()

    def _suite(self, attributes: dict[str, str]) -> None:
        """Take the framework from a suite's name, if it says one."""
        report = self._report
        if report is not None and report.framework == "junit" and not report.results:
            name = attributes.get("name", "")
            if match := _KNOWN.search(name):
                report.framework, report.certain = match[0].lower(), True
            elif name == "AllTests":
                report.framework, report.certain = "googletest", True

    def _keep(self, text: str) -> None:
        if self._case is not None:
            self._case.keep(text)

    def _end_case(self) -> None:
        case, self._case = self._case, None
        if case is None or self._report is None or case.passed is None:
            return
        detail = "" if case.passed else case.reason()
        self._report.add(case.line, case.name, passed=case.passed, detail=detail)

    def _leave(self) -> None:
        """End the document."""
        self._end_case()
        report, self._report = self._report, None
        self._rest = self._inside = ""
        if report is not None and (report.passed or report.failed):
            self._held.hold(report)


class _Case:
    """One test."""

    def __init__(self, line: LogLine, attributes: dict[str, str]) -> None:
        self.line = line
        name, group = attributes.get("name", ""), attributes.get("classname", "")
        between = " > " if "/" in group or " > " in name else "."
        if not group or group == "test" or name.startswith(group):  # of node:test, always the same
            group = between = ""
        self.name = f"{group}{between}{name}"
        ran = attributes.get("status", "").lower() not in _NOT_RUN
        self.passed: bool | None = True if ran else None
        self._expected = False
        """Whether it is to be done, or skipped, so that a failure is none."""
        self._message = self._text = self._output = ""
        self._element = ""

    def take(self, tag: str, attributes: dict[str, str], *, empty: bool) -> None:
        """Take an element of the test."""
        self._element = "" if empty or tag.startswith("/") else tag
        if tag in ("failure", "error"):
            self.passed = None if self._expected else False
            self._message = self._message or attributes.get("message", "")
        elif tag == "skipped":
            self.passed, self._expected = None, True

    def keep(self, text: str) -> None:
        """Keep what stands in a failure, or what the test has printed."""
        if self._element in ("failure", "error"):
            if len(self._text) < _LONGEST_TEXT:
                self._text += f"{text[:_LONGEST_TEXT]}\n"
        elif self._element and len(self._output) < _LONGEST_TEXT:
            self._output += f"{text[:_LONGEST_TEXT]}\n"

    def reason(self) -> str:
        """Return why it failed."""
        for text in (self._message, self._text, self._output):
            if said := reason(unescape(text), self.name.replace(".", "::")):
                return said
        return ""


def _attributes(text: str) -> dict[str, str]:
    return {key: unescape(one or other) for key, one, other in _ATTRIBUTE.findall(text)}
