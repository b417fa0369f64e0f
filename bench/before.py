"""`make bench-before`: what the options cost where they are not used, and where they are.

The commit before the first of them is taken from this repository, built like the present one into
build/before, and both are measured in turn, in processes of their own, by `bench/options.py`. All
figures are CPU time, in nanoseconds per event; each is the median of the processes.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build" / "before"

BEFORE = "35d48ee"
"""The commit before the first option of `publish` and `subscribe`."""

Found = dict[str, list[list[float]]]


def run(*command: str | Path, **settings: Any) -> str:
    """Run a program; return its output, or show what it said and give up."""
    end = subprocess.run(
        [*map(str, command)], capture_output=True, text=True, check=False, **settings
    )
    if end.returncode:
        sys.exit(f"{' '.join(map(str, command))}:\n{end.stdout}{end.stderr}")
    return str(end.stdout)


def install(source: Path, target: Path) -> Path:
    """Build a source tree as a release is built, and install it, without what it depends on."""
    shutil.rmtree(target, ignore_errors=True)
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    run(*pip, "--no-deps", "--no-build-isolation", "--target", target, source)
    return target


def tree(commit: str, target: Path) -> Path:
    """Write the files of a commit to a directory; of the work tree, if there is no commit."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    if commit:
        archive = target.with_suffix(".tar")
        run("git", "-C", ROOT, "archive", "--output", archive, commit)
        run("tar", "-x", "-f", archive, "-C", target)
        archive.unlink()
    else:
        files = run("git", "-C", ROOT, "ls-files", "-co", "--exclude-standard").splitlines()
        for name in files:
            if (ROOT / name).is_file():
                (target / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, target / name)
    return target


def prepare(commit: str) -> tuple[Path, Path]:
    """Return where the older and the present package are; the older one is kept."""
    number = run("git", "-C", ROOT, "rev-parse", "--short", commit).strip()
    old = BUILD / number
    if not old.exists():
        print(f"building {number} ...", flush=True)
        install(tree(number, BUILD / f"tree-{number}"), old)
    print("building the present one ...", flush=True)
    return old, install(tree("", BUILD / "tree-present"), BUILD / "present")


def measure(package: Path, *arguments: str) -> dict[str, list[float]]:
    """Run `options.py` with a package, and return its figures."""
    environment = {**os.environ, "PYTHONPATH": str(package)}
    script = ROOT / "bench" / "options.py"
    answer = json.loads(run(sys.executable, script, *arguments, env=environment))
    if not Path(answer["from"]).is_relative_to(package):
        sys.exit(f"measured {answer['from']} instead of {package}")
    figures: dict[str, list[float]] = answer["figures"]
    return figures


WITHOUT = {"bound method, weak": "bound method", "on_unrouted, nobody": "nobody"}
"""What an option is compared with, if not `publish`."""

APART = (
    *("publish", "publish_many of 64", "5 subscriptions", "nobody", "publish_after(0)"),
    *("publish_after, cancel", "subscribe(once=True), publish", "subscribe, publish, cancel"),
)
"""What is nothing that is added to a publish."""


def more(found: Found, name: str) -> str:
    """Return how many nanoseconds an option adds to publishing and handling."""
    if name in APART:
        return ""
    pairs = zip(found[name], found[WITHOUT.get(name, "publish")], strict=True)
    return f"{median(sum(a) - sum(b) for a, b in pairs):+,.0f}"


def table(old: Found, new: Found) -> str:
    """Return what was found, as a table in Markdown."""
    lines = [
        "| ns of CPU per event: publish + handle | before | now | ratio | added by the option |",
        "|---|---|---|---|---|",
    ]
    for name, rounds in new.items():
        columns = [zip(*of, strict=True) for of in (old.get(name, []), rounds)]
        cells = [" + ".join(f"{median(column):,.0f}" for column in each) for each in columns]
        pairs = list(zip(rounds, old.get(name, []), strict=False))
        cells.append(f"{median(sum(a) / sum(b) for a, b in pairs):.2f}" if pairs else "")
        lines.append(f"| {name} | {' | '.join([*cells, more(new, name)])} |")
    return "\n".join(lines)


def main() -> None:
    """Build, measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--commit", default=BEFORE, help=f"compared with; default {BEFORE}")
    parser.add_argument("--processes", type=int, default=9, help="of each version; default 9")
    parser.add_argument("--rounds", type=int, default=20, help="of 4,000 events; default 20")
    options = parser.parse_args()
    before, now = prepare(options.commit)
    old: Found = {}
    new: Found = {}
    rounds = ("--rounds", str(options.rounds))
    for number in range(options.processes):
        print(f"\r{number + 1} of {options.processes}", end="", file=sys.stderr, flush=True)
        for found, figures in (
            (old, measure(before, "--old", *rounds)),
            (new, measure(now, *rounds)),
        ):
            for name, values in figures.items():
                found.setdefault(name, []).append(values)
    print(f"\nBefore: {before.name}; median of {options.processes} processes each.\n")
    print(table(old, new))
    data = {"before": old, "now": new}
    (BUILD / "figures.json").write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
