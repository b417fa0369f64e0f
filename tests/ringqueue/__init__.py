"""Tests of the ring queue."""
