"""Text for reports and messages."""


def counted(n: int, noun: str) -> str:
    """Return a count with its noun: "1 line", "2,000 lines"."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"
