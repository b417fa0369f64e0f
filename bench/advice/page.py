"""The tables, for the terminal and for the page of the documentation."""

from collections.abc import Sequence
from typing import Any

from bench.advice.comparison import FACTOR, FLOOR, Comparison, Row
from bench.advice.measure import PUNCTUAL
from brummerbus.sizing._advice import duration

COMMAND = "make bench-advice ARGS='--page docs/advice.md'"

METHOD = """# The adviser, against reality

`bus.advise()` measures a running bus and says how many workers it should have, and how long
deliveries would wait with other numbers. `make bench-advice` asks it on five workloads, takes it at
its word, and then runs what it predicted; this page is what that wrote.

Each workload is first run once, twice as long, on a pool that is larger than needed (the probe),
and only there the advice is asked for. Then follow {rounds} rounds of {deliveries:,} deliveries
each, the sizes taking turns to and fro: half of the advised number, one fewer than advised, the
advised one and double. All figures of "predicted" come from the probe alone. "Measured" is the
median of the rounds, of what `stats().queue_wait` says; arrivals are random, drawn anew in each
round, and alike for all sizes.

A prediction holds if p50 and p99 of the wait are off by a factor of {factor} at most. Waits below
{floor} count as {floor}: so long a system takes to wake a thread. "no end" says that the queue
is expected to grow for as long as the load lasts; that holds if p99 misses the target.

The publisher is a thread of the same process. With the interpreter's default switch interval of
5 ms it would wait for the GIL up to 5 ms for each handler that computes just then, and part of the
wait would come before publishing, where the bus cannot see it: with the default, p99 in "all
computing" was 0.72 (one worker) and 0.45 (two) of what was predicted. So the runs are made with
{interval:g} ms. Sizes that are nearly saturated need far longer runs than these to show their p99
(at 87 % load, an earlier run of "all waiting" measured 0.64 of what was predicted); the rates are
chosen so that there is none.
"""


def text(found: Comparison) -> str:
    """Return a workload's table for the terminal."""
    lines = [f"{found.name}: {found.what}", f"  {_advice(found)}"]
    lines += [f"  {'  '.join(cell.rjust(17) for cell in row)}" for row in _table(found)]
    return "\n".join([*lines, f"  {_verdict(found)}", ""])


def page(all_found: Sequence[Comparison], context: dict[str, Any]) -> str:
    """Return the page."""
    parts = [
        METHOD.format(**context, factor=FACTOR, floor=duration(FLOOR), interval=PUNCTUAL * 1e3),
        "## Verdicts\n",
        summary(all_found),
        "",
    ]
    for found in all_found:
        head, *rows = _table(found)
        parts += [f"## {found.name}\n", f"{found.what[0].upper()}{found.what[1:]}."]
        parts += [f"{_advice(found)}\n", _markdown(head, rows), f"\n{_verdict(found)}\n"]
    return "\n".join([*parts, _where(context["machine"])]) + "\n"


def _where(machine: dict[str, Any]) -> str:
    return (
        f"## Where\n\n{machine['python']}, {machine['system']}, {machine['processor']}, "
        f"{machine['cores']} cores, commit {machine['commit']}. Written by `{COMMAND}`."
    )


def summary(all_found: Sequence[Comparison]) -> str:
    """Return in how many cases the adviser was right."""
    rows = [(row, found) for found in all_found for row in found.rows]
    right = sum(row.predicted_well(found.target) for row, found in rows)
    meet, fewest = sum(f.meets() for f in all_found), sum(f.fewest() for f in all_found)
    return (
        f"- p50 and p99 were predicted within a factor of {FACTOR} in {right} of {len(rows)} cases."
        f"\n- The advised number met the target in {meet} of {len(all_found)} workloads."
        f"\n- One worker fewer missed it, or there is none fewer, in {fewest} of {len(all_found)}."
    )


def _advice(found: Comparison) -> str:
    number = "no number" if found.advised is None else f"{found.advised} workers"
    return (
        f"p99 is to be {duration(found.target)} at most. Asked on {found.probed_with} workers, the "
        f"advice is {number}: {found.reason}."
    )


def _table(found: Comparison) -> list[tuple[str, ...]]:
    head = ("workers", "p50 predicted", "p50 measured", "p99 predicted", "p99 measured", "p99 x")
    return [(*head, "holds"), *(_cells(found, row) for row in found.rows)]


def _cells(found: Comparison, row: Row) -> tuple[str, ...]:
    advised = " (advised)" if row.workers == found.advised else ""
    return (
        f"{row.workers}{advised}",
        duration(row.predicted.p50),
        duration(row.measured.p50),
        duration(row.predicted.p99),
        duration(row.measured.p99),
        "-" if row.saturated else f"{row.ratios()[1]:.2f}",
        "yes" if row.predicted_well(found.target) else "no",
    )


def _verdict(found: Comparison) -> str:
    if found.advised is None:
        return "No number was advised, so there is nothing to run."
    meets = "meets" if found.meets() else "misses"
    fewer = (
        "nor is there one fewer"
        if found.advised == 1
        else ("one fewer misses it" if found.fewest() else "so would one fewer have")
    )
    return f"The advised number {meets} the target; {fewer}."


def _markdown(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("--:",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
