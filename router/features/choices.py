"""Features of multiple-choice prompts: the listed options of a text, how long they are and how similar.

Options that share most words need finer knowledge to tell apart, and one-word options ask for something else than
whole sentences do. Neither shows in n-grams.
"""

from __future__ import annotations

import math
import re
from itertools import combinations

# An option starts with a letter or a number followed by a punctuation mark, or with a bullet.
_CHOICE = re.compile("[ \t]*(?:\\(?(?:[A-Za-z]|[0-9]{1,2})[.):]|[-*\u2022])[ \t]+(.*)")
# Options are compared in pairs, so the number that is compared is limited.
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
    """The options that a text lists: its longest run of list items, without their markers.

    Of several runs of the same length the last one; empty where no run has two items. Never raises for a string.
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
    """The MEASURES of a text, each of the order of one; zeros where it lists no options. Never raises for a string."""
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
