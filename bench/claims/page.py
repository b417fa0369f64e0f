"""The documentation page, written from a run."""

from typing import Any

from bench.claims.claim_tables import (
    VERDICTS,
    change_rows,
    exhaustion_rows,
    markdown,
    reason_lines,
    shape_rows,
    summary_rows,
)
from bench.claims.loads import GUARD, LIMITED, PACED_SECONDS, PEAK, THINK
from bench.claims.outcome import Outcome
from bench.claims.verdicts import CLAIMS
from bench.claims.ways import NAIVE

COMMAND = "make claims ARGS='--page docs/claims.md'"

TITLE = """# The study's claims, verified

The study that this project implements claims of a bounded pool with a priority queue, against one
thread for each handler and event: nine tenths less memory, half the latency, 30 % more throughput,
and no exhaustion. `make claims` measures that, with real work, and writes this page.
"""

METHOD = """## How it is measured

**The work.** An event is a line of real output, of pytest and of a failing program. The types occur
as at the peak of the study's session: 40 `log.line` to 10 `mcp.activity` to 3 `process.started`.
`store` (every type) appends the line to a file and flushes; `parse` (`log.line`) runs eight regular
expressions over {lines} lines; `fetch` (`mcp.activity`) requests from an HTTP server on loopback,
in its own process, which takes {think} ms per answer, over persistent connections. Before the run
the number of lines is set so that handling is 70 % waiting and 30 % computing. With one thread and
no other load it was **{waiting:.0f} % waiting**, {run_us:.0f} us per handler run:

{handlers}

The waiting is almost only the HTTP request: an append to the system's cache is computing, by the
thread's CPU clock.

**The loads.** The study's peak, {peak:,.0f} handler runs per second, and ten times that, each for
{seconds:.0f} s; and all events at once. Each with the workers, queue size and publishers of the
study's four load cases (small: 2, 20, 10; medium: 4, 40, 50; heavy: 8, 80, 100; burst: 4, 200,
500). All at once means 1,000, 10,000, 100,000 and 50,000 events, and ends at the case's limit of 1,
5, 30 and 10 s: what is not handled by then is "left". A paced load is open: each event is due at a
time fixed in advance, and its latency counts from then, even if its publisher was delayed. All at
once, all are due at the beginning.

**The contestants** have the same handlers. `ThreadPoolExecutor` has as many workers as the bus. The
bus has its defaults except for the policy, which is BLOCK, so that it also does all the work.
No contestant may have more than {guard:,} threads: the machine has to survive the measurement.

**The figures.** Each measurement has its own process; the contestants alternate, {rounds} rounds.
Tables show medians; ratios are medians of the ratios of neighbouring rounds.

- "memory +MB" is the growth of the resident set from the moment at which the publishers are ready
  to its peak; "peak MB" is the peak.
- Latency is from due to handled. A run that was lost or left counts as handled at the limit, which
  is a lower bound. "urgent" is `process.started`, HIGH in the bus.
- Threads are counted from outside every 5 ms, publishers included.
- "switches per run" are voluntary + involuntary context switches per handled run.
- "lost" are runs that never began, "failed" those whose handler raised, "left" those that the limit
  ended. The sum of these and the handled ones must be right, and the lines in the file must be
  those of the events.
"""


def page(outcome: Outcome, plots: list[str]) -> str:
    """Return the page."""
    parts = [TITLE, _verdicts(outcome), _exhaustion(outcome), _why(outcome)]
    parts += [f"![{name}]({name})\n" for name in plots]
    parts += [_executor(outcome), _method(outcome), _figures(outcome), _machine(outcome)]
    return "\n".join(part for part in parts if part)


def _verdicts(outcome: Outcome) -> str:
    lines = ["## Verdicts\n", "In how many of the load cases each claim holds, by load, and the"]
    lines += ["minimum, the median and the maximum of the change over all:", ""]
    lines += [markdown(summary_rows(outcome, NAIVE)), ""]
    lines += ["The change from one thread per handler and event to the bus, and whether it is"]
    lines += ["as much as claimed; if the rounds disagree, how many agree with the verdict:"]
    lines += ["", markdown(change_rows(outcome, NAIVE)), ""]
    return "\n".join(lines)


def _exhaustion(outcome: Outcome) -> str:
    if outcome.no_exhaustion is None:
        return "## No exhaustion: not measured\n\nNo limit of threads works on this system.\n"
    more = LIMITED.threads
    return "\n".join(
        [
            f"## No exhaustion: {VERDICTS[outcome.no_exhaustion]}\n",
            f"The server takes {LIMITED.think} s per answer, {LIMITED.case.events} events arrive",
            f"at once, and the system allows the process {more} threads, and refuses more:",
            "",
            markdown(exhaustion_rows(outcome)),
            "",
        ]
    )


def _why(outcome: Outcome) -> str:
    reasons = reason_lines(outcome)
    if not reasons:
        return ""
    return "\n".join(
        ["## Where a claim does not hold, and why\n", *(f"- {r}" for r in reasons), ""]
    )


def _executor(outcome: Outcome) -> str:
    lines = ["## Against the pool of the standard library\n"]
    lines += ["The study makes no claim here. A bounded pool saves threads, and"]
    lines += ["`ThreadPoolExecutor` is one too; its queue has no bound, and no priorities:", ""]
    for theirs in outcome.verdicts:
        if theirs != NAIVE:
            lines += [markdown(change_rows(outcome, theirs)), ""]
    return "\n".join(lines)


def _method(outcome: Outcome) -> str:
    work: dict[str, Any] = outcome.context["work"]
    rows = [["handler", "of 103 runs", "wall us", "CPU us"]]
    for name, times in work["handlers_us"].items():
        rows.append([name, str(times["calls"]), f"{times['wall']:.1f}", f"{times['cpu']:.1f}"])
    return METHOD.format(
        lines=work["lines"],
        think=THINK * 1e3,
        waiting=work["waiting"] * 100,
        run_us=work["run_us"],
        handlers=markdown(rows),
        peak=PEAK,
        seconds=PACED_SECONDS,
        guard=GUARD,
        rounds=outcome.context["rounds"],
    )


def _figures(outcome: Outcome) -> str:
    lines = ["## The figures\n"]
    for shape in (*outcome.shapes, LIMITED):
        rows = shape_rows(outcome.results, shape)
        if len(rows) > 1:
            lines += [f"### {shape.name[0].upper()}{shape.name[1:]}\n", markdown(rows), ""]
    return "\n".join(lines)


def _machine(outcome: Outcome) -> str:
    context, machine = outcome.context, outcome.context["machine"]
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    claims = ", ".join(claim.name for claim in CLAIMS)
    return "\n".join(
        [
            "## The run\n",
            f"`{COMMAND}`: {context['seconds']} s, {machine['python']}, {machine['system']},",
            f"{machine['processor']}, {machine['cores']} cores, load {machine['load']} before;",
            f"commit {machine['commit']}; {packages}.",
            "All rounds are in `build/claims/claims.json`.",
            f"The bounds ({claims}) were fixed before the run.",
            "",
        ]
    )
