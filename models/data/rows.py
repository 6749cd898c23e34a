"""Reading rows with answers, the format that `generate` writes and `train` and `evaluate` read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from breakeven.models.client.chat import Message
from breakeven.models.client.thoughts import split_thought
from breakeven.models.data.messages import asked, fault_of_message, sent, trained
from breakeven.models.data.prompts import fault_of, read_rows
from breakeven.models.data.records import stem
from breakeven.models.errors import BadRow, BadRows, DistillError


class Example(NamedTuple):
    """A conversation and the teacher's answer to it, which may be empty where it calls tools. `record` is the row as
    read, with all its fields.
    """

    id: str
    prompt: list[Message]
    answer: str
    category: str | None
    record: dict[str, Any]

    def text(self) -> str:
        """The text of the last message of the prompt."""
        return str(self.prompt[-1]["content"])

    def turns(self) -> list[Message]:
        """The whole conversation as a chat template gets it, the answer last; see `messages.trained`."""
        messages = self.record.get("messages")
        if isinstance(messages, list):
            return [trained(message) for message in messages]
        answer = {**self.record, "role": "assistant", "content": self.answer, "tool_calls": None}
        return [*map(trained, self.prompt), trained(answer)]

    def weights(self) -> list[float]:
        """The weight in training of each of `turns`: that of the row times that of the message; 0 unless it is an
        assistant's.
        """
        messages = self.record.get("messages")
        turns = messages if isinstance(messages, list) else [*self.prompt, {"role": "assistant"}]
        row = float(self.record.get("weight", 1) or 0)
        return [row * float(turn.get("weight", 1)) if turn["role"] == "assistant" else 0.0 for turn in turns]

    def calls(self) -> list[dict[str, Any]]:
        """The answer's calls of tools, as in the API; mostly empty."""
        messages = self.record.get("messages")
        found = messages[-1].get("tool_calls") if isinstance(messages, list) else None
        return found or []

    def asked(self) -> dict[str, Any]:
        """What the model is asked with beside the prompt: tools, response format."""
        return asked(self.record)


def read(
    paths: Sequence[Path], *, skip_bad: bool = False, skipped: Callable[[str], None] = lambda _line: None
) -> list[Example]:
    """The examples of the sources: rows of any known format that end with an answer. `skipped` is told of each bad row
    that is skipped.

    Raises BadRows for bad rows, unless they are skipped, and DistillError where no row is left or a file cannot be
    read.
    """
    found: list[Example] = []
    bad: list[BadRow] = []
    for path, record in read_rows(paths):
        one = record.fault or _example(record.value, f"{stem(path)}-{record.number}")
        if isinstance(one, str):
            bad.append(BadRow(path, record.number, one, record.unit))
        else:
            found.append(one)
    if bad and not skip_bad:
        raise BadRows(bad, len(bad) + len(found))
    if not found:
        raise DistillError(f"{', '.join(map(str, paths))}: no usable rows; `breakeven distill generate` writes them")
    if bad:
        for row in bad:
            skipped(f"skipped: {row}")
        skipped(f"skipped {len(bad)} of {len(bad) + len(found)} rows")
    return found


def _example(row: Any, default_id: str) -> Example | str:
    """The example in a row, or a description of what is wrong with it."""
    messages, answer = (row.get("messages"), row.get("answer")) if isinstance(row, dict) else (None, None)
    question, calls = row, None
    if isinstance(messages, list) and messages and isinstance(messages[-1], dict):
        if messages[-1].get("role") != "assistant":
            return "messages: the last must be the assistant's answer, and there is none"
        last = messages[-1]
        answer, calls = last.get("content"), last.get("tool_calls")
        question = {**row, "messages": messages[:-1]}
        if calls and (fault := fault_of_message(last)) is not None:
            return fault
    fault = fault_of(question)
    if fault is not None:
        return fault
    answer = split_thought(answer)[1] if isinstance(answer, str) else answer
    if not calls and (not isinstance(answer, str) or not answer.strip()):
        return "the answer must be a text that is not empty"
    turns = question.get("messages") or [{"role": "user", "content": question["prompt"]}]
    category = row.get("category")
    kind = None if category is None else str(category)
    return Example(str(row.get("id") or default_id), [sent(turn) for turn in turns], answer or "", kind, row)


def fault_in(row: Any) -> str | None:
    """Why a decoded row is no example, or None."""
    found = _example(row, "")
    return found if isinstance(found, str) else None
