"""Reading prompts from rows of any known format, identified by a key, with duplicates merged."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from breakeven.models.client.chat import Message
from breakeven.models.data.formats import ours, surrogate, unknown, without_answer
from breakeven.models.data.messages import asked, fault_of_fields, fault_of_message, sent
from breakeven.models.data.records import Record, records, stem
from breakeven.models.data.sources import files
from breakeven.models.errors import BadRow, BadRows, DistillError

# Fields of a prompt row that are copied to the dataset row: how to score the answer, and the kind of request.
_CARRIED = ("category", "reference", "checker", "label", "synthetic")


def hashed_share(text: str) -> float:
    """A number in [0, 1) that depends on the text alone, in multiples of 2**-48."""
    return int(hashlib.sha256(text.encode()).hexdigest()[:12], 16) / 16**12


class Prompt(NamedTuple):
    """A conversation to be answered.

    `key`: SHA-256 of its roles and texts, ignoring case and white space; prompts with the same key are duplicates.
    `carried`: the row's category, reference, checker, label and synthetic fields, where present. `asked`: what the
    model is asked with beside the messages: tools, response format.
    """

    id: str
    key: str
    messages: list[Message]
    carried: dict[str, Any]
    asked: Mapping[str, Any] = {}

    def text(self) -> str:
        """The text of the last user message."""
        return next((m["content"] for m in reversed(self.messages) if m["role"] == "user"), "")

    def split(self, eval_share: float) -> str:
        """`train` or `eval`, by a hash of the key: the same prompt is always in the same split."""
        part = hashed_share(f"split:{self.key}")
        return "eval" if part < eval_share else "train"


class Prompts(NamedTuple):
    """The distinct prompts in the order of the files; the number of duplicates and of all rows; the bad rows; and the
    number of rows that held an answer, which is left out.
    """

    prompts: list[Prompt]
    duplicates: int
    bad: list[BadRow]
    rows: int
    answers: int = 0


def read(paths: Sequence[Path], *, system: str | None = None, skip_bad: bool = False) -> Prompts:
    """The prompts of the files. `system` is added to conversations without a system message.

    Raises BadRows for bad rows, unless they are skipped, and DistillError where no prompt is left or a file cannot be
    read.
    """
    found: dict[str, Prompt] = {}
    bad: list[BadRow] = []
    rows = answers = 0
    for path, record in read_rows(paths):
        rows += 1
        row, answered = (record.value, False) if record.fault else without_answer(record.value)
        fault = record.fault or fault_of(row)
        if fault is not None:
            bad.append(BadRow(path, record.number, fault, record.unit))
            continue
        answers += answered
        one = prompt_of(row, f"{stem(path)}-{record.number}", system)
        found.setdefault(one.key, one)
    if bad and not skip_bad:
        raise BadRows(bad, rows)
    if not found:
        raise DistillError(f"{', '.join(map(str, paths))}: no usable prompts; write one JSON object a line")
    return Prompts(list(found.values()), rows - len(bad) - len(found), bad, rows, answers)


def read_rows(paths: Iterable[Path]) -> Iterator[tuple[Path, Record]]:
    """Each row of the sources with its file, in our format; one that cannot be turned into it has a fault.

    Raises DistillError where a source cannot be read.
    """
    for source in paths:
        for path in files(source):
            for record in records(path):
                yield path, record if record.fault else _in_our_format(record)


def _in_our_format(record: Record) -> Record:
    if not isinstance(record.value, dict):
        return record._replace(fault="must be a JSON object")
    row = ours(record.value)
    return record._replace(value=row, fault=surrogate(row) or unknown(row))


def fault_of(row: object) -> str | None:
    """What is wrong with the decoded row of a prompt file, or None."""
    if row is None:
        return "not JSON in UTF-8"
    if not isinstance(row, dict):
        return "must be a JSON object"
    prompt, messages = row.get("prompt"), row.get("messages")
    if prompt is None and messages is None:
        return "has neither prompt nor messages"
    if messages is None:
        if not isinstance(prompt, str) or not prompt.strip():
            return "prompt: must be a text that is not empty"
        return fault_of_fields(row)
    if not isinstance(messages, list) or not messages:
        return "messages: must be a list of at least one message"
    faults = (fault_of_message(message) for message in messages)
    if (fault := next(filter(None, faults), None)) is not None:
        return fault
    last = messages[-1]
    if last["role"] != "tool" and (last["role"] != "user" or not last["content"].strip()):
        return "messages: the last must be the user's, and not empty, or the result of a tool"
    return fault_of_fields(row)


def prompt_of(row: dict[str, Any], default_id: str, system: str | None = None) -> Prompt:
    """The prompt in a row for which `fault_of` returns None; `system` as in `read`."""
    messages: list[Message] = row.get("messages") or [{"role": "user", "content": row["prompt"]}]
    messages = [sent(m) for m in messages]
    if system is not None and messages[0]["role"] not in ("system", "developer"):
        messages = [{"role": "system", "content": system}, *messages]
    carried = {name: row[name] for name in _CARRIED if row.get(name) is not None}
    more = asked(row)
    return Prompt(str(row.get("id") or default_id), key_of(messages, more), messages, carried, more)


def key_of(messages: Sequence[Message], more: Mapping[str, Any] | None = None) -> str:
    """The SHA-256, in hex, of the messages' roles, texts and calls of tools, and of what the model is asked with beside
    them (`more`); of texts it ignores case and white space.
    """
    plain: list[Any] = [[m["role"], " ".join((m["content"] or "").casefold().split())] for m in messages]
    for one, message in zip(plain, messages, strict=True):
        if "tool_calls" in message:
            one.append(message["tool_calls"])
    return hashlib.sha256(json.dumps([plain, more] if more else plain).encode()).hexdigest()
