"""Tests of `publish_async`."""
