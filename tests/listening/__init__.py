"""Tests of listeners and waits."""
