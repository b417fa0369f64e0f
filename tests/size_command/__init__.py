"""Tests of `python -m brummerbus size`."""
