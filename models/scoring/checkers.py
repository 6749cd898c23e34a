"""Rule-based checkers that score an answer against a reference, deterministically and without a model.

| checker    | reference                        | an answer is right if                                     |
| ---------- | -------------------------------- | --------------------------------------------------------- |
| `exact`    | the whole answer                 | it is the reference, apart from case, outer whitespace,   |
|            |                                  | outer quotes and a final full stop                        |
| `contains` | alternatives, separated by `\\|`  | it contains one of them as whole words, in any case       |
| `choice`   | options separated by `\\|`, the   | it contains the right option as whole words, and none of  |
|            | right one first                  | the others                                                |
| `number`   | a decimal number                 | the last number in it equals the reference                |
| `json`     | a JSON value                     | the first JSON object or array in it equals the reference |
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any, Literal, get_args

from breakeven.models.client.json_in_text import json_values

Checker = Literal["exact", "contains", "choice", "number", "json"]

# A minus sign counts only if no digit or word precedes it: 7-3 contains 7 and 3.
_NUMBER = re.compile(r"(?:(?<![\w).])-)?\d[\d,]*(?:\.\d+)?")


def score(checker: str, reference: str, answer: str) -> float:
    """1.0 if the answer is right according to the checker and the reference, else 0.0.

    Raises ValueError for an unknown checker and for a reference that the checker cannot read.
    """
    check = _CHECKS.get(checker)
    if check is None:
        raise ValueError(f"unknown checker {checker!r}; one of {', '.join(get_args(Checker))}")
    return 1.0 if check(reference, answer) else 0.0


def _exact(reference: str, answer: str) -> bool:
    return _bare(reference) == _bare(answer)


def _contains(reference: str, answer: str) -> bool:
    return any(_holds(answer, part) for part in _parts(reference))


def _choice(reference: str, answer: str) -> bool:
    right, *others = _parts(reference)
    return _holds(answer, right) and not any(_holds(answer, other) for other in others)


def _number(reference: str, answer: str) -> bool:
    wanted = float(reference)
    found = _NUMBER.findall(answer)
    return bool(found) and math.isclose(float(found[-1].replace(",", "")), wanted, rel_tol=1e-9, abs_tol=1e-9)


def _json(reference: str, answer: str) -> bool:
    wanted = json.loads(reference)
    found = next(json_values(answer, "{["), None)
    return found is not None and same(wanted, found)


def same(a: Any, b: Any) -> bool:
    """Whether two JSON values are equal; unlike in Python, true does not equal 1."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


def _parts(reference: str) -> list[str]:
    parts = [part.strip() for part in reference.split("|")]
    if not all(parts):
        raise ValueError(f"reference {reference!r}: an alternative is empty")
    return parts


def _holds(answer: str, part: str) -> bool:
    words = re.escape(" ".join(part.casefold().split()))
    return re.search(rf"(?<!\w){words}(?!\w)", " ".join(answer.casefold().split())) is not None


def _bare(text: str) -> str:
    return " ".join(text.casefold().split()).removesuffix(".").strip("\"'`“”").removesuffix(".").strip()


_CHECKS: dict[str, Callable[[str, str], bool]] = {
    "exact": _exact,
    "contains": _contains,
    "choice": _choice,
    "number": _number,
    "json": _json,
}
