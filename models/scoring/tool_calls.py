"""Comparing calls of tools by what they would do: their names and arguments, in whatever order."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from breakeven.models.scoring.checkers import same

# A name and its arguments, mostly JSON.
NamedCall = tuple[str, str]


def agreement(student: Sequence[NamedCall], teacher: Sequence[NamedCall]) -> float:
    """The share of calls, in [0, 1], that both made, in whatever order; twice those over all of both, of which there is
    at least one.
    """
    missing = [(name, _value(arguments)) for name, arguments in teacher]
    both = 0
    for name, arguments in student:
        given = _value(arguments)
        found = next((one for one in missing if one[0] == name and same(one[1], given)), None)
        if found is not None:
            missing.remove(found)
            both += 1
    return 2.0 * both / (len(student) + len(teacher))


def named(calls: Sequence[Mapping[str, Any]] | None) -> list[NamedCall]:
    """The names and arguments of calls as a chat completion has them; those that are none are left out."""
    functions = [call.get("function") for call in calls or ()]
    return [
        (str(function.get("name")), str(function.get("arguments") or ""))
        for function in functions
        if isinstance(function, dict)
    ]


def _value(arguments: str) -> Any:
    """Arguments as JSON; as text where they are none. No arguments are an empty object."""
    try:
        return json.loads(arguments) if arguments.strip() else {}
    except (ValueError, RecursionError):
        return arguments.strip()
