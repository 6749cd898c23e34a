"""Whether student and teacher speak of the same tokens; stored log shares of the teacher as soft targets."""

from __future__ import annotations

from typing import Any

from breakeven.models.data.rows import Example
from breakeven.models.errors import DistillError

INSTEAD = (
    "use --method sft, which needs the teacher's text only, or a student of the teacher's family, "
    "which has its vocabulary"
)


def check_same_vocabulary(student: Any, teacher: Any) -> None:
    """Both tokenizers give the same ids to the same tokens. Raises DistillError."""
    a, b = student.get_vocab(), teacher.get_vocab()
    if a == b:
        return
    different = len(a.items() ^ b.items())
    raise DistillError(
        f"student and teacher have different vocabularies ({len(a):,} and {len(b):,} tokens; {different:,} entries "
        f"differ): their distributions cannot be compared; {INSTEAD}"
    )


class SoftTargets:
    """Maps the token texts that an API gives to the student's ids."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._ids: dict[str, int] = {}
        texts = tokenizer.batch_decode([[i] for i in range(len(tokenizer))], clean_up_tokenization_spaces=False)
        for number, text in enumerate(texts):
            # A part of a character has no text of its own.
            if text and "\ufffd" not in text:
                self._ids.setdefault(text, number)

    def of(self, one: Example, answer: list[int]) -> tuple[list[list[int]], list[list[float]]] | None:
        """Ids and log shares of each token of the answer, empty after the last that the API gave.

        None where the row has none, or its tokens are not those of `answer`: another vocabulary.
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
    """Raises DistillError where fewer than half of the rows have soft targets that fit."""
    if with_soft * 2 < rows:
        raise DistillError(
            f"only {with_soft} of {rows} rows have stored log shares in the student's tokens: no --teacher is given, "
            f"and the rows come without (`generate --top-logprobs`) or from another vocabulary; {INSTEAD}"
        )
