"""Chaos: random buses, misused at random by many threads, with a consistency check of all counts.

    python tests/chaos/chaos.py --seconds 30 --seed 7

Each round creates a bus with random settings, has publishers, handlers and hooks act at random,
stops it at some time, and checks that each delivery was handled exactly once or passed to `on_drop`
exactly once. A round's decisions are determined by its seed, their interleaving is not: run a
failing round several times.
"""

import argparse
import faulthandler
import logging
import sys
import traceback
from itertools import count
from random import Random
from time import monotonic

from chaos_plan import plan
from chaos_round import Round

WATCHDOG = 120.0
"""Max seconds of a round; then all stacks are printed and the process ends."""


def main() -> int:
    """Run rounds until the time is over, and return the exit code."""
    options = _options()
    logging.getLogger("brummerbus").addHandler(logging.NullHandler())
    logging.getLogger("brummerbus").propagate = False
    print(f"chaos: seed {options.seed}", flush=True)
    began = monotonic()
    deliveries = operations = snapshots = 0
    for number in count(options.round):
        seed = Random(f"{options.seed} {number}").getrandbits(32)
        faulthandler.dump_traceback_later(WATCHDOG, exit=True)
        try:
            ledger = Round(plan(seed)).run()
        except BaseException:
            traceback.print_exc()
            print(f"plan: {plan(seed)}", file=sys.stderr)
            again = f"--seed {options.seed} --round {number}"
            print(f"chaos: round {number} failed; again: {again}", file=sys.stderr, flush=True)
            return 1
        faulthandler.cancel_dump_traceback_later()
        deliveries += len(ledger.handled) + len(ledger.told_drops)
        operations += ledger.operations
        snapshots += ledger.snapshots
        if monotonic() >= began + options.seconds:
            break
    print(
        f"chaos: {number - options.round + 1:,} rounds, {operations:,} operations, "
        f"{deliveries:,} deliveries, {snapshots:,} snapshots in {monotonic() - began:.1f} s, "
        "all in order"
    )
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Misuse random buses at random.")
    parser.add_argument("--seconds", type=float, default=30.0, help="begin no round after these")
    parser.add_argument("--seed", type=int, default=None, help="default: a random one")
    parser.add_argument("--round", type=int, default=1, help="the first round to run")
    options = parser.parse_args()
    if options.seed is None:
        options.seed = Random().getrandbits(31)
    return options


if __name__ == "__main__":
    sys.exit(main())
