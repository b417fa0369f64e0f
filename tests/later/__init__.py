"""Tests of scheduled events."""
