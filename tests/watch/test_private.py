"""Files that their owner alone may read."""

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from brummerbus.watch.private import make_private, private_text, tighten

from .helpers import Watcher


@pytest.fixture(autouse=True)
def _liberal() -> Iterator[None]:
    """A umask with which files are readable and writable by all."""
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    """Return a file's mode."""
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_file_is_private_and_an_existing_one_becomes_it(tmp_path: Path) -> None:
    for name in ("new", "old"):
        path = tmp_path / name
        if name == "old":
            path.write_text("content")
            path.chmod(0o644)
        make_private(path)
        assert mode(path) == 0o600
    assert path.read_text() == "content"


def test_a_file_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    tighten(tmp_path / "none")
    assert list(tmp_path.iterdir()) == []


def test_a_text_replaces_a_public_file_by_a_private_one(tmp_path: Path) -> None:
    """Through a link, too."""
    path, link = tmp_path / "report", tmp_path / "link"
    path.write_text("before")
    path.chmod(0o666)
    link.symlink_to(path)
    with private_text(link) as out:
        out.write("after")
        assert path.read_text() == "before"
    assert (path.read_text(), mode(path)) == ("after", 0o600)
    assert link.is_symlink()


def test_a_text_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "report"
    path.write_text("before")

    def write_and_fail() -> None:
        with private_text(path) as out:
            out.write("after")
            raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        write_and_fail()
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.slow
def test_reports_are_written_by_their_names_and_as_private_as_the_store(watcher: Watcher) -> None:
    """One of each kind; one of them was a public file before."""
    pytest.importorskip("matplotlib")
    public = watcher.directory / "r.html"
    public.touch(0o666)
    result = watcher.run("--report", "r.html", "--report", "r.json", "--", "true")
    assert result.returncode == 0
    names = ("log.db", "r.html", "r.json")
    assert {name: mode(watcher.directory / name) for name in names} == dict.fromkeys(names, 0o600)
    assert public.read_text().startswith("<!DOCTYPE html>")
    assert json.loads((watcher.directory / "r.json").read_text())["exit_code"] == 0


def test_a_report_that_cannot_be_written_is_an_error_and_an_exit_code(watcher: Watcher) -> None:
    """What was watched has succeeded, and is in the store."""
    command = ("sh", "-c", "rm -r reports")
    (watcher.directory / "reports").mkdir()
    result = watcher.run("--report", "reports/r.json", "--", *command)
    assert result.returncode == 1
    assert "reports/r.json: No such file or directory" in result.stderr
