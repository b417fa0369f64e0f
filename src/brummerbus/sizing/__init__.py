"""Workers and queue sized to what this process may use of the machine.

Not imported from here, and not with this package: what advises from measurements and what
resizes an elastic pool (`_adviser`, `_advice`, `_queueing_model`, `_gil_wait`, `_autoscale`).
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
        globals()[_name].__module__ = __name__  # what users see names the public place
