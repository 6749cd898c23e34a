"""What a text offers to choose from: its listed lines, how long they are and how alike.

Answers that are alike are told apart by those who know, and answers of one word ask for something else than whole
sentences do: neither shows in single words.
"""

from __future__ import annotations

import math
import re
from itertools import combinations

# A choice begins with a letter or a number and a sign behind it, or with a bullet.
_CHOICE = re.compile("[ \t]*(?:\\(?(?:[A-Za-z]|[0-9]{1,2})[.):]|[-*\u2022])[ \t]+(.*)")
# More are not compared: each is compared with each.
_MOST = 10
_WORDS = bytes(ord(chr(byte).lower()) if chr(byte).isalnum() else 32 for byte in range(128)) + bytes(range(128, 256))

MEASURES = (
    "length of choices",
    "spread of their lengths",
    "longest to shortest choice",
    "likeness of choices",
    "two most alike",
    "two least alike",
)
_NONE = (0.0,) * len(MEASURES)


def choices(text: str) -> list[str]:
    """The longest run of listed lines, the last of several, without what marks them; empty where it has one line.
    Never raises.
    """
    best: list[str] = []
    run: list[str] = []
    for line in text.split("\n"):
        found = _CHOICE.match(line)
        if found is not None:
            run.append(found[1].rstrip())
            if len(run) >= len(best):
                best = run
        elif line and not line.isspace():
            run = []
    return best if len(best) > 1 else []


def measure(text: str) -> tuple[float, ...]:
    """The MEASURES, each of the order of one; zeros where there is nothing to choose. Never raises."""
    found = choices(text)[:_MOST] if "\n" in text else []
    if not found:
        return _NONE
    lengths = [len(choice) for choice in found]
    count, total = len(found), sum(lengths)
    spread = math.sqrt(count * sum(length * length for length in lengths) - total * total) / count
    words = [set(choice.encode("utf-8", "surrogatepass").translate(_WORDS).split()) for choice in found]
    alike = []
    for one, other in combinations(words, 2):
        common = len(one & other)
        alike.append(common / max(1, len(one) + len(other) - common))
    return (
        math.log1p(total / count),
        math.log1p(spread),
        math.log(max(1, *lengths) / max(1, min(lengths))),
        sum(alike) / len(alike),
        max(alike),
        min(alike),
    )
