"""Runs for a moment, then fails with a traceback of two exceptions; `make run` watches it."""

import sys
import time

STEPS = 20


def connect(address: str) -> None:
    """Fail as a missing service does."""
    raise ConnectionRefusedError(111, f"no service at {address}")


def load_settings() -> None:
    """Fail because connecting fails."""
    try:
        connect("127.0.0.1:5432")
    except ConnectionRefusedError as error:
        message = "settings cannot be loaded\nneither from the service nor from a file"
        raise RuntimeError(message) from error


def main() -> None:
    """Print, on both streams, then fail."""
    for step in range(1, STEPS + 1):
        print(f"step {step} of {STEPS}")
        if step % 5 == 0:
            print(f"warning: step {step} was slow", file=sys.stderr)
        time.sleep(0.02)
    sys.stdout.buffer.write(b"not UTF-8: \xff\xfe\xc3\n")
    sys.stdout.write("no newline at the end")
    sys.stdout.flush()
    load_settings()


if __name__ == "__main__":
    main()
