"""Reading, checking and writing outcome rows: prompts with the student's and the teacher's score."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from breakeven.router.files import write_atomically
from breakeven.router.text import read_chat

# Optional counts of a row: tokens of the answers, and of the prompt as each model counts it.
TOKENS = ("student_tokens", "teacher_tokens", "student_prompt_tokens", "teacher_prompt_tokens")


class OutcomeError(ValueError):
    """Outcome rows cannot be used; the message names file, line and field, and counts the bad rows."""


class OutcomeRow(NamedTuple):
    """One outcome row, with scores in [0, 1].

    `text` is what the router reads of the prompt (see `text.read_chat`), `record` the JSON object with all its fields.
    """

    id: str
    text: str
    student_score: float
    teacher_score: float
    category: str | None
    split: str | None
    record: dict[str, Any]


def read(paths: Sequence[Path], split: str | None = None) -> list[OutcomeRow]:
    """The rows of the files (JSONL, may be gzipped), or only those with this value of `split`.

    Raises OutcomeError where a file cannot be read, a row is bad (the message names the first and counts all), or no
    row is left.
    """
    rows: list[OutcomeRow] = []
    faults: list[str] = []
    lines = 0
    for path in paths:
        for number, line in enumerate(_lines(path), 1):
            if not line.strip():
                continue
            lines += 1
            row = _row(line)
            if isinstance(row, str):
                faults.append(f"{path}: line {number}: {row}")
            else:
                rows.append(row)
    if faults:
        raise OutcomeError(f"{faults[0]}; {len(faults)} of {lines} rows are bad, nothing was written")
    chosen = [row for row in rows if split is None or row.split == split]
    if not chosen:
        which = f" with split {split!r}" if split and rows else ""
        raise OutcomeError(f"{', '.join(map(str, paths))}: no rows{which}")
    return chosen


def write(path: Path, records: Iterable[dict[str, Any]]) -> None:
    """Write outcome rows as JSONL, replacing the file atomically.

    Raises OutcomeError, and writes nothing, where `read` would reject a record; and OSError.
    """
    made: list[str] = []
    for number, record in enumerate(records, 1):
        fault = _fault(record)
        if fault is not None:
            raise OutcomeError(f"{path}: row {number}: {fault}; nothing was written")
        made.append(json.dumps(record, ensure_ascii=False) + "\n")
    write_atomically(path, "".join(made), private=True)


def read_texts(paths: Sequence[Path]) -> list[str]:
    """What the router reads of each row of JSONL files with `prompt` or `messages`, such as distillation data.

    Raises OutcomeError where a file cannot be read or a row has neither.
    """
    found: list[str] = []
    for path in paths:
        for number, line in enumerate(_lines(path), 1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except (ValueError, RecursionError):
                record = None
            messages = record.get("messages") if isinstance(record, dict) else None
            if isinstance(record, dict) and isinstance(record.get("prompt"), str):
                messages = [{"role": "user", "content": record["prompt"]}]
            if not isinstance(messages, list):
                raise OutcomeError(f"{path}: line {number}: must be a JSON object with prompt or messages")
            found.append(read_chat(messages).text)
    return found


def default_split(paths: Sequence[Path], wanted: str) -> str | None:
    """`wanted` if any row has that split, else None, so that all rows are used. Raises OutcomeError as `read` does."""
    return wanted if any(row.split == wanted for row in read(paths)) else None


def texts(rows: Iterable[OutcomeRow]) -> list[str]:
    """The text of each row, as the router reads it."""
    return [row.text for row in rows]


def scores(rows: Sequence[OutcomeRow]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The student's and the teacher's scores in [0, 1], (n,) each."""
    return np.array([row.student_score for row in rows]), np.array([row.teacher_score for row in rows])


def _lines(path: Path) -> list[str]:
    try:
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
        return data.decode("utf-8").split("\n")
    except OSError as error:
        raise OutcomeError(f"{path}: cannot be read ({error.strerror or 'not gzip'})") from None
    except (EOFError, zlib.error):
        raise OutcomeError(f"{path}: the gzip file is cut off or broken") from None
    except UnicodeDecodeError:
        raise OutcomeError(f"{path}: not UTF-8") from None


def _row(line: str) -> OutcomeRow | str:
    """The row in a line of JSON, or a description of what is wrong with it."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return "not JSON"
    if not isinstance(record, dict):
        return "must be a JSON object"
    fault = _fault(record)
    if fault is not None:
        return fault
    messages = record.get("messages")
    if messages is None:
        messages = [{"role": "user", "content": record["prompt"]}]
    split, category = record.get("split"), record.get("category")
    return OutcomeRow(
        str(record["id"]),
        read_chat(messages).text,
        float(record["student_score"]),
        float(record["teacher_score"]),
        str(category) if category is not None else None,
        str(split) if split is not None else None,
        record,
    )


def _fault(record: dict[str, Any]) -> str | None:
    """What is wrong with a record, or None."""
    if not isinstance(record.get("id"), str | int) or isinstance(record["id"], bool):
        return "id: missing or not a string"
    prompt, messages = record.get("prompt"), record.get("messages")
    if prompt is None and messages is None:
        return "prompt: missing, and there are no messages"
    if prompt is not None and not isinstance(prompt, str):
        return "prompt: must be a string"
    if messages is not None and not (isinstance(messages, list) and all(isinstance(m, dict) for m in messages)):
        return "messages: must be an array of objects"
    for name in ("student_score", "teacher_score"):
        value = record.get(name)
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0.0 <= value <= 1.0:
            return f"{name}: must be a number in [0, 1]"
    for name in TOKENS:
        value = record.get(name)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
            return f"{name}: must be a whole number, 0 or more"
    return None
