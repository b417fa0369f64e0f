"""Runs of `python -m brummerbus size`: what its tests share."""

import argparse

import pytest

from brummerbus._cli import size
from brummerbus._cli.measure_memory import MeasuredMemory

MB = 1024 * 1024


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run the command like the command line does, and return its output."""
    parser = argparse.ArgumentParser()
    size.add_arguments(parser)
    assert size.run(parser.parse_args(arguments)) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


MEASURED = MeasuredMemory(
    base=100_000,
    idle_worker=20 * 1024,
    busy_worker=60 * 1024,
    slot=200,
    event=500,
    worker_reserved=8 * MB,
    first_worker_reserved=72 * MB,
    thread_stack_size=None,
    resident_by="uss",
)
