"""`make bench-advice`: the adviser's predictions beside what then happens, on nine workloads.

Prints tables, and writes advice.json into build/advice; with --page also the documentation's page.
"""

import argparse
import json
import logging
import os
import sys
from pathlib import Path

from bench.advice.comparison import Comparison, Row, sizes
from bench.advice.drawn import drawn
from bench.advice.measure import Histogram, Waits, ask, run, waits
from bench.advice.page import page, summary, text
from bench.advice.workloads import WORKLOADS, Workload
from bench.peers.machine import describe
from brummerbus import Advice

BUILD = Path(__file__).resolve().parents[2] / "build" / "advice"


def arguments() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=40.0, help="of a run; default 40")
    parser.add_argument("--rounds", type=int, default=3, help="of each size; default 3")
    parser.add_argument("--quick", action="store_true", help="one of 2 s: not to judge by")
    parser.add_argument(
        "--random", type=int, default=0, metavar="N", help="and N workloads drawn at random"
    )
    parser.add_argument("--seed", type=int, default=1, help="of those; default 1")
    parser.add_argument(
        "--realtime",
        action="store_true",
        help="before all other processes, for a machine that is not idle; Linux, as root",
    )
    parser.add_argument("--only", default="", metavar="NAME", help="a part of a workload's name")
    parser.add_argument("--build", type=Path, default=BUILD, help="where the JSON goes")
    parser.add_argument("--page", type=Path, metavar="FILE", help="write the page")
    options = parser.parse_args()
    if options.quick:
        options.seconds, options.rounds = 2.0, 1
    if options.seconds < 2 or options.rounds < 1:
        parser.error("--seconds must be at least 2 and --rounds at least 1")
    if not chosen(options):
        parser.error(f"no such workload: {options.only}")
    return options


def chosen(options: argparse.Namespace) -> list[Workload]:
    """Return the workloads that are asked for."""
    workloads = [*WORKLOADS, *drawn(options.seed, options.random)]
    return [work for work in workloads if options.only in work.name]


def main() -> int:
    """Measure, print and write."""
    options = arguments()
    if options.realtime:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    logging.getLogger("brummerbus").setLevel(logging.ERROR)  # what is dropped at the end of a run
    context = {
        "machine": describe(),
        "seconds": options.seconds,
        "rounds": options.rounds,
        "realtime": options.realtime,
        "arguments": " ".join(sys.argv[1:]),
    }
    options.build.mkdir(parents=True, exist_ok=True)
    found = []
    for work in chosen(options):
        found.append(compare(work, options))
        print(text(found[-1]), flush=True)
        plain = {**context, "workloads": [one.as_json() for one in found]}
        path = options.build / "advice.json"
        path.write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")
        if options.page is not None:
            options.page.write_text(page(found, context), encoding="utf-8")
    print(summary(found))
    return 0


def compare(work: Workload, options: argparse.Namespace) -> Comparison:
    """Ask for advice on the probe, which lasts as long as all rounds, and run what it says."""
    advice = ask(work, options.seconds * options.rounds)
    rows: list[Row] = []
    if advice.recommended is not None:
        rows = run_sizes(work, sizes(advice.recommended), advice, options)
    return Comparison(
        work.name, work.what, work.target, work.probe, advice.recommended, advice.reason, rows
    )


def run_sizes(
    work: Workload, workers: list[int], advice: Advice, options: argparse.Namespace
) -> list[Row]:
    """Run each number of workers, in alternating order."""
    measured: dict[int, list[Histogram]] = {number: [] for number in workers}
    for round_ in range(1, options.rounds + 1):
        for number in workers if round_ % 2 else reversed(workers):
            measured[number].append(run(work, number, options.seconds, seed=round_))
    expected = {row.workers: Waits(row.p50_wait, row.p99_wait) for row in advice.table}
    return [
        Row(number, expected[number], waits(found), tuple(waits([one]) for one in found))
        for number, found in measured.items()
    ]


if __name__ == "__main__":
    sys.exit(main())
