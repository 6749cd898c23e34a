"""Scorers by name: functions that score an answer in [0, 1] against a reference."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from breakeven.models.errors import DistillError
from breakeven.models.scoring import checkers
from breakeven.router.functions import load_function

# (answer, reference, the row) -> score.
Scorer = Callable[[str, str, Mapping[str, Any]], float]

_CHECKERS = {"exact": "exact", "numeric": "number", "json": "json", "contains": "contains", "choice": "choice"}


def scorer(name: str) -> Scorer:
    """The scorer with this name: exact, numeric, json, contains or choice; `row`, which uses each row's own `checker`;
    or `module:function`, a user's function (answer, reference, row) -> number in [0, 1].

    Raises DistillError where there is no such scorer. A scorer raises it for a reference that it cannot read.
    """
    if name in _CHECKERS:
        return _checker(_CHECKERS[name])
    if name == "row":
        return lambda answer, reference, row: _check(str(row.get("checker", "exact")), reference, answer)
    if ":" in name:
        return _function(name)
    raise DistillError(f"--scorer {name}: must be {', '.join(_CHECKERS)}, row, judge or module:function")


def _checker(name: str) -> Scorer:
    return lambda answer, reference, _row: _check(name, reference, answer)


def _check(name: str, reference: str, answer: str) -> float:
    try:
        return checkers.score(name, reference, answer)
    except ValueError as error:
        raise DistillError(f"scoring: {error}") from None


def _function(name: str) -> Scorer:
    try:
        function = load_function(name)
    except ValueError as error:
        raise DistillError(f"--scorer {name}: {error}") from None

    def call(answer: str, reference: str, row: Mapping[str, Any]) -> float:
        value = function(answer, reference, row)
        if not isinstance(value, int | float) or not (math.isfinite(value) and 0 <= value <= 1):
            raise DistillError(f"--scorer {name}: it must give a number in [0, 1], not {value!r}")
        return float(value)

    return call
