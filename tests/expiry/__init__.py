"""Tests of events that expire."""
