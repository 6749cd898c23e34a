"""Reading rows with answers, the format that `generate` writes and `train` and `evaluate` read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from breakeven.models.client.chat import Message
from breakeven.models.data.prompts import fault_of, lines
from breakeven.models.errors import BadRow, BadRows, DistillError


class Example(NamedTuple):
    """A conversation and the teacher's answer to it. `record` is the row as read, with all its fields."""

    id: str
    prompt: list[Message]
    answer: str
    category: str | None
    record: dict[str, Any]

    def text(self) -> str:
        """The text of the last message of the prompt."""
        return str(self.prompt[-1]["content"])


def read(paths: Sequence[Path], *, skip_bad: bool = False) -> list[Example]:
    """The examples of the files: rows of {"messages": [..., {"role": "assistant", ...}]} or {"prompt", "answer"}.

    Raises BadRows for bad rows, unless they are skipped, and DistillError where no row is left or a file cannot be
    read.
    """
    found: list[Example] = []
    bad: list[BadRow] = []
    for path in paths:
        for number, row in lines(path):
            one = _example(row, f"{path.stem}-{number}")
            if isinstance(one, str):
                bad.append(BadRow(path, number, one))
            else:
                found.append(one)
    if bad and not skip_bad:
        raise BadRows(bad, len(bad) + len(found))
    if not found:
        raise DistillError(f"{', '.join(map(str, paths))}: no usable rows; `breakeven distill generate` writes them")
    return found


def _example(row: Any, default_id: str) -> Example | str:
    """The example in a row, or a description of what is wrong with it."""
    messages, answer = (row.get("messages"), row.get("answer")) if isinstance(row, dict) else (None, None)
    asked = row
    if isinstance(messages, list) and messages and isinstance(messages[-1], dict):
        if messages[-1].get("role") != "assistant":
            return "messages: the last must be the assistant's answer"
        answer = messages[-1].get("content")
        asked = {"messages": messages[:-1]}
    fault = fault_of(asked)
    if fault is not None:
        return fault
    if not isinstance(answer, str) or not answer.strip():
        return "the answer must be a text that is not empty"
    turns = asked.get("messages") or [{"role": "user", "content": asked["prompt"]}]
    prompt = [{"role": turn["role"], "content": turn["content"]} for turn in turns]
    category = row.get("category")
    return Example(str(row.get("id") or default_id), prompt, answer, None if category is None else str(category), row)


def fault_in(row: Any) -> str | None:
    """Why a decoded row is no example, or None."""
    found = _example(row, "")
    return found if isinstance(found, str) else None
