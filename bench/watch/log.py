"""Writes the log of a service: a million lines, 94 MB, always the same ones.

Of a hundred lines 60 are a logger's, with a time stamp and a level, 20 a web server's, 8 JSON, 12
plain sentences. They have numbers, identifiers, names and paths: one in seven has words that no
line before it had in this order. Of a thousand lines 30 are warnings and 3 errors, and each
10,000th is followed by a traceback.
"""

import random
from collections.abc import Iterator
from pathlib import Path

LINES = 1_000_000

_WORDS = (
    "account address basket billing catalogue category checkout contact coupon customer delivery "
    "discount document favourite gallery invoice item language location message newsletter notice "
    "order partner payment picture price product profile question rating receipt region return "
    "search season session shelf shipment shop stock store supplier ticket translation user "
    "voucher warehouse wishlist"
)
_NAMES = "alice bruno chiara dana emil fatima goran hanna igor jana karim lena mario nora"

_HEAD = "2026-03-14 {time},{ms:03} {level:<5} [worker-{small}] shop.{word}: "
_SERVER = (
    '10.0.{small}.{some} - - [14/Mar/2026:{time} +0000] "GET /{word}/{many} HTTP/1.1" 200 {big}'
)
_JSON = (
    '{{"level":30,"time":"2026-03-14T{time}.{ms:03}Z","module":"{word}","msg":"{name} saved",'
    '"ms":{some}}}'
)
_KINDS = {
    (_HEAD + "{name} loaded {small} of {many} from {other}, {some} ms", "INFO"): 280,
    (_HEAD + "cache miss for {word}:{big}, {many} entries, {some} expired", "DEBUG"): 200,
    (_HEAD + "request {identifier} of {name} began, {small} more", "INFO"): 87,
    (_HEAD + "{word} took {many} ms, more than 500 ms", "WARN"): 30,
    (_HEAD + "cannot load {word} {big}: no route to host", "ERROR"): 3,
    (_SERVER, ""): 200,
    (_JSON, ""): 80,
    ("  {word} {big} sent to {other}, {many} bytes, {small} left, next in {some} s", ""): 120,
}
_TRACEBACK = """\
Traceback (most recent call last):
  File "/srv/shop/handlers.py", line {some}, in handle
    reply = self.dispatch(request)
  File "/srv/shop/{word}.py", line {small}, in dispatch
    return self.rows[key]
KeyError: '{word}'
"""


def write(path: Path, lines: int = LINES) -> None:
    """Write at least that many lines."""
    with path.open("w", encoding="utf-8") as file:
        written = 0
        for text in _texts(random.Random(17)):
            file.write(text)
            written += text.count("\n")
            if written >= lines:
                return


def _texts(chance: random.Random) -> Iterator[str]:
    words, names = _WORDS.split(), _NAMES.split()
    kinds, weights = list(_KINDS), list(_KINDS.values())
    for number in range(1, 1 << 62):
        template, level = chance.choices(kinds, weights)[0]
        bits = chance.getrandbits(48)
        seconds = number // 80
        fields = {
            "time": f"{9 + seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}",
            "ms": number % 1000,
            "level": level,
            "word": words[bits % len(words)],
            "other": words[bits // 64 % len(words)],
            "name": names[bits // 4096 % len(names)],
            "small": bits % 8,
            "some": bits % 251,
            "many": bits % 9973,
            "big": bits % 999_983,
            "identifier": f"{bits:012x}",
        }
        yield template.format_map(fields) + "\n"
        if number % 10_000 == 0:
            yield _TRACEBACK.format_map(fields)
