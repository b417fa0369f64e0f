"""Text for reports and messages."""


def counted(n: int, noun: str) -> str:
    """Return a count with its noun: "1 line", "2,000 lines"."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def repeated(message: str, count: int) -> str:
    """Return a message with how often it occurred, if more than once: "no route (x8)"."""
    return message if count < 2 else f"{message} (x{count:,})"
