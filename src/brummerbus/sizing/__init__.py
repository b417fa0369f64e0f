"""Sizes for workers and queue, from the cores and memory that this process may use.

The adviser (`_adviser`, `_advice`, `_queueing_model`, `_gil_wait`) and the autoscaling policy
(`_autoscale`) are in this package too, but are imported only where they are used.
"""

from brummerbus.sizing._formulas import (
    QUEUE_FACTOR,
    WORKER_STACK,
    WORKER_STATE,
    WORKLOAD_FACTORS,
    Preset,
    calculate_memory_usage,
    calculate_optimal_workers,
    calculate_queue_size,
    choose_preset,
    memory_constrained_workers,
)
from brummerbus.sizing._host import (
    available_cores,
    available_memory,
    is_ci,
    is_high_performance,
    is_low_memory,
)

__all__ = [
    "QUEUE_FACTOR",
    "WORKER_STACK",
    "WORKER_STATE",
    "WORKLOAD_FACTORS",
    "Preset",
    "available_cores",
    "available_memory",
    "calculate_memory_usage",
    "calculate_optimal_workers",
    "calculate_queue_size",
    "choose_preset",
    "is_ci",
    "is_high_performance",
    "is_low_memory",
    "memory_constrained_workers",
]

for _name in __all__:
    if callable(globals()[_name]):
        globals()[_name].__module__ = __name__  # reprs and `help` show the public module
