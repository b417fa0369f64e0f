"""The tables of patterns: each section's own example, and a user's own file."""

from pathlib import Path

import pytest

from brummerbus.watch.detect.builds import tools
from brummerbus.watch.detect.closings import Runner, runners
from brummerbus.watch.detect.shapes import shapes
from brummerbus.watch.patterns import Pattern, PatternError, builtin, read_patterns
from brummerbus.watch.patterns.lazy import Lazy

from .helpers import Watcher, find

OWN = """\
[deploy]
hint = deploy-
start = DEPLOY-(?P<line>\\d+) (?P<message>.+)
more = \\s+at
example =
    | DEPLOY-7 no host
    |   at step 3
"""


@pytest.mark.parametrize("pattern", builtin(), ids=lambda pattern: pattern.name)
def test_each_pattern_finds_its_own_example_once(pattern: Pattern) -> None:
    assert pattern.example, "without an example nobody knows what it is for"
    after = "" if "last" in pattern.flags else "\n\nINFO after\n"
    errors = find(f"before\n{pattern.example}{after}").errors
    if "ignore" in pattern.flags:
        assert errors == []
        return
    [error] = errors
    assert (error.kind, error.message) == (pattern.kind, pattern.says)
    assert error.location == pattern.at


def test_each_expression_in_the_tables_is_one() -> None:
    """They are compiled when they are first used, which may be in no test."""
    found = [regex for pattern in builtin() for regex in pattern.regexes.values()]
    for row in (*runners(), *shapes()):
        values = [getattr(row, name) for name in row.__dataclass_fields__]
        found += [value for value in values if isinstance(value, Lazy)]
    for tool in tools():
        found += [regex for _, regex in (*tool.steps, *tool.vague)]
        found += [tool.proof] if tool.proof else []
    assert len(found) > 400
    for regex in found:
        regex.match("")


def test_the_first_line_of_each_pattern_has_one_of_its_hints() -> None:
    """Otherwise it would be skipped before the pattern is tried."""
    for pattern in builtin():
        matching = [line for line in pattern.example.splitlines() if pattern.start.match(line)]
        assert matching, pattern.name
        assert any(hint in matching[0].lower() for hint in pattern.hints), pattern.name


def test_what_perl_says_and_goes_on_is_a_warning() -> None:
    """`warn` and `die` print the same; only the last thing that a process says is why it died."""
    text = "careful at x.pl line 3.\n"
    assert find(text + "going on\n").errors == []
    assert [error.message for error in find("going on\n" + text).errors] == ["careful"]


@pytest.mark.parametrize("runner", runners(), ids=lambda runner: runner.framework)
def test_each_closing_line_gives_the_figures_of_its_runner(runner: Runner) -> None:
    found = find(f"before\n{runner.example}\nafter\n")
    assert found.figures == runner.finds
    assert found.frameworks == {runner.framework}
    assert found.errors == []
    named = [result for result in found.results if result.name and not result.passed]
    if runner.fails:
        assert tuple((result.name, result.detail) for result in named) == runner.fails


def test_a_user_s_own_pattern_is_found(watcher: Watcher) -> None:
    (watcher.directory / "own.ini").write_text(OWN)
    script = watcher.script("deploy.py", "print('DEPLOY-7 no host')\nprint('  at step 3')")
    report = watcher.report("--patterns", "own.ini", "--", *script.split())
    [found] = report["errors"]["found"]
    assert (found["kind"], found["message"], found["last"]) == ("deploy", "no host", 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[x]\nhint = a\n", r"\[x\]: 'start' is missing"),
        ("[x]\nstart = (\n", r"\[x\]: 'start' is no regular expression: .*, got '\('"),
        ("[x]\nstart = a\nmroe = b\n", r"\[x\]: unknown key 'mroe'; accepted are start, more"),
        ("[x]\nstart = a\nblank = 1\n", r"\[x\]: 'blank': expected 'yes' or 'no', got '1'"),
        ("no section\n", "no section"),
    ],
)
def test_a_file_of_patterns_that_is_wrong_is_refused_by_name(
    text: str, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "own.ini"
    path.write_text(text)
    with pytest.raises(PatternError, match=message):
        read_patterns(path)


def test_a_file_of_patterns_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PatternError, match=r"--patterns .*nope.ini: .*No such file"):
        read_patterns(tmp_path / "nope.ini")
