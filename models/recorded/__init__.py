"""Recorded answers of real students to our own prompts, with reference answers.

`load` gives a general set of a small student that was not distilled; `load_desk` the held-out requests of the support
desk of `models.examples` with the answers of the student that was distilled for it, which `breakeven demo` plays.
"""

from __future__ import annotations

import functools
import gzip
from collections.abc import Mapping
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

import msgspec

from breakeven.models.scoring import checkers
from breakeven.models.scoring.checkers import Checker


class Recorded(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A prompt, the checker and the reference for its answers, and both answers with their scores and token counts.

    Scores are in [0, 1], computed by `models.scoring.checkers.score`. Token counts of both answers are by the student's
    tokenizer, and include the chat template and the end token.

    Only in the support desk's set: `wording`, of `models.examples.held_out`, and the `tokens` of the student's answer
    with the log-probability that it gave to each, `logprobs`.
    """

    id: str
    category: str
    prompt: str
    checker: Checker
    reference: str
    student: str
    student_score: float
    student_prompt_tokens: int
    student_tokens: int
    teacher: str
    teacher_score: float
    teacher_prompt_tokens: int
    teacher_tokens: int
    wording: str = ""
    tokens: tuple[str, ...] = ()
    logprobs: tuple[float, ...] = ()


def load() -> list[Recorded]:
    """All rows of the general set in the order of the file, a fixed shuffle over the categories."""
    return parse(files().joinpath("answers.jsonl").read_bytes())


def load_desk() -> list[Recorded]:
    """All rows of the support desk's set in the order of `models.examples.held_out`, a fixed shuffle over the kinds."""
    return parse(gzip.decompress(files().joinpath("desk.jsonl.gz").read_bytes()))


def parse(lines: bytes) -> list[Recorded]:
    """The rows of a file with a JSON object a line. Raises msgspec.DecodeError."""
    decoder = msgspec.json.Decoder(Recorded)
    return [decoder.decode(line) for line in lines.splitlines() if line]


def files() -> Traversable:
    """The directory of the sets, with README.md."""
    return resources.files(__name__)


def score(answer: str, reference: str, row: Mapping[str, Any]) -> float:
    """The score in [0, 1] of an answer to `row["messages"]`, for comparisons of the demo.

    By the prompt's own check where a set has the prompt, else by whether the answer is the `reference`.
    """
    prompt = row["messages"][-1]["content"] if row.get("messages") else None
    known = _by_prompt().get(prompt) if isinstance(prompt, str) else None
    if known is None:
        return checkers.score("exact", reference, answer)
    return checkers.score(known.checker, known.reference, answer)


@functools.cache
def _by_prompt() -> dict[str, Recorded]:
    return {row.prompt: row for row in (*load(), *load_desk())}
