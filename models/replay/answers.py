"""Recorded answers: reading them from a file, splitting them into chunks, and the timing of a stream."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import msgspec

Count = Annotated[int, msgspec.Meta(ge=0)]

# White space belongs to the word after it, as in the tokens of most models.
_WORD = re.compile(r"\s*\S+|\s+\Z")


class AnswersError(ValueError):
    """An answers file cannot be used; the message names the line and the problem."""


class Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A row of an answers file: the answer to `prompt`, and the token counts that the upstream reported.

    `tokens` and their `logprobs`, the log-probabilities, are there or not, and are then as many; tokens without text at
    the end, such as the end token, are among them.
    """

    prompt: str
    answer: str
    prompt_tokens: Count
    output_tokens: Count
    cached_tokens: Count = 0
    finish_reason: str = "stop"
    tokens: tuple[str, ...] = ()
    logprobs: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if len(self.tokens) != len(self.logprobs):
            raise ValueError("tokens and logprobs must be as many")

    def pieces(self) -> list[str]:
        """The answer split into its tokens where they are known, with "" for those that its text does not have, else
        before white space into at most `output_tokens` chunks.
        """
        return self._token_texts() if self.tokens else self._words()

    def _token_texts(self) -> list[str]:
        texts, at = [], 0
        for token in self.tokens:
            texts.append(token if self.answer.startswith(token, at) else "")
            at += len(texts[-1])
        texts[-1] += self.answer[at:]
        return texts

    def _words(self) -> list[str]:
        words = _WORD.findall(self.answer)
        count = min(len(words), max(self.output_tokens, 1))
        bounds = [len(words) * i // count for i in range(count + 1)] if count else []
        return ["".join(words[a:b]) for a, b in itertools.pairwise(bounds)]

    def truncated(self, limit: int | None) -> Answer:
        """The answer that a server would give with this `max_tokens` limit: shortened, with finish reason `length`."""
        if limit is None or limit >= self.output_tokens:
            return self
        if self.tokens:
            kept = self.pieces()[:limit]
        else:
            kept = self.pieces()
            kept = kept[: len(kept) * limit // self.output_tokens]
        return msgspec.structs.replace(
            self,
            answer="".join(kept),
            output_tokens=limit,
            finish_reason="length",
            tokens=self.tokens[:limit],
            logprobs=self.logprobs[:limit],
        )


class Pacing(msgspec.Struct, frozen=True):
    """The timing of an answer: the first token after `first_event_seconds`, the others at a constant rate.

    `speed` divides all times; infinity means without delay. Raises ValueError for negative or zero values.
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
        """The seconds from the request until this many tokens are sent."""
        return (self.first_event_seconds + tokens / self.tokens_per_second) / self.speed


def load_answers(path: Path) -> dict[str, Answer]:
    """The answers in a JSONL file, by prompt. Raises AnswersError for a bad row, a conflict or no rows, and OSError."""
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
                    f"{path}: line {number}: an earlier line has the same prompt with another answer; keep one"
                )
    if not answers:
        raise AnswersError(f"{path}: has no answers; write one JSON object per line")
    return answers


def generic_answer(prompt: str) -> Answer:
    """The answer to a prompt that was not recorded: a text that says so, with counts of words instead of tokens.

    It lets a request by hand, such as with curl, get a usable response.
    """
    text = (
        "This replay server has no recorded answer for this prompt. It plays back recorded answers only; "
        "put a real model behind the gateway to have this one answered. (Token counts here are word counts.)"
    )
    return Answer(prompt, text, len(prompt.split()), len(text.split()))


def estimate_tokens(text: str) -> int:
    """An estimate of a text's tokens, at 4 characters each, for recorded answers without counts."""
    return math.ceil(len(text) / 4)


def message_text(content: object) -> str | None:
    """The text of a message's `content`: a string, or its text parts joined; None for anything else."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return None
    return "".join(_part_texts(content))


def _part_texts(parts: Iterable[object]) -> Iterable[str]:
    for part in parts:
        if isinstance(part, dict) and isinstance(part.get("text"), str):
            yield part["text"]
