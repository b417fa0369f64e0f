"""`make bench-peers`: brummerbus compared with alternatives for a Python program.

Prints a table for each shape, and writes peers.json and the plots to build/bench/.
"""

import argparse
import json
import sys
from pathlib import Path
from time import monotonic
from typing import Any

from bench.peers.machine import describe
from bench.peers.packages import ALL, BASELINE, available
from bench.peers.rounds import Results, run
from bench.peers.shapes import SHAPES, Shape, chosen
from bench.peers.tables import as_json, table
from bench.peers.targets import SHAPE_NAMES, by_cpu_time, contestants_in, report

BUILD = Path(__file__).resolve().parents[2] / "build" / "bench"
ROUNDS, QUICK_ROUNDS = 3, 2


def arguments() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--quick", action="store_true", help="fewer shapes, events and rounds: about a minute"
    )
    parser.add_argument("--rounds", type=int, help=f"default {ROUNDS}, quick {QUICK_ROUNDS}")
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="NAME",
        help="a shape or a contestant, by a glob or a part of its name; can be repeated",
    )
    parser.add_argument(
        "--targets", action="store_true", help="measure and print only the table of ratios"
    )
    parser.add_argument("--list", action="store_true", help="list shapes and contestants")
    parser.add_argument("--build", type=Path, default=BUILD, help="directory for JSON and plots")
    parser.add_argument("--plots", type=Path, metavar="DIRECTORY", help="put the plots there")
    parsed = parser.parse_args()
    names = [*(shape.name for shape in SHAPES), *ALL]
    for pattern in parsed.only:
        if len(chosen([pattern], names)) == len(names):
            parser.error(f"--only {pattern}: no such shape or contestant, see --list")
    if parsed.rounds is not None and parsed.rounds < 1:
        parser.error("--rounds must be at least 1")
    return parsed


def main() -> int:
    """Measure what the command line selects."""
    options = arguments()
    if options.list:
        print("\n".join(["Shapes:", *(f"  {s.name}" for s in SHAPES)]))
        print("\n".join(["Contestants:", *(f"  {label}" for label in ALL)]))
        return 0
    rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    context: dict[str, Any] = {"machine": describe(), "rounds": rounds, "quick": options.quick}
    print_context(context)
    options.build.mkdir(parents=True, exist_ok=True)
    start = monotonic()
    measure = targets if options.targets else peers
    code = measure(rounds, context, options)
    print(f"\n{monotonic() - start:.0f} s; results in {options.build}")
    return code


def print_context(context: dict[str, Any]) -> None:
    """Print the machine and versions that the figures apply to."""
    machine = context["machine"]
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    print(f"{machine['python']}, {machine['processor']}, {machine['cores']} cores, ", end="")
    print(f"load {machine['load']}; commit {machine['commit']}; {packages}")


def say(line: str) -> None:
    """Show progress, on a terminal only."""
    if sys.stderr.isatty():
        print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)


def finished(results: Results) -> None:
    """Clear the progress line, and report failed rounds."""
    say("")
    for problem in results.problems:
        print(f"  failed: {problem}")


def peers(rounds: int, context: dict[str, Any], options: argparse.Namespace) -> int:
    """Run shapes and contestants; print tables, write JSON and plots."""
    present, missing = available()
    if missing:
        print(f"Not installed, omitted: {', '.join(missing)}")
    names = [s.name for s in SHAPES if not options.quick or s.quick]
    if options.only:
        names = chosen(options.only, [s.name for s in SHAPES])
        names = names if len(names) < len(SHAPES) else [s.name for s in SHAPES if s.quick]
    shapes = [shape for shape in SHAPES if shape.name in names]
    labels = chosen(options.only, present) if options.only else present
    labels = [label for label in present if label in {BASELINE.label, *labels}]
    results = run(shapes, labels, rounds, quick=options.quick, say=say)
    finished(results)
    for shape in shapes:
        print(f"\n{table(results, shape)}")
    write(options.build / "peers.json", as_json(results, shapes, context))
    plots = options.plots or options.build
    plots.mkdir(parents=True, exist_ok=True)
    draw(results, shapes, context, plots)
    return 1 if results.problems else 0


def targets(rounds: int, context: dict[str, Any], options: argparse.Namespace) -> int:
    """Run the shapes of the ratios, and print them."""
    results = Results()
    shapes = [shape for shape in SHAPES if shape.name in SHAPE_NAMES]
    for shape in shapes:
        part = run([shape], contestants_in(shape.name), rounds, quick=options.quick, say=say)
        results.cells |= part.cells
        results.problems += part.problems
    finished(results)
    text, data = report(results)
    print(text)
    print("\nThe same by CPU time, which other load on the machine disturbs less:")
    print(by_cpu_time(results))
    write(options.build / "targets.json", {**as_json(results, shapes, context), "targets": data})
    return 1 if results.problems else 0


def draw(results: Results, shapes: list[Shape], context: dict[str, Any], build: Path) -> None:
    """Draw the plots; matplotlib is imported only now, to keep its memory out of the rounds."""
    try:
        from bench.peers import plots  # noqa: PLC0415
    except ImportError:
        print("No plots: matplotlib is not installed")
        return
    for path in plots.draw(results, shapes, context, build):
        print(f"  {path.name}")


def write(path: Path, data: dict[str, Any]) -> None:
    """Write JSON."""
    path.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
