"""Shared by the tests, apart from fixtures."""
