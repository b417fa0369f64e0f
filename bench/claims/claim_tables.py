"""The tables, as rows of text: aligned for the terminal, as Markdown for the page."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from bench.claims.loads import Shape
from bench.claims.verdicts import CLAIMS, change, held, spread
from bench.claims.ways import NAIVE, WAYS
from bench.peers.rounds import Cell, Results
from bench.peers.tables import aligned

if TYPE_CHECKING:
    from bench.claims.outcome import Outcome

Rows = list[list[str]]

COLUMNS = {
    "runs/s": ("rate", ",.0f"),
    "p50 ms": ("p50", ",.2f"),
    "p95 ms": ("p95", ",.2f"),
    "p99 ms": ("p99", ",.2f"),
    "urgent p99 ms": ("urgent_p99", ",.2f"),
    "memory +MB": ("memory_mb", ",.1f"),
    "peak MB": ("peak_mb", ",.1f"),
    "threads": ("threads", ",.0f"),
    "CPU us/run": ("cpu_us", ",.0f"),
    "lost": ("lost", ",.0f"),
    "failed": ("failed", ",.0f"),
    "left": ("left", ",.0f"),
}
VERDICTS = {True: "holds", False: "does not hold", None: "not measured"}


def shape_rows(results: Results, shape: Shape) -> Rows:
    """Return a shape's medians, a row for each contestant."""
    rows = [["", *COLUMNS, "switches per run"]]
    for label in WAYS:
        cell = results.cells.get((shape.name, label))
        if cell is None:
            continue
        values = [(cell.median(figure), form) for figure, form in COLUMNS.values()]
        row = ["?" if value is None else format(value, form) for value, form in values]
        rows.append([label, *row, _switches(cell)])
    return rows


def _switches(cell: Cell) -> str:
    runs, *kinds = (cell.median(name) for name in ("handled", "voluntary", "involuntary"))
    return " + ".join(f"{kind / runs:.1f}" if runs and kind is not None else "?" for kind in kinds)


def shape_table(results: Results, shape: Shape) -> str:
    """Return a shape for the terminal."""
    case = shape.case
    head = f"{shape.name}: {case.workers} workers, queue {case.queue}, {case.publishers} publishers"
    return f"\n{head}\n{aligned(shape_rows(results, shape))}"


def summary_rows(outcome: "Outcome", theirs: str) -> Rows:
    """Return the claims with their verdicts against one of the others."""
    found = outcome.verdicts[theirs]
    loads = list(dict.fromkeys(shape.load for shape in outcome.shapes))
    rows = [["claim", "verdict", *loads, "min", "median", "max"]]
    for claim in CLAIMS:
        holds, total = held(found, claim)
        verdict = VERDICTS[holds == total] if total else VERDICTS[None]
        if 0 < holds < total:
            verdict = f"holds in {holds} of {total}"
        by_load = ["{} of {}".format(*held(found, claim, load)) for load in loads]
        ratios = [change(ratio) for ratio in spread(found, claim)] or ["?"] * 3
        rows.append([claim.name, verdict, *by_load, *ratios])
    if theirs == NAIVE:
        rows.append(["no exhaustion", VERDICTS[outcome.no_exhaustion], *[""] * (len(loads) + 3)])
    return rows


def change_rows(outcome: "Outcome", theirs: str) -> Rows:
    """Return the change of each claim's figure, a row per shape, marked if the claim holds."""
    found = outcome.verdicts[theirs]
    claims = list(dict.fromkeys(verdict.claim for verdict in found))
    rows = [["", *(claim.name for claim in claims)]]
    for shape in outcome.shapes:
        some = {verdict.claim: verdict for verdict in found if verdict.shape is shape}
        marks = [f"{change(some[claim].ratio)} {some[claim].mark}" for claim in claims]
        rows.append([shape.name, *marks])
    return rows


def exhaustion_rows(outcome: "Outcome") -> Rows:
    """Return the results under the limit of threads."""
    rows = [["", "limit by", "max threads", "runs lost", "of", "error"]]
    for one in outcome.exhaustions:
        counts = [f"{one.threads:,}", f"{one.lost:,}", f"{one.runs:,}"]
        rows.append([one.label, one.limit, *counts, one.reason or "none"])
    return rows


def reason_lines(outcome: "Outcome", theirs: str = NAIVE) -> list[str]:
    """Return where a claim does not hold, and why."""
    return [
        f"{verdict.claim.name} in {verdict.shape.name} ({change(verdict.ratio)}): {verdict.why}"
        for verdict in outcome.verdicts[theirs]
        if not verdict.holds
    ]


def verdict_text(outcome: "Outcome") -> str:
    """Return the verdicts for the terminal."""
    parts = []
    for theirs in outcome.verdicts:
        parts += [f"\nAgainst {theirs}:", aligned(summary_rows(outcome, theirs))]
    if outcome.exhaustions:
        parts += ["\nUnder a limit of threads:", aligned(exhaustion_rows(outcome))]
    if reasons := reason_lines(outcome):
        parts += ["\nWhere it does not hold:", *(f"  {line}" for line in reasons)]
    return "\n".join(parts)


def markdown(rows: Iterable[list[str]]) -> str:
    """Return rows as a table in Markdown, numbers right-aligned."""
    head, *body = rows
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *body]
    return "\n".join(f"| {' | '.join(row)} |" for row in lines)
