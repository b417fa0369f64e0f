"""The report as one self-contained HTML page: what failed first, the bus's own figures last.

It loads nothing and runs nothing, and follows the reader's dark mode and width. What processes
print is escaped, and the page forbids scripts in any case.
"""

import html
import time
from collections.abc import Mapping, Sequence
from typing import Any

from brummerbus.watch import plots
from brummerbus.watch.bus_figures import QUANTILES, TIMES, balance_line, milliseconds
from brummerbus.watch.line_printer import clock
from brummerbus.watch.report import COUNTS
from brummerbus.watch.summary import failed, unexplained
from brummerbus.watch.text import counted, printable, repeated

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_STYLE = """
:root { color-scheme: light dark; --ink: #1f2328; --soft: #656d76; --paper: #fff; --box: #f6f8fa;
        --line: #d0d7de; --bad: #b3261e; --good: #1a7f37; --link: #0a58ca }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6edf3; --soft: #9198a1; --paper: #0d1117; --box: #161b22; --line: #30363d;
          --bad: #ff7b72; --good: #56d364; --link: #79c0ff } }
* { box-sizing: border-box }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
       max-width: 62rem; margin: 0 auto; padding: 1rem; -webkit-text-size-adjust: 100% }
h1 { font-size: 1.35rem; margin: 0; overflow-wrap: anywhere }
h2 { font-size: 1.1rem; margin: 1.6rem 0 .5rem }
p { margin: .3rem 0 } a { color: var(--link) }
.soft { color: var(--soft) } .bad { color: var(--bad) } .good { color: var(--good) }
.verdict { font-size: 1.1rem; font-weight: 600 }
ul { list-style: none; margin: 0; padding: 0 }
li { border-left: 4px solid var(--bad); background: var(--box); border-radius: 4px;
     margin: .5rem 0; padding: .5rem .75rem; overflow-wrap: anywhere }
li p { margin: 0 } .message { font-weight: 600; white-space: pre-wrap }
code, pre { font: .85rem/1.45 ui-monospace, monospace }
pre { overflow-x: auto; margin: .4rem 0 0; padding: .5rem; border: 1px solid var(--line);
      border-radius: 4px; background: var(--paper) }
summary { cursor: pointer; padding: .2rem 0 }
.apart { margin-top: 1.6rem } .apart summary { font-weight: 600 }
.wide { overflow-x: auto }
table { border-collapse: collapse; width: 100% }
th, td { padding: .3rem .6rem .3rem 0; text-align: right; vertical-align: top; white-space: nowrap;
         border-bottom: 1px solid var(--line); font-variant-numeric: tabular-nums }
th:first-child, td:first-child { text-align: left }
.command { font: .8rem ui-monospace, monospace; color: var(--soft); white-space: normal;
           overflow-wrap: anywhere }
@media (max-width: 40rem) { .less { display: none } th, td { padding-right: .4rem } }
"""


def as_html(report: Mapping[str, Any]) -> str:
    """Return the whole page; with plots of the bus's figures if matplotlib is installed."""
    title = _safe(f"Watched {report['target']}")
    parts = [
        _head(report),
        _errors(report["errors"]),
        _tests(report["tests"]),
        _unexplained(report["processes"]),
        _builds(report["builds"]),
        _processes(report["processes"]),
        _bus(report),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f"<title>{title}</title><style>{_STYLE}{plots.STYLE}</style></head>\n<body>\n"
        + "\n".join(part for part in parts if part)
        + "\n</body></html>\n"
    )


def _safe(text: object) -> str:
    return html.escape(printable(str(text)))


def _head(report: Mapping[str, Any]) -> str:
    """Return the verdict: what the reader opened the page for."""
    tests, errors, processes = report["tests"], report["errors"]["count"], report["processes"]
    failures = sum(failed(process) for process in processes)
    said = []
    if failures:
        said.append(f"{failures:,} of {counted(len(processes), 'process', 'processes')} failed")
    if errors:
        said.append(counted(errors, "error"))
    if tests["failed"]:
        total = tests["passed"] + tests["failed"]
        said.append(f"{tests['failed']:,} of {counted(total, 'test')} failed")
    verdict = ", ".join(said) or "Nothing failed"
    if tests["passed"] and not tests["failed"]:
        verdict += f", {counted(tests['passed'], 'test')} passed"
    started = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(report["started"]))
    balance = report["balance"]
    return (
        f"<header><h1>{_safe(report['target'])}</h1>"
        f'<p class="verdict {"bad" if said else "good"}">{_safe(verdict)}</p>'
        f'<p class="soft">Started {started}, ran {report["run_time"]:.1f} s,'
        f" exit {report['exit_code']}</p>"
        f'<p class="{"soft" if balance["adds_up"] else "bad"}">'
        f"{_safe(balance_line(balance, handlers=False))}</p>"
        + "".join(f'<p class="bad">{_safe(error)}</p>' for error in report["handler_errors"])
        + "</header>"
    )


def _section(title: str, content: str) -> str:
    return f"<section><h2>{_safe(title)}</h2>\n{content}\n</section>"


def _place(text: str, link: str) -> str:
    """Return where something is, as a link if the file exists."""
    code = f"<code>{_safe(text)}</code>"
    return f'<a href="{_safe(link)}">{code}</a>' if link else code


def _failure(about: str, message: str, rest: str = "") -> str:
    return f'<li><p class="soft">{about}</p><p class="message">{_safe(message)}</p>{rest}</li>'


def _errors(errors: Mapping[str, Any]) -> str:
    if not errors["count"]:
        return ""
    items = []
    for number, found in enumerate(errors["found"]):
        about = f"{_safe(found['process'])} · {clock(found['time'])} · {_safe(found['kind'])}"
        if found["place"]:
            about += f" · {_place(found['place'], found['link'])}"
        lines = found["text"].splitlines()
        text = "\n".join(_safe(line.expandtabs()) for line in lines)
        shown = " open" if number == 0 else ""
        rest = (
            f"<details{shown}><summary>{counted(len(lines), 'line')}</summary>"
            f"<pre>{text}</pre></details>"
        )
        message = repeated(found["message"], found["count"])
        items.append(_failure(about, message, rest if len(lines) > 1 else ""))
    return _section(counted(errors["count"], "error"), f"<ul>{''.join(items)}</ul>")


def _tests(tests: Mapping[str, Any]) -> str:
    if not tests["failed"]:
        return ""
    items = [
        _failure(
            f"{_safe(result['process'])} · {_place(result['name'] or 'not named', result['link'])}",
            result["detail"] or "failed",
        )
        for result in tests["failures"]
    ]
    total = tests["passed"] + tests["failed"]
    title = f"{tests['failed']:,} of {counted(total, 'test')} failed"
    return _section(title, f"<ul>{''.join(items)}</ul>")


def _unexplained(processes: Sequence[Mapping[str, Any]]) -> str:
    items = [
        _failure(
            f"{_safe(process['name'])} · exit {process['exit_code']} · its last line",
            process["last_line"] or "it printed nothing",
        )
        for process in processes
        if unexplained(process)
    ]
    title = "Failed, with no error in the output"
    return _section(title, f"<ul>{''.join(items)}</ul>") if items else ""


def _builds(builds: Mapping[str, int]) -> str:
    steps = ", ".join(f"{step} {count:,}" for step, count in sorted(builds.items()))
    return _section("Builds", f"<p>{_safe(steps)}</p>") if steps else ""


def _processes(processes: Sequence[Mapping[str, Any]]) -> str:
    rows = []
    for process in processes:
        code, colour = _ending(process)
        seconds = "-" if process["run_time"] is None else f"{process['run_time']:.1f}"
        rows.append(
            f'<tr><td>{_safe(process["name"])}<div class="command">{_safe(process["command"])}'
            f'</div></td><td class="{colour}">{code}</td>'
            f'<td>{process["errors"]:,}</td><td class="less">{seconds}</td>'
            f"<td>{sum(process['lines'].values()):,}</td></tr>"
        )
    head = (
        '<tr><th>process</th><th>exit</th><th>errors</th><th class="less">seconds</th>'
        "<th>lines</th></tr>"
    )
    return _section("Processes", f"<table>{head}{''.join(rows)}</table>")


def _ending(process: Mapping[str, Any]) -> tuple[str, str]:
    """Return how a process ended, and the style of that."""
    code = process["exit_code"]
    if code is None:
        return "-", "soft"
    if process["stopped"]:
        return "stopped", "soft"
    return str(code), "bad" if code else "good"


def _bus(report: Mapping[str, Any]) -> str:
    """Return the bus's own figures, which open on request."""
    workers = report["worker_utilization"]
    drawn = plots.available()
    figures = [
        f"<p>{_safe(balance_line(report['balance']))}</p>",
        "" if drawn else f'<p class="soft">{_safe(plots.MISSING)}</p>',
        plots.depth_plot(report["depth"]) if drawn else "",
        _counts_table("type", report["by_type"]),
        _counts_table("priority", report["by_priority"]),
        plots.counts_plot(report["by_type"]) if drawn else "",
        _times_table(report),
        plots.times_plot(report) if drawn else "",
        f"<p>Utilisation of the workers: {' '.join(f'{share:.0%}' for share in workers)}</p>",
        plots.utilisation_plot(workers) if drawn else "",
        f"<pre>{html.escape(report['advice']['text'])}</pre>" if report["advice"] else "",
    ]
    title = "<summary>The bus that carried the lines</summary>"
    return f'<details class="apart">{title}{"".join(figures)}</details>'


def _counts_table(title: str, groups: Mapping[str, Mapping[str, int]]) -> str:
    rows = [(name, *(f"{count[key]:,}" for key in COUNTS)) for name, count in groups.items()]
    return _table((title, *COUNTS), rows)


def _times_table(report: Mapping[str, Any]) -> str:
    rows = [
        (name, *(milliseconds(report[key][column]) for column in QUANTILES)) for name, key in TIMES
    ]
    return _table(("milliseconds", *QUANTILES), rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    def row(tag: str, cells: Sequence[object]) -> str:
        return "<tr>" + "".join(f"<{tag}>{_safe(cell)}</{tag}>" for cell in cells) + "</tr>"

    body = "".join(row("td", cells) for cells in rows)
    return f'<div class="wide"><table>{row("th", head)}{body}</table></div>'
