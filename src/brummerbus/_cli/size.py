"""`python -m brummerbus size`: the sizes for this machine, and the derivation of each number.

Unless `--no-measure` is given: the memory of a bus, measured here (measure_memory.py).
With `--cpu`, `--wait` and `--rate`: how many workers that load needs (size_load.py).
"""

import argparse
import json
from dataclasses import asdict
from functools import partial
from typing import Any

from brummerbus import sizing
from brummerbus._cli import size_load
from brummerbus._cli.measure_memory import MeasuredMemory, measure_memory, workers_within
from brummerbus._text import counted
from brummerbus.sizing import _formulas, _host

HELP = "show the number of workers and the queue size for this machine, and why"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command to a parser."""
    parser.add_argument("--json", action="store_true", help="write one JSON object for programs")
    parser.add_argument(
        "--no-measure",
        action="store_false",
        dest="measure",
        help="do not measure memory, which takes some three seconds",
    )
    size_load.add_arguments(parser)
    parser.set_defaults(load_from=partial(size_load.load_from, parser=parser))


def run(args: argparse.Namespace) -> int:
    """Print the figures, or the advice, on standard output and return the exit code, 0."""
    load = args.load_from(args)
    figures = collect() if load is None else size_load.collect(load, args.target)
    if load is None and args.measure:
        figures["measured"] = _measured(figures)
    lines = describe if load is None else size_load.describe
    print(json.dumps(figures, indent=2) if args.json else lines(figures))
    return 0


def collect() -> dict[str, Any]:
    """Return all figures, ready for JSON; memory in bytes, None where there is no limit."""
    cores = sizing.available_cores()
    memory = sizing.available_memory()
    environment = {
        "low_memory": sizing.is_low_memory(),
        "ci": sizing.is_ci(),
        "high_performance": sizing.is_high_performance(),
    }
    chosen = sizing.choose_preset(cores, **environment)
    return {
        "cores": {
            "available": cores,
            "host": _host.host_cores(),
            "affinity": _host.affinity_cores(),
            "quota": _host.quota_cores(),
        },
        "memory": {
            "available": memory,
            "machine": _host.machine_memory(),
            "container": _host.container_memory(),
        },
        "environment": {"preset": chosen.name, **environment},
        "default": _preset(sizing.choose_preset(cores), cores),
        "for_environment": _preset(chosen, cores),
        "workers_by_workload": {
            workload: sizing.calculate_optimal_workers(cores, workload)
            for workload in sizing.WORKLOAD_FACTORS
        },
        "memory_constrained_workers": sizing.memory_constrained_workers(memory, cores),
    }


def describe(figures: dict[str, Any]) -> str:
    """Return the figures of `collect` as human-readable lines."""
    cores, memory = figures["cores"], figures["memory"]
    quota = "none" if cores["quota"] is None else f"{cores['quota']:g}"
    limit = "no limit" if memory["container"] is None else f"{_size(memory['container'])} left"
    rows = [
        (
            "Cores",
            str(cores["available"]),
            (
                f"the minimum of host {cores['host']}, affinity {cores['affinity']}, "
                f"container quota {quota}"
            ),
        ),
        (
            "Memory",
            _size(memory["available"]),
            f"the minimum of machine {_size(memory['machine'])}, container {limit}",
        ),
        ("Preset", figures["environment"]["preset"], _reason(figures)),
    ]
    titles = {"default": "EventBus()", "for_environment": "EventBusConfig.for_environment()"}
    lines = [_row(*row) for row in rows]
    for key, title in titles.items():
        size = figures[key]
        lines += [
            "",
            title,
            _row("  Workers", str(size["workers"]), size["workers_formula"]),
            _row("  Queue", str(size["queue_size"]), size["queue_formula"]),
            _row("  Memory", _size(size["memory"]), size["memory_formula"]),
        ]
    by_workload = figures["workers_by_workload"].items()
    constrained = (
        f"by memory alone: {_size(memory['available'])} // {_size(_formulas.WORKER_BUDGET)}, "
        "from 1 to the formula's number"
    )
    return "\n".join(
        [
            *lines,
            *_measured_lines(figures.get("measured")),
            "",
            "Workers by workload: " + ", ".join(f"{name} {count}" for name, count in by_workload),
            f"Workers {constrained}: {figures['memory_constrained_workers']}",
        ]
    )


def _measured(figures: dict[str, Any]) -> dict[str, Any]:
    """Return by measurement on this machine what `collect` returns by the study's model."""
    measured = measure_memory()
    cores, memory = figures["cores"]["available"], figures["memory"]["available"]
    return {
        **asdict(measured),
        **{key: _estimates(measured, figures[key]) for key in ("default", "for_environment")},
        "memory_constrained_workers": workers_within(memory, measured, cores=cores),
    }


def _estimates(measured: MeasuredMemory, size: dict[str, Any]) -> dict[str, Any]:
    workers, queue_size = size["workers"], size["queue_size"]
    return {
        "memory": measured.estimate(workers, queue_size),
        "memory_formula": (
            f"{measured.base:,} + {workers} x {measured.busy_worker:,} busy worker + "
            f"{queue_size} x ({measured.slot:,} slot + {measured.event:,} event)"
        ),
        "reserved": measured.estimate_reserved(workers),
        "model": size["memory"],
    }


def _measured_lines(measured: dict[str, Any] | None) -> list[str]:
    """Return the measured figures beside the model's; nothing if nothing was measured."""
    if measured is None:
        return []
    lines = ["", f"Measured here, resident by {measured['resident_by'].upper()}"]
    for key, title in (("default", "Default"), ("for_environment", "Here")):
        size = measured[key]
        lines.append(_row(f"  {title}", _size(size["memory"]), size["memory_formula"]))
        lines.append(_row("", "", f"model {_size(size['model'])}"))
    stack, first = _size(measured["worker_reserved"]), _size(measured["first_worker_reserved"])
    idle, busy = _size(measured["idle_worker"]), _size(measured["busy_worker"])
    return [
        *lines,
        _row("  Worker", idle, f"idle; busy {busy} (model {_size(sizing.WORKER_STACK)})"),
        _row("  Virtual", stack, f"address space per worker; up to {first} for the first ones"),
        _row("  Fit", str(measured["memory_constrained_workers"]), "max workers at this cost"),
    ]


def _preset(preset: sizing.Preset, cores: int) -> dict[str, Any]:
    """Return a preset's numbers, each with its formula, filled in."""
    workers, queue_size = preset.workers, preset.queue_size
    return {
        "workers": workers,
        "workers_formula": _workers_formula(preset.name, cores),
        "queue_size": queue_size,
        "queue_formula": f"{counted(workers, 'worker')} x {preset.queue_factor}",
        "memory": sizing.calculate_memory_usage(workers, queue_size),
        "memory_formula": (
            f"{workers} x {sizing.WORKER_STACK:,} stack + {queue_size} x {_formulas.EVENT_SIZE:,} "
            f"event + {workers} x {sizing.WORKER_STATE} state"
        ),
    }


def _workers_formula(preset: str, cores: int) -> str:
    factor = sizing.WORKLOAD_FACTORS["brummer"]
    minimum, maximum = _formulas.MIN_OPTIMAL_WORKERS, _formulas.MAX_OPTIMAL_WORKERS
    formula = f"clamp(int({counted(cores, 'core')} x {factor:g}), {minimum}, {maximum})"
    if preset == "low_memory":
        return f"min({formula}, {_formulas.LOW_MEMORY_WORKERS})"
    if preset == "ci":
        return f"min({formula}, {_formulas.CI_WORKERS})"
    if preset == "high_performance":
        return f"min({counted(cores, 'core')} x {_formulas.HIGH_PERFORMANCE_FACTOR}, {maximum})"
    return formula


def _reason(figures: dict[str, Any]) -> str:
    """Return why this preset was chosen: the first of three that applies."""
    preset = figures["environment"]["preset"]
    if preset == "low_memory":
        return f"less than {_size(_host.LOW_MEMORY)} available"
    if preset == "ci":
        return f"one of {', '.join(_host.CI_VARIABLES)} is set"
    if preset == "high_performance":
        return f"{_host.HIGH_PERFORMANCE_CORES} cores or more, and not CI"
    return (
        f"at least {_size(_host.LOW_MEMORY)} available, not CI, "
        f"fewer than {_host.HIGH_PERFORMANCE_CORES} cores"
    )


def _row(name: str, value: str, how: str) -> str:
    return f"{name:<10}{value:<18}{how}"


def _size(count: int) -> str:
    """Format a number of bytes with a fitting unit; 1 KB is 1,024 bytes."""
    for power, unit in ((30, "GB"), (20, "MB")):
        if count >= 2**power:
            return f"{round(count / 2**power, 1):g} {unit}"
    return f"{round(count / 2**10, 1):g} KB"
