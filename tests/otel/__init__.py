"""Tests of `brummerbus.otel`."""
