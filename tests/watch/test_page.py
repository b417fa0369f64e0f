"""The report as one HTML page."""

import re
from html.parser import HTMLParser
from typing import Any

import pytest

from brummerbus.watch import page, plots

from .figures import failure, found, long_report, process, small_report

EVIL = "<script>alert(1)</script>\"'><img src=x onerror=y>&\x1b[2J\x00"
EMPTY = {"meta"}


class Elements(HTMLParser):
    """The elements of a page: each with its attributes, those that are open, and the text."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.opened: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in EMPTY:
            self.opened.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.opened.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    return small_report()


@pytest.fixture(autouse=True)
def without_matplotlib(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Importing it takes seconds, and most of the page needs no plots."""
    if request.cls is not TestPlots:
        monkeypatch.setattr(plots, "available", lambda: False)


@pytest.fixture
def html(report: dict[str, Any]) -> str:
    return page.as_html(report)


def test_it_begins_with_what_failed_and_ends_with_the_bus(html: str) -> None:
    body = html[html.index("<body>") :]
    order = [
        body.index(part)
        for part in (
            "2 of 2 processes failed, 1 error, 1 of 2 tests failed",
            "<code>a.py:3</code>", "KeyError: &#x27;&lt;x&gt;&#x27;",
            "<code>t::bad</code>", "1 != 2",
            "Failed, with no error in the output", "no &lt;route&gt;",
            "make failed 1", "<h2>Processes</h2>",
            "The bus that carried the lines", "log.line", "too little data",
        )
    ]  # fmt: skip
    assert order == sorted(order)
    assert body.index("<summary>The bus") < body.index("log.line")


def test_a_run_in_which_nothing_failed_says_so(report: dict[str, Any]) -> None:
    calm = long_report(errors=0, tests=0, processes=2)
    text = page.as_html(calm)
    assert '<p class="verdict good">Nothing failed, 3 tests passed</p>' in text
    assert "<li>" not in text


def test_a_process_that_was_stopped_has_not_failed() -> None:
    report = long_report(errors=0, tests=0, processes=0)
    report["processes"] = [process(exit_code=130, stopped=True)]
    assert "Nothing failed" in page.as_html(report)


def test_it_loads_nothing_and_runs_nothing(html: str) -> None:
    elements = Elements(html)
    assert not {"script", "link", "img", "iframe", "object"} & {tag for tag, _ in elements.found}
    assert not [at for _, attributes in elements.found for at in attributes if at.startswith("on")]
    assert not re.findall(r"(?:src)\s*=|url\((?!#)|@import", html)
    assert "default-src 'none'; style-src 'unsafe-inline'" in html


def test_it_is_well_formed(html: str) -> None:
    """Every element that is opened is closed, in order."""
    assert Elements(html).opened == []


def test_it_follows_the_reader_s_width_and_dark_mode(html: str) -> None:
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in html
    assert "@media (prefers-color-scheme: dark)" in html
    assert "color-scheme: light dark" in html


def test_what_processes_print_is_no_markup_in_it() -> None:
    """Names, commands, messages, places, tracebacks, details, last lines, and links."""
    report = long_report(errors=0, tests=0, processes=0)
    report["target"] = EVIL
    errors = [
        found(0, process=EVIL, message=EVIL, kind=EVIL, place=EVIL, text=f"{EVIL}\n{EVIL}",
              link=f"file:///{EVIL}")
    ]  # fmt: skip
    report["errors"] = {"count": 1, "found": errors}
    failures = [failure(0, process=EVIL, name=EVIL, detail=EVIL, link=f"file:///{EVIL}")]
    report["tests"] = {"passed": 0, "failed": 1, "failures": failures}
    report["processes"] = [process(EVIL, command=EVIL, exit_code=1, last_line=EVIL)]
    report["builds"] = {EVIL: 1}
    report["handler_errors"] = [EVIL]
    html = page.as_html(report)
    elements = Elements(html)
    assert elements.opened == []
    assert not {"script", "img"} & {tag for tag, _ in elements.found}
    assert "\x1b" not in html
    assert sum("<script>alert(1)</script>" in text for text in elements.text) >= 12


def test_places_are_links_to_files() -> None:
    report = long_report(errors=1, tests=1, processes=1)
    report["errors"]["found"][0]["link"] = "file:///srv/a.py"
    report["tests"]["failures"][0]["link"] = "vscode://file/srv/t.py:1:1"
    links = [at["href"] for tag, at in Elements(page.as_html(report)).found if tag == "a"]
    assert links == ["file:///srv/a.py", "vscode://file/srv/t.py:1:1"]


def test_without_matplotlib_it_has_no_plots_and_says_what_to_install(html: str) -> None:
    assert "<svg" not in html
    assert "pip install &#x27;brummerbus[report]&#x27;" in html


@pytest.fixture(scope="module")
def drawn(report: dict[str, Any]) -> str:
    """The page with its plots, which take half a second."""
    pytest.importorskip("matplotlib")
    return page.as_html(report)


@pytest.mark.slow
class TestPlots:
    """The bus's figures, drawn."""

    def test_there_is_one_of_each_kind(self, drawn: str) -> None:
        """Depth, deliveries, times and utilisation."""
        assert drawn.count("<svg") == drawn.count("</svg>") == 4

    def test_the_page_still_needs_no_other_file(self, drawn: str) -> None:
        """Also not a font, or a style sheet of the plots."""
        assert not re.findall(r"(?:src|href)\s*=\s*[\"'](?!#)|url\((?!#)|@import|<script", drawn)
        assert Elements(drawn).opened == []

    def test_they_have_the_page_s_background(self, drawn: str) -> None:
        """Black on white would be unreadable, or glaring, on a dark page."""
        assert "fill: #ffffff" not in drawn
        assert "svg text { fill: var(--ink) !important }" in drawn

    def test_the_same_report_makes_the_same_page(self, drawn: str, report: dict[str, Any]) -> None:
        """No date, no random identifiers."""
        assert page.as_html(report) == drawn
