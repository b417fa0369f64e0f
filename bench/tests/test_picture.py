"""The picture of the live view, which `make picture` makes."""

import pytest

pytest.importorskip("fcntl", reason="the picture is taken on a POSIX terminal")

from bench.demo import picture


def test_it_needs_no_font_from_another_host() -> None:
    svg = picture.as_svg("\x1b[31mErrors\x1b[0m\r\nKeyError")
    assert "Errors" in svg
    assert "@font-face" not in svg
    assert "url(http" not in svg


def test_a_frame_that_shows_where_the_checkout_is_makes_no_picture() -> None:
    wanted = "\r\n".join(picture.READY)
    assert picture.is_good(wanted)
    assert not picture.is_good(f"{wanted}\r\nFile {picture.ROOT}/service.py")
    assert not picture.is_good(wanted.replace("Builds", ""))


def test_the_last_frame_is_the_last_complete_one() -> None:
    assert picture.last_frame("\x1b[Hone\x1b[Htwo\x1b[Hthr") == "two"
