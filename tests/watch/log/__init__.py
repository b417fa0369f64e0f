"""Tests of the `log` command."""
