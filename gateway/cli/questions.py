"""Questions at a terminal: an answer that the config would refuse is asked for again, and the ones before are kept."""

from __future__ import annotations

import sys
from collections.abc import Callable
from copy import deepcopy
from typing import Any, NamedTuple, TypeVar

import typer

_T = TypeVar("_T", str, float)
# A config that loads; the answers so far are in the place of its values.
_LOADS = {
    "teacher": {
        "base_url": "http://localhost/v1",
        "model": "not-asked-teacher",
        "usd_per_million": {"input": 1, "output": 1},
    },
    "student": {"base_url": "http://localhost/v1", "model": "not-asked-student"},
}


class Question(NamedTuple):
    """What is asked where the `option` is not given: its `text`, the `key` of the config whose rules the answer must
    keep, and the answer where nothing is entered, None if it must be.
    """

    option: str
    text: str
    key: str
    default: str | None = None


class Questions:
    """Asks one question after the other."""

    def __init__(self) -> None:
        self._document: dict[str, Any] = deepcopy(_LOADS)

    def text(self, question: Question, given: str | None) -> str:
        """What was given, else what is answered at the terminal. Raises ValueError where there is none, and no default
        either.
        """
        return self._answered(question, given, str.strip)

    def number(self, question: Question, given: float | None) -> float:
        """The same for a number."""
        return self._answered(question, given, _number)

    def _answered(self, question: Question, given: _T | None, read: Callable[[str], _T]) -> _T:
        if given is not None:
            # What is given by options is checked as a whole, when the file is complete.
            self._enter(question.key, given)
            return given
        if not sys.stdin.isatty():
            if question.default is None:
                raise ValueError(f"{question.option}: needed, since there is no terminal to ask at ({question.text})")
            return read(question.default)

        def checked(text: str) -> _T:
            try:
                value = read(text)
            except ValueError as error:
                raise typer.BadParameter(str(error)) from None
            if fault := self._enter(question.key, value):
                raise typer.BadParameter(fault)
            return value

        found: _T = typer.prompt(
            question.text, default=question.default, show_default=question.default != "", value_proc=checked
        )
        return found

    def _enter(self, key: str, value: object) -> str | None:
        """Take in the value of a key. Returns what the config says against it, without the value, and leaves it out
        then; None: nothing.
        """
        from pydantic import ValidationError

        from breakeven.gateway.config.faults import lines
        from breakeven.gateway.config.schema import Config

        # Nothing stands for a section that is left out, and what is in the environment is not known here.
        if value == "" or "${" in str(value):
            return None
        tried = deepcopy(self._document)
        *sections, name = key.split(".")
        part = tried
        for section in sections:
            part = part.setdefault(section, {})
        part[name] = value
        try:
            Config.model_validate(tried)
        except ValidationError as error:
            return next(lines(error))
        self._document = tried
        return None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a number; write it as 15 or 0.15") from None
