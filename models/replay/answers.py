"""Recorded answers: reading them from a file, finding one, and cutting it into timed pieces."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import msgspec

Count = Annotated[int, msgspec.Meta(ge=0)]

# Whitespace goes with the word after it, as in the vocabularies of most models.
_WORD = re.compile(r"\s*\S+|\s+\Z")


class AnswersError(ValueError):
    """An answers file that can't be played; the message names the line, the field and the mend."""


class Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One row of an answers file: what the upstream said to `prompt`, and the tokens that it counted."""

    prompt: str
    answer: str
    prompt_tokens: Count
    output_tokens: Count
    cached_tokens: Count = 0
    finish_reason: str = "stop"

    def pieces(self) -> list[str]:
        """The answer in at most `output_tokens` parts, cut before whitespace; together they are the answer."""
        words = _WORD.findall(self.answer)
        count = min(len(words), max(self.output_tokens, 1))
        bounds = [len(words) * i // count for i in range(count + 1)] if count else []
        return ["".join(words[a:b]) for a, b in itertools.pairwise(bounds)]

    def cut(self, limit: int | None) -> Answer:
        """As a server with this `max_tokens` would have given it: the first tokens, and finish `length`."""
        if limit is None or limit >= self.output_tokens:
            return self
        pieces = self.pieces()
        kept = pieces[: len(pieces) * limit // self.output_tokens]
        return msgspec.structs.replace(self, answer="".join(kept), output_tokens=limit, finish_reason="length")


class Pacing(msgspec.Struct, frozen=True):
    """When the tokens of an answer appear: the first after a delay, the rest at an even rate.

    `speed` divides all times; infinity means at once.
    """

    first_event_seconds: float = 0.05
    tokens_per_second: float = 400.0
    speed: float = 1.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.first_event_seconds) and self.first_event_seconds >= 0):
            raise ValueError("first_event_seconds must be 0 or more")
        if not self.tokens_per_second > 0:
            raise ValueError("tokens_per_second must be more than 0")
        if not self.speed > 0:
            raise ValueError("speed must be more than 0")

    def seconds(self, tokens: float) -> float:
        """From the request to the end of that many tokens."""
        return (self.first_event_seconds + tokens / self.tokens_per_second) / self.speed


def load_answers(path: Path) -> dict[str, Answer]:
    """The answers of a JSONL file by their prompts. Raises AnswersError, OSError."""
    answers: dict[str, Answer] = {}
    decoder = msgspec.json.Decoder(Answer)
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                answer = decoder.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise AnswersError(f"{path}: line {number}: {error}") from None
            if answers.setdefault(answer.prompt, answer) != answer:
                raise AnswersError(
                    f"{path}: line {number}: its prompt stands on an earlier line with another answer; keep one"
                )
    if not answers:
        raise AnswersError(f"{path}: holds no answers; write one JSON object a line")
    return answers


def generic_answer(prompt: str) -> Answer:
    """What the server says to a prompt that was never recorded: labelled, its token counts invented.

    The counts are whitespace-separated words, here and nowhere else, so that a curl gets a usable answer.
    """
    text = (
        "This replay server has no recorded answer for this prompt. It plays back recorded answers only; "
        "put a real model behind the gateway to have this one answered. (Token counts here are word counts.)"
    )
    return Answer(prompt, text, len(prompt.split()), len(text.split()))


def estimate_tokens(text: str) -> int:
    """About how many tokens a text has, at 4 characters a token; for records that carry no counts."""
    return math.ceil(len(text) / 4)


def message_text(content: object) -> str | None:
    """The text of a message's `content`: a string, or its text parts joined; None where it is neither."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return None
    return "".join(_part_texts(content))


def _part_texts(parts: Iterable[object]) -> Iterable[str]:
    for part in parts:
        if isinstance(part, dict) and isinstance(part.get("text"), str):
            yield part["text"]
