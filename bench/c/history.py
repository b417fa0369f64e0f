"""Record the cost of push and take in instructions, for each commit that changed the queue.

Called by `make -C bench/c history`. Instructions have no noise, so the figures of all commits can
be compared, as long as they come from one compiler and one C library; both are recorded. Each
commit is counted with its own benchmark, in its own worktree, and only once: commits that are in
`instructions.csv` already are skipped.
"""

import csv
import platform
import re
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

HERE = Path(__file__).resolve().parent
RECORD = HERE / "instructions.csv"
FIELDS = ["commit", "date", "compiler", "libc"] + [
    f"{call}, monitoring {monitoring}"
    for monitoring in ("on", "off")
    for call in ("push", "take", "push_many", "offer")
]
FIELDS += [f"push5, monitoring {monitoring}" for monitoring in ("on", "off")]  # to 5 recipients
BENCHMARKS = ("queue_bench.c", "ring_bench.c")  # now, and as it was called at first
FIGURE = re.compile(r"^(.+), an event +([\d.]+) instructions$", re.MULTILINE)


def output(*command: str, cwd: Path = HERE) -> str:
    """Return what a command prints; raise if it fails."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def commits() -> list[tuple[str, str]]:
    """Return the commits that changed the queue since it has a benchmark, oldest first."""
    first = output("git", "log", "--reverse", "--format=%H", "--", *BENCHMARKS).split()[0]
    log = ["git", "log", "--reverse", "--format=%h %as", f"{first}~..HEAD", "--"]
    lines = output(*log, "../../csrc", *BENCHMARKS, "Makefile").splitlines()
    return [(commit, date) for commit, date in map(str.split, lines)]


def count(commit: str) -> dict[str, str]:
    """Return a commit's figures by name; none if it cannot be built here."""
    with TemporaryDirectory() as directory:
        tree = Path(directory) / "tree"
        output("git", "worktree", "add", "--detach", str(tree), commit)
        try:
            return dict(FIGURE.findall(output("make", "callgrind", cwd=tree / "bench" / "c")))
        except subprocess.CalledProcessError as error:
            print(f"{commit}: {error.stderr.strip().splitlines()[-1:]}")
            return {}
        finally:
            output("git", "worktree", "remove", "--force", str(tree))


def main() -> None:
    """Append the missing commits to the record."""
    known: set[str] = set()
    if RECORD.exists():
        with RECORD.open(newline="", encoding="utf-8") as file:
            known = {row["commit"] for row in csv.DictReader(file)}
    with RECORD.open("a", newline="", encoding="utf-8") as file:
        rows = csv.DictWriter(file, FIELDS, restval="", extrasaction="ignore", lineterminator="\n")
        if not known:
            rows.writeheader()
        for commit, date in commits():
            figures = {} if commit in known else count(commit)
            if not figures:
                continue
            compiler, libc = output("cc", "-dumpfullversion"), " ".join(platform.libc_ver())
            row = {"commit": commit, "date": date, "compiler": f"cc {compiler}", "libc": libc}
            rows.writerow(row | figures)
            print(commit, figures)


if __name__ == "__main__":
    main()
