"""`make claims`: the study's claims about the bus, measured with real work.

Prints tables and verdicts, and writes claims.json and plots to build/claims; with --page also the
documentation page, and its plots beside it.
"""

import argparse
import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import psutil

from bench.claims.calibration import calibrate
from bench.claims.claim_tables import shape_table, verdict_text
from bench.claims.loads import LIMITED, SHAPES, Shape
from bench.claims.outcome import Outcome
from bench.claims.page import page
from bench.claims.ways import WAYS
from bench.claims.work import write_log_text
from bench.peers.machine import describe
from bench.peers.rounds import Results

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "claims"
ROUNDS, QUICK_ROUNDS = 3, 1
QUICK_CASES = ("small", "burst")
TIMEOUT = 120.0
LOOK = 0.005
"""Seconds between samples of the number of threads."""


def arguments() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="less of everything: under a minute")
    parser.add_argument("--rounds", type=int, help=f"default {ROUNDS}, quick {QUICK_ROUNDS}")
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="NAME",
        help=f"a shape, by a part of its name, such as 'small' or '{SHAPES[4].load}'; repeatable",
    )
    parser.add_argument("--build", type=Path, default=BUILD, help="directory for JSON and plots")
    parser.add_argument(
        "--again", type=Path, metavar="JSON", help="report on an earlier run, without measuring"
    )
    parser.add_argument("--page", type=Path, metavar="FILE", help="write the page, with its plots")
    parsed = parser.parse_args()
    if parsed.rounds is not None and parsed.rounds < 1:
        parser.error("--rounds must be at least 1")
    if not chosen(parsed):
        parser.error(f"no such shape: {', '.join(parsed.only)}")
    return parsed


def chosen(options: argparse.Namespace) -> list[Shape]:
    """Return the selected shapes."""
    shapes = [
        shape
        for shape in (*SHAPES, LIMITED)
        if not options.quick or shape is LIMITED or shape.case.name in QUICK_CASES
    ]
    if not options.only:
        return shapes
    return [shape for shape in shapes if any(part in shape.name for part in options.only)]


def main() -> int:
    """Measure, or read earlier results, and report."""
    options = arguments()
    options.build.mkdir(parents=True, exist_ok=True)
    if options.again is None:
        outcome = measure_all(options)
    else:
        outcome = Outcome.from_json(json.loads(options.again.read_text(encoding="utf-8")))
    report(outcome, options)
    return 1 if outcome.results.problems else 0


def measure_all(options: argparse.Namespace) -> Outcome:
    """Measure all selected shapes, alternating between the contestants."""
    began, rounds = monotonic(), options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    text = options.build / "log-text.txt"
    write_log_text(text)
    work = calibrate(text)
    context = {"machine": describe(), "rounds": rounds, "quick": options.quick, "work": work}
    results, shapes = Results(), chosen(options)
    for shape in shapes:
        for round_ in range(rounds):
            # In alternating order, so that the predecessor of each contestant varies.
            for label in WAYS if round_ % 2 == 0 else reversed(WAYS):
                order = {"shape": shape.name, "way": label, "quick": options.quick}
                measure(results, {**order, "lines": work["lines"], "text": str(text)})
        print(shape_table(results, shape), flush=True)
    context["seconds"] = round(monotonic() - began)
    return Outcome(results, shapes, context)


def measure(results: Results, order: dict[str, Any]) -> None:
    """Make one measurement in its own process, whose threads are counted from here."""
    command = [sys.executable, "-m", "bench.claims.measurement", json.dumps(order)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, cwd=ROOT) as process:
        threads = watch_threads(process)
        if process.poll() is None:
            process.kill()
        output, errors = process.communicate()
    if process.returncode != 0:
        last = (errors.strip().splitlines() or ["killed, or no message"])[-1]
        results.fail(order["shape"], order["way"], last)
        return
    results.add(order["shape"], order["way"], {"threads": threads, **json.loads(output)})


def watch_threads(process: subprocess.Popen[str]) -> int:
    """Return the maximum number of threads sampled until the process ended or timed out."""
    most, seen, end = 0, psutil.Process(process.pid), monotonic() + TIMEOUT
    while process.poll() is None and monotonic() < end:
        with suppress(psutil.Error):
            most = max(most, seen.num_threads())
        sleep(LOOK)
    return most


def draw(outcome: Outcome, directory: Path) -> list[Path]:
    """Draw the plots; matplotlib is imported only now, to keep its memory out of measurements."""
    try:
        from bench.claims import claim_plots  # noqa: PLC0415
    except ImportError:
        print("No plots: matplotlib is not installed")
        return []
    directory.mkdir(parents=True, exist_ok=True)
    return claim_plots.draw(outcome, directory)


def report(outcome: Outcome, options: argparse.Namespace) -> None:
    """Print the verdicts, and write everything else."""
    print(verdict_text(outcome))
    for problem in outcome.results.problems:
        print(f"  failed: {problem}")
    path = options.build / "claims.json"
    path.write_text(json.dumps(outcome.as_json(), indent=1) + "\n", encoding="utf-8")
    draw(outcome, options.build)
    if options.page is not None:
        plots = draw(outcome, options.page.parent)
        options.page.write_text(page(outcome, [plot.name for plot in plots]), encoding="utf-8")
    print(f"\n{outcome.context['seconds']} s; results in {options.build}")


if __name__ == "__main__":
    sys.exit(main())
