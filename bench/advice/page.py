"""The tables, for the terminal and for the page of the documentation."""

from collections.abc import Sequence
from typing import Any

from bench.advice.comparison import FACTOR, FLOOR, Comparison, Row
from brummerbus.sizing._advice import duration

METHOD = """# The adviser, against reality

`bus.advise()` measures a running bus and says how many workers it should have, and how long
deliveries would wait with other numbers. `make bench-advice` asks it on {workloads} workloads,
takes it at its word, and then runs what it predicted; this page is what that wrote.

Each workload is first run once, for {probe:g} s, on a pool that is larger than needed (the probe),
and only there the advice is asked for. Then follow {rounds} rounds of {seconds:g} s, the sizes in
alternating order: one worker fewer than advised, the advised number, and one more.
All figures of "predicted" come from the probe alone. "Measured" is what `stats().queue_wait` says,
of all rounds together; arrivals are random, different in each round, and the same for all sizes.
Workloads called "random" were drawn by a seed: `--random 5 --seed 1`.

A prediction holds if p50 and p99 of the wait are off by a factor of {factor} at most. Waits below
{floor} count as {floor}: so long a system takes to wake a thread. "no end" says that the queue
is expected to grow for as long as the load lasts; that holds if p99 misses the target.

The publisher is a thread of the same process, and waits for the GIL, too, while a handler computes:
for a switch interval of 5 ms, or twice as long if two handlers do. That part of the wait comes
before publishing and is not measured; the simulation has a publisher that waits likewise.

The shorter the run, the more p99 is a matter of chance, above all where sizes are nearly saturated
or where about 1 in 100 deliveries waits at all: a second run of the same size shows another one.
"""

REALTIME = """
The machine had other work (load average {load:g} at the beginning), but the runs had real-time
priority (`--realtime`), so that the bus had the processors whenever it wanted them.
"""


def text(found: Comparison) -> str:
    """Return a workload's table for the terminal."""
    lines = [f"{found.name}: {found.what}", f"  {_advice(found)}"]
    lines += [f"  {'  '.join(cell.rjust(17) for cell in row)}" for row in _table(found)]
    return "\n".join([*lines, f"  {_verdict(found)}", ""])


def page(all_found: Sequence[Comparison], context: dict[str, Any]) -> str:
    """Return the page."""
    parts = [
        METHOD.format(
            **context,
            probe=context["seconds"] * context["rounds"],
            workloads=len(all_found),
            factor=FACTOR,
            floor=duration(FLOOR),
        ),
        REALTIME.format(**context["machine"]) if context["realtime"] else "",
        "## Verdicts\n",
        summary(all_found),
        "",
    ]
    for found in all_found:
        head, *rows = _table(found)
        parts += [f"## {found.name}\n", f"{found.what[0].upper()}{found.what[1:]}."]
        parts += [f"{_advice(found)}\n", _markdown(head, rows), f"\n{_verdict(found)}\n"]
    return "\n".join([*parts, _where(context)]) + "\n"


def _where(context: dict[str, Any]) -> str:
    machine = context["machine"]
    return (
        f"## Where\n\n{machine['python']}, {machine['system']}, {machine['processor']}, "
        f"{machine['cores']} cores, commit {machine['commit']}. Written by "
        f"`make bench-advice ARGS='{context['arguments']}'`."
    )


def summary(all_found: Sequence[Comparison]) -> str:
    """Return in how many cases the adviser was right."""
    rows = [(row, found) for found in all_found for row in found.rows]
    right = sum(row.predicted_well(found.target) for row, found in rows)
    meet, minimal = sum(f.meets() for f in all_found), sum(f.is_minimum() for f in all_found)
    return (
        f"- p50 and p99 were predicted within a factor of {FACTOR} in {right} of {len(rows)} cases."
        f"\n- The advised number met the target in {meet} of {len(all_found)} workloads."
        f"\n- It was the minimum (one worker fewer misses it) in {minimal} of {len(all_found)}."
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
    fewer = "there is no smaller number"
    if found.advised > 1:
        fewer = f"one worker fewer {'misses' if found.is_minimum() else 'would meet'} it"
    return f"The advised number {meets} the target; {fewer}."


def _markdown(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("--:",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
