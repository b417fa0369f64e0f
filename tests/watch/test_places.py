"""Places in the output of processes as links to files."""

from pathlib import Path

import pytest

from brummerbus.watch.places import LinkError, Links


@pytest.fixture
def source(tmp_path: Path) -> Path:
    file = tmp_path / "app" / "my models.py"
    file.parent.mkdir()
    file.touch()
    return file


@pytest.mark.parametrize(
    ("format", "expected"),
    [
        ("file", "file://{}"),
        ("kitty", "file://{}#33"),
        ("vscode", "vscode://file{}:33:5"),
        ("emacs://{path}?l={line}&c={column}", "emacs://{}?l=33&c=5"),
    ],
)
def test_a_place_is_a_link_in_the_wanted_format(format: str, expected: str, source: Path) -> None:
    """Relative to the directory of its process; spaces are no part of an address."""
    links = Links({"web": str(source.parent.parent)}, format)
    assert links.to("web", "app/my models.py:33:5") == expected.format(
        source.as_posix().replace(" ", "%20")
    )


@pytest.mark.parametrize(
    "place", ["", ":3", "gone.py:3", "app", "app:3", "\0:3", "a" * 5000, "<frozen>:3", "none"]
)
def test_what_is_no_file_is_no_link(place: str, source: Path) -> None:
    assert Links({"web": str(source.parent.parent)}).to("web", place) == ""


def test_a_process_of_another_machine_has_no_links(source: Path) -> None:
    assert Links({"web": "/"}).to("web@far", str(source)) == ""


def test_no_links_are_made_if_none_are_wanted(source: Path) -> None:
    assert Links({"web": "/"}, "none").to("web", str(source)) == ""


def test_a_line_that_is_not_known_is_the_first(source: Path) -> None:
    assert Links({"web": "/"}, "kitty").to("web", str(source)).endswith("#1")


def test_a_test_that_is_named_by_its_file_has_a_link(source: Path) -> None:
    (source.parent / "test_a.py").touch()
    links = Links({"web": str(source.parent)})
    assert links.to_test("web", "test_a.py::TestA::test_b[x.py::y]").endswith("/test_a.py")
    assert links.to_test("web", "TestA.test_b") == ""


def test_a_place_in_the_directory_of_the_process_is_told_without_it() -> None:
    links = Links({"web": "/srv/shop", "root": "/"})
    assert links.shown("web", "/srv/shop/app.py:3") == "app.py:3"
    assert links.shown("web", "/srv/shopping/app.py:3") == "/srv/shopping/app.py:3"
    assert links.shown("root", "/srv/app.py:3") == "/srv/app.py:3"


def test_a_format_without_a_path_is_refused() -> None:
    with pytest.raises(LinkError, match="expected file, kitty, vscode, none or a text with"):
        Links({}, "emacs")


def test_links_do_not_take_more_and_more_memory(source: Path) -> None:
    links = Links({"web": "/"})
    for number in range(5000):
        links.to("web", f"{source}:{number}")
    assert len(links._known) <= 2000
