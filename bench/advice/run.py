"""`make bench-advice`: the adviser's predictions beside what then happens, on five workloads.

Prints tables, and writes advice.json into build/advice; with --page also the documentation's page.
"""

import argparse
import json
import logging
import sys
from pathlib import Path

from bench.advice.comparison import Comparison, Row, sizes
from bench.advice.measure import Waits, run
from bench.advice.page import page, summary, text
from bench.advice.workloads import WORKLOADS, Workload
from bench.peers.machine import describe
from brummerbus.sizing._queueing_model import Load, predict

PROBE = 2
"""Times as long as the other runs: a bus that is asked has usually run for a while."""

BUILD = Path(__file__).resolve().parents[2] / "build" / "advice"


def arguments() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--deliveries", type=int, default=2_500, help="of a run; default 2,500")
    parser.add_argument("--rounds", type=int, default=3, help="of each size; default 3")
    parser.add_argument("--quick", action="store_true", help="one round of 500: not to judge by")
    parser.add_argument("--only", default="", metavar="NAME", help="a part of a workload's name")
    parser.add_argument("--build", type=Path, default=BUILD, help="where the JSON goes")
    parser.add_argument("--page", type=Path, metavar="FILE", help="write the page")
    options = parser.parse_args()
    if options.quick:
        options.deliveries, options.rounds = 500, 1
    if options.deliveries < 1 or options.rounds < 1:
        parser.error("--deliveries and --rounds must be at least 1")
    if not chosen(options):
        parser.error(f"no such workload: {options.only}")
    return options


def chosen(options: argparse.Namespace) -> list[Workload]:
    """Return the workloads that are asked for."""
    return [work for work in WORKLOADS if options.only in work.name]


def main() -> int:
    """Measure, print and write."""
    options = arguments()
    logging.getLogger("brummerbus").setLevel(logging.ERROR)  # what is dropped at the end of a run
    context = {"machine": describe(), "deliveries": options.deliveries, "rounds": options.rounds}
    found = []
    for work in chosen(options):
        found.append(compare(work, options.deliveries, options.rounds))
        print(text(found[-1]), flush=True)
    print(summary(found))
    options.build.mkdir(parents=True, exist_ok=True)
    plain = {**context, "workloads": [one.as_json() for one in found]}
    path = options.build / "advice.json"
    path.write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")
    if options.page is not None:
        options.page.write_text(page(found, context), encoding="utf-8")
    return 0


def compare(work: Workload, deliveries: int, rounds: int) -> Comparison:
    """Ask for advice on the probe's workers, and run what it is about."""
    _, advice = run(work, work.probe, PROBE * deliveries, seed=0)
    rows: list[Row] = []
    if advice.recommended is not None and advice.load is not None:
        rows = run_sizes(work, sizes(advice.recommended), advice.load, deliveries, rounds)
    return Comparison(
        work.name, work.what, work.target, work.probe, advice.recommended, advice.reason, rows
    )


def run_sizes(
    work: Workload, workers: list[int], load: Load, deliveries: int, rounds: int
) -> list[Row]:
    """Run each number of workers, taking turns to and fro."""
    measured: dict[int, list[Waits]] = {number: [] for number in workers}
    for round_ in range(1, rounds + 1):
        for number in workers if round_ % 2 else reversed(workers):
            measured[number].append(run(work, number, deliveries, seed=round_)[0])
    rows = []
    for number in workers:
        expected = predict(load, number)
        predicted = Waits(expected.p50_wait, expected.p99_wait)
        rows.append(Row(number, predicted, tuple(measured[number])))
    return rows


if __name__ == "__main__":
    sys.exit(main())
