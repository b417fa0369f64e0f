"""Tests of the log handler."""
