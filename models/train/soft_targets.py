"""Soft targets from a teacher's stored log-probabilities, and checks that student and teacher share a vocabulary."""

from __future__ import annotations

from typing import Any

from breakeven.models.data.rows import Example
from breakeven.models.errors import DistillError

INSTEAD = (
    "use --method sft, which needs the teacher's text only, or a student of the teacher's family, "
    "which has its vocabulary"
)


def check_same_vocabulary(student: Any, teacher: Any) -> None:
    """Raise DistillError unless both tokenizers give the same ids to the same tokens."""
    a, b = student.get_vocab(), teacher.get_vocab()
    if a == b:
        return
    different = len(a.items() ^ b.items())
    raise DistillError(
        f"student and teacher have different vocabularies ({len(a):,} and {len(b):,} tokens; {different:,} entries "
        f"differ): their distributions cannot be compared; {INSTEAD}"
    )


class SoftTargets:
    """Maps the token texts in an API's log-probabilities to the student's token ids."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._ids: dict[str, int] = {}
        texts = tokenizer.batch_decode([[i] for i in range(len(tokenizer))], clean_up_tokenization_spaces=False)
        for number, text in enumerate(texts):
            # A token that is a part of a character has no text.
            if text and "\ufffd" not in text:
                self._ids.setdefault(text, number)

    def for_answer(self, one: Example, answer: list[int]) -> tuple[list[list[int]], list[list[float]]] | None:
        """The known token ids and log-probabilities at each token of `answer`, the student's tokens of the row's
        answer.

        Empty lists after the last token that the API gave. None if the row has no log-probabilities, or its tokens are
        not those of `answer`, because the teacher has another vocabulary.
        """
        stored = one.record.get("teacher_logprobs")
        if not isinstance(stored, list) or not stored:
            return None
        ids: list[list[int]] = []
        logs: list[list[float]] = []
        for number, token in zip(stored, answer, strict=False):
            if not isinstance(number, dict):
                return None
            if self._tokenizer.decode([token]) != number.get("token"):
                return None
            known = self._alternatives(number, token)
            ids.append(list(known))
            logs.append(list(known.values()))
        missing = len(answer) - len(ids)
        # Some APIs list the token that ends an answer, others do not.
        return None if missing > 1 else (ids + [[]] * missing, logs + [[]] * missing)

    def _alternatives(self, position: dict[str, Any], token: int) -> dict[int, float]:
        """The log-probabilities of the token and its alternatives at one position, by id."""
        known: dict[int, float] = {}
        if isinstance(position.get("logprob"), int | float):
            known[token] = min(float(position["logprob"]), 0.0)
        for entry in position.get("top") or []:
            text, logprob = entry[0], entry[1]
            number = self._ids.get(text) if isinstance(text, str) else None
            if number is not None and isinstance(logprob, int | float):
                known.setdefault(number, min(float(logprob), 0.0))
        return known


def check_fit(with_soft: int, rows: int) -> None:
    """Raise DistillError if fewer than half of the rows have soft targets in the student's tokens."""
    if with_soft * 2 < rows:
        raise DistillError(
            f"only {with_soft} of {rows} rows have stored log-probabilities in the student's tokens: without "
            f"--teacher, rows need them (`generate --top-logprobs`), from a teacher of the same vocabulary; {INSTEAD}"
        )
