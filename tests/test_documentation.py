"""What the documentation shows is true: snippets run, what they print is what the page says.

The rules, for README.md and every page in docs/:

- A `python` fence is run in the page's namespace, so a page reads like one program. Set-up that a
  reader need not see is an `invisible-code-block`, which is an HTML comment.
- One with `title="name.py"` is a file: it is written into a folder of the page's own and run there,
  by pytest if its name begins with `test_`.
- A `text` fence after either is what that printed; `...` stands for anything, as in doctest.
"""

import doctest
import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from importlib.util import find_spec
from pathlib import Path

import pytest

import brummerbus
from brummerbus import EventBus
from helpers.waiting import HANG

pytest.importorskip("sybil", reason="snippets need the extra 'test'")

from sybil import Document, Example, Region, Sybil
from sybil.evaluators.python import PythonEvaluator
from sybil.parsers.markdown import CodeBlockParser
from sybil.parsers.markdown.lexers import RawFencedCodeBlockLexer

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]
ALL = list(zip(PAGES, NAMES, strict=True))

NEEDS = {
    "docs/howto/django-tasks.md": ("django.tasks",),
    "docs/howto/opentelemetry.md": ("opentelemetry",),
    "docs/howto/prometheus.md": ("prometheus_client",),
    "docs/howto/logging.md": ("loguru",),
    "docs/howto/waitress.md": ("waitress",),
    "docs/relay.md": ("nats",),
    "docs/howto/web.md": ("flask", "django", "fastapi", "httpx2"),
}
"""Packages, of the extra `docs`, without which a page cannot run."""

SLOW = (
    "docs/howto/django-tasks.md",
    "docs/howto/test-bus.md",
    "docs/howto/testing.md",
    "docs/howto/web.md",
    "docs/relay.md",
    "docs/tutorial.md",
)
"""They run pytest, or programs that import a framework or start a server."""

NEEDS_POSIX = (
    "docs/howto/flight-recorder.md",
    "docs/howto/forking.md",
    "docs/howto/web.md",
    "docs/relay.md",
)
"""Pages about fork, about signals that only POSIX has, or about locks of files."""

SHOWN = {"python", "text", "console", "sh", "yaml", "py", "ini"}
"""The languages of fences. What is Python has to say so, or it would not be run."""

STRICT = ("-W", "error", "-W", "ignore:This process:DeprecationWarning")
"""Warnings are errors, except for the one that CPython 3.12 and newer give at each fork."""

HOME = "https://github.com/brummerbus/brummerbus"
RAW = "https://raw.githubusercontent.com/brummerbus/brummerbus/main/"


def is_installed(package: str) -> bool:
    """Return whether a package, or a module in one, can be imported."""
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:
        return False


# ---- running a page ------------------------------------------------------------------------------


def run_snippet(example: Example) -> None:
    """Run it in the page's namespace, and keep what it prints."""
    with redirect_stdout(io.StringIO()) as printed:
        PythonEvaluator()(example)
    example.namespace["_printed"] = printed.getvalue()


def run_script(example: Example) -> None:
    """Write a file and run it, and keep what it prints."""
    name = example.region.lexemes["name"]
    Path(name).write_text(example.parsed, encoding="utf-8")
    command = [sys.executable, *STRICT, name]
    if name.startswith("test_"):
        plugins = ["-p", "no:cacheprovider", "-p", "_brummerbus_pytest"]
        command = [sys.executable, "-m", "pytest", "-q", *plugins, name]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(Path.cwd()), os.environ.get("PYTHONPATH", "")]),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # plain pytest, and a quicker start
    }
    ended = subprocess.run(
        command, capture_output=True, text=True, timeout=2 * HANG, env=environment, check=False
    )
    assert ended.returncode == 0, f"{name}:\n{ended.stdout}\n{ended.stderr}"
    example.namespace["_printed"] = ended.stdout


def compare(example: Example) -> None:
    """Compare what the snippet before has printed with what the page says."""
    printed = example.namespace.pop("_printed", None)
    assert printed is not None, f"no snippet before line {example.line} has printed this"
    shown = doctest.Example("", str(example.parsed))
    checker = doctest.OutputChecker()
    if not checker.check_output(shown.want, printed, doctest.ELLIPSIS):
        difference = checker.output_difference(shown, printed, doctest.REPORT_NDIFF)
        pytest.fail(f"{example.path}, line {example.line}: it prints something else\n{difference}")


FILE_LEXER = RawFencedCodeBlockLexer(
    re.compile(r'python title="(?P<name>[\w.]+)"$\n', re.MULTILINE)
)


def parse_files(document: Document) -> Iterator[Region]:
    """Find the snippets with a title."""
    for region in FILE_LEXER(document):
        region.parsed, region.evaluator = region.lexemes["source"], run_script
        yield region


SNIPPETS = Sybil(
    [CodeBlockParser("python", run_snippet), CodeBlockParser("text", compare), parse_files]
)


def run_page(page: Path) -> int:
    """Run the snippets of a page in order; return how many there are."""
    document = SNIPPETS.parse(page)
    examples = list(document.examples())
    try:
        for example in examples:
            example.evaluate()
    finally:
        for value in document.namespace.values():
            if isinstance(value, EventBus):
                value.stop(drain=False, timeout=HANG)
    return len(examples)


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run snippets where the files they make do no harm."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    "page",
    [pytest.param(page, marks=pytest.mark.slow if name in SLOW else ()) for page, name in ALL],
    ids=NAMES,
)
def test_every_python_snippet_runs_and_prints_what_the_page_says(page: Path) -> None:
    name = page.relative_to(ROOT).as_posix()
    if name in NEEDS_POSIX and not hasattr(os, "fork"):
        pytest.skip("the page needs POSIX")
    missing = [package for package in NEEDS.get(name, ()) if not is_installed(package)]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}, of the extra 'docs'")
    shown = sum(language(info) == "python" for info, _ in fences(page))
    assert run_page(page) >= shown


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("```python\nprint(1)\n```\n\n```text\n2\n```\n", "prints something else"),
        ("```python\nassert False\n```\n", None),
        ('```python title="a.py"\nraise SystemExit(3)\n```\n', "a.py"),
        ('```python title="test_a.py"\ndef test_a():\n    assert False\n```\n', "1 failed"),
        ("```text\n1\n```\n", "no snippet before"),
        ("<!--- invisible-code-block: python\nassert False\n-->\n", None),
    ],
)
def test_a_page_with_a_wrong_snippet_fails(
    tmp_path: Path, text: str, complaint: str | None
) -> None:
    page = tmp_path / "page.md"
    page.write_text(text, encoding="utf-8")
    with pytest.raises((AssertionError, pytest.fail.Exception), match=complaint):
        run_page(page)


# ---- what a page shows beside Python -------------------------------------------------------------


FENCE = re.compile(r"^( *)```(.*)\n((?:.*\n)*?)\1```$", re.MULTILINE)


def fences(page: Path) -> Iterator[tuple[str, str]]:
    """Yield the info line and the text of each fenced block."""
    for match in FENCE.finditer(page.read_text(encoding="utf-8")):
        yield match[2], match[3]


def language(info: str) -> str:
    """Return the language of a fence."""
    return info.partition(" ")[0]


def test_every_fence_names_its_language() -> None:
    """One that is Python under another name would not be run; `py` is for files of examples/."""
    for page in PAGES:
        for info, text in fences(page):
            assert language(info) in SHOWN, (page, info, text)
            if language(info) == "py":
                included = re.fullmatch(r'--8<-- "(examples/\w+\.py)"\n', text)
                assert included, (page, text)
                assert (ROOT / included[1]).exists(), page


def makefile_targets() -> set[str]:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z][a-z-]*):", text, re.MULTILINE))


def test_every_make_target_that_a_page_names_exists() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        code = re.findall(r"`+([^`]+)`+", text) + re.findall(r"^ {4}(.*)$", text, re.MULTILINE)
        named = {target for span in code for target in re.findall(r"\bmake ([a-z][a-z-]*)", span)}
        assert named <= makefile_targets(), page


def test_the_pages_do_name_make_targets() -> None:
    assert {"test", "docs", "claims"} <= makefile_targets()
    assert any("make run" in page.read_text(encoding="utf-8") for page in PAGES)


def test_every_link_into_the_repository_leads_to_a_file() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        paths = re.findall(rf"{HOME}/(?:blob|tree)/main/([^)#\s]*)", text)
        paths += re.findall(rf"{RAW}([^)#\s]*)", text)
        assert not [path for path in paths if not (ROOT / path).exists()], page


def test_every_file_that_a_page_names_in_code_exists() -> None:
    """Also folders, and patterns such as `tests/c/test_resize*.c`."""
    for page in (*PAGES, ROOT / "CONTRIBUTING.md"):
        text = page.read_text(encoding="utf-8")
        named = re.findall(r"`((?:bench|docs|examples|release|tests)/[\w./*-]*)", text)
        assert not [name for name in named if not any(ROOT.glob(name.rstrip("/")))], page


def test_the_reference_has_every_public_name() -> None:
    pages = (ROOT / "docs" / "reference").glob("*.md")
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    documented = set(re.findall(r"^::: brummerbus\.(\w+)$", text, re.MULTILINE))
    assert documented == {name for name in brummerbus.__all__ if not name.startswith("_")}


def test_the_reference_of_the_bus_has_every_public_method() -> None:
    """Also those of the classes that it is made of, which have to be named twice."""
    text = (ROOT / "docs" / "reference" / "bus.md").read_text(encoding="utf-8")
    options = text.partition("::: brummerbus.EventBus\n")[2].partition(":::")[0]
    inherited = re.search(r"inherited_members: \[(.*)\]", options)
    assert inherited
    taken = set(re.findall(r"\w+", inherited[1]))
    members = set(re.findall(r'- "?(\w+)', options))
    assert members == {name for name in dir(EventBus) if not name.startswith("_")}
    assert members - set(vars(EventBus)) == taken


def test_the_readme_has_no_relative_link() -> None:
    """The package index shows it far from the files that it links to."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)]*)\)", text)
    assert targets
    assert [target for target in targets if not target.startswith(("https://", "#"))] == []
