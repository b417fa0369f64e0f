"""Text for messages."""


def counted(n: int, noun: str) -> str:
    """Return a count with its noun: "1 handler", "2 handlers", "2 deliveries"."""
    if n == 1:
        return f"{n:,} {noun}"
    return f"{n:,} {noun[:-1]}ies" if noun.endswith("y") else f"{n:,} {noun}s"


def utf8(text: str) -> str:
    """Return a text that UTF-8 can say: escapes in place of lone surrogates.

    Those are what Python makes of undecodable file names.
    """
    return text.encode(errors="backslashreplace").decode()
