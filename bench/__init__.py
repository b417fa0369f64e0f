"""Benchmarks: programs that measure, and the tests of these programs."""
