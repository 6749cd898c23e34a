"""Scorers by name: functions that score an answer in [0, 1] against a reference."""

from __future__ import annotations

import importlib
import importlib.util
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from breakeven.models.errors import DistillError
from breakeven.models.scoring import checkers

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


def _module(name: str) -> ModuleType:
    """The module of this name: a file in the working directory, or one that is installed. Raises ImportError.

    The working directory is not added to the import path, so that no other file in it can shadow a library.
    """
    file = Path.cwd().joinpath(*name.split(".")).with_suffix(".py")
    found = importlib.util.spec_from_file_location(name, file) if file.is_file() else None
    if found is None or found.loader is None:
        return importlib.import_module(name)
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def _function(name: str) -> Scorer:
    module_name, _, attribute = name.partition(":")
    try:
        function = getattr(_module(module_name), attribute)
    except ImportError as error:
        raise DistillError(f"--scorer {name}: cannot import {module_name}: {error}") from None
    except AttributeError:
        raise DistillError(f"--scorer {name}: {module_name} has no {attribute}") from None
    except (Exception, SystemExit) as error:
        # Any code may stand there; what it says may quote data.
        raise DistillError(f"--scorer {name}: importing {module_name} failed with {type(error).__name__}") from None

    def call(answer: str, reference: str, row: Mapping[str, Any]) -> float:
        value = function(answer, reference, row)
        if not isinstance(value, int | float) or not (math.isfinite(value) and 0 <= value <= 1):
            raise DistillError(f"--scorer {name}: it must give a number in [0, 1], not {value!r}")
        return float(value)

    return call
