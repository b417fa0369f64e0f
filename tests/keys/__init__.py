"""Tests of keyed subscriptions."""
