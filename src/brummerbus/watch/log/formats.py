"""How lines, errors and runs are written: as text, JSON or CSV."""

import base64
import csv
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, TextIO

from brummerbus.watch.labels import Labels
from brummerbus.watch.line_printer import clock
from brummerbus.watch.store import Stored, StoredError, StoredLine, StoredRun
from brummerbus.watch.text import uncoloured

_clock = lru_cache(maxsize=64)(clock)
_encode = json.JSONEncoder(ensure_ascii=False).encode  # `json.dumps` would make one for each line


def as_printed(rows: Iterable[Stored], labels: Labels) -> Iterator[str]:
    """Yield lines, or the lines of errors, as `watch` prints them."""
    for row in rows:
        yield from labels.put(_clock(int(row.time)), row.process, row.text)


def as_json(rows: Iterable[Stored]) -> Iterator[str]:
    """Yield one object per line or error; bytes that are not UTF-8 as base64."""
    for row in rows:
        fields = row._asdict()
        if isinstance(row, StoredLine) and row.raw is not None:
            fields["raw"] = base64.b64encode(row.raw).decode()
        yield _encode(fields) + "\n"


def runs_as_json(runs: Iterable[StoredRun]) -> Iterator[str]:
    """Yield one object per run."""
    for run in runs:
        fields: dict[str, Any] = {**vars(run), "exit_code": run.exit_code}
        fields["processes"] = [process._asdict() for process in run.processes]
        yield _encode(fields) + "\n"


def runs_as_table(runs: Sequence[StoredRun]) -> Iterator[str]:
    """Yield the runs as a table, the oldest first."""
    head = ("run", "started", "seconds", "exit", "lines", "errors", "target")
    table = [head, *(_run_cells(run) for run in runs)]
    widths = [max(len(row[column]) for row in table) for column in range(len(head))]
    for row in table:
        *cells, target = row
        padded = (cell.rjust(width) for cell, width in zip(cells, widths, strict=False))
        yield f"{'  '.join(padded)}  {target}".rstrip() + "\n"


def _run_cells(run: StoredRun) -> tuple[str, ...]:
    started = f"{datetime.fromtimestamp(run.started).astimezone():%Y-%m-%d %H:%M:%S}"
    seconds = "" if run.ended is None else f"{run.ended - run.started:,.1f}"
    code = run.exit_code
    end = run.state if run.state != "ended" else "-" if code is None else str(code)
    return (str(run.run), started, seconds, end, f"{run.lines:,}", f"{run.errors:,}",
            run.target)  # fmt: skip


def _write_text(rows: Iterable[Stored], out: TextIO) -> None:
    """Write lines without colours, with date and zone: a file is read on another day."""
    for row in rows:
        moment = datetime.fromtimestamp(row.time).astimezone().isoformat(timespec="milliseconds")
        head = f"{moment} {row.process} | "
        out.write(head + uncoloured(row.text).replace("\n", f"\n{head}") + "\n")


def _write_json(rows: Iterable[Stored], out: TextIO) -> None:
    out.writelines(as_json(rows))


def _write_csv(rows: Iterable[Stored], out: TextIO) -> None:
    writer = csv.writer(out)
    rows = iter(rows)
    first = next(rows, None)
    fields = StoredError._fields if isinstance(first, StoredError) else _LINE
    writer.writerow(fields)
    if first is not None:
        writer.writerow(first[: len(fields)])
    writer.writerows(row[: len(fields)] for row in rows)


_LINE = StoredLine._fields[:6]
"""Of a line in CSV; its ending and its own bytes are in JSON only."""

WRITERS: dict[str, Callable[[Iterable[Stored], TextIO], None]] = {
    ".log": _write_text,
    ".txt": _write_text,
    ".jsonl": _write_json,
    ".ndjson": _write_json,
    ".csv": _write_csv,
}
"""The formats of `--export`, by the end of the file's name."""
