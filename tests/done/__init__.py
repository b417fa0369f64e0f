"""Tests of `on_done`."""
