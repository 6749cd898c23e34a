"""What the methods of trl are trained on: preference pairs from outcome rows, conversations, or prompts alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from breakeven.models.data.rows import Example, read
from breakeven.models.errors import DistillError
from breakeven.models.train.settings import Settings
from breakeven.router import outcomes


class TrlRows(NamedTuple):
    """Rows as trl takes them, each also as an example with the answer to learn, and how many were too long."""

    raw: list[dict[str, Any]]
    examples: list[Example]
    too_long: int


def trl_rows(settings: Settings, tokenizer: Any) -> TrlRows:
    """The rows for `dpo`, `on-policy` or `gold` that fit into the maximum length. Raises DistillError without any.

    trl would cut longer ones off, which teaches to stop early.
    """
    found = _pairs(settings) if settings.method == "dpo" else _conversations(settings)
    raw, examples, too_long = [], [], 0
    for row, example in found:
        if _length(row, settings, tokenizer) > settings.max_length:
            too_long += 1
        else:
            raw.append(row)
            examples.append(example)
    if not raw:
        raise DistillError(f"none of {too_long} rows fits into --max-length {settings.max_length}; give a higher one")
    return TrlRows(raw, examples, too_long)


def _pairs(settings: Settings) -> Iterator[tuple[dict[str, Any], Example]]:
    """Pairs {"prompt", "chosen", "rejected"}: the answer with the higher score is chosen, student's or teacher's.

    Equal scores make no pair. Rows of the splits `dev` and `test` are left out: thresholds and reports rest on them.
    """
    try:
        rows = outcomes.read(settings.rows)
    except outcomes.OutcomeError as error:
        raise DistillError(f"{error}; --method dpo takes the outcomes.jsonl of `breakeven distill evaluate`") from None
    some = False
    for one in rows:
        student, teacher = (one.record.get(f"{name}_response") for name in ("student", "teacher"))
        texts = [text for text in (student, teacher) if isinstance(text, str) and text.strip()]
        if one.split in ("dev", "test") or one.student_score == one.teacher_score or len(texts) < 2:
            continue
        some = True
        better, worse = (teacher, student) if one.teacher_score > one.student_score else (student, teacher)
        prompt = one.record.get("messages") or [{"role": "user", "content": one.record["prompt"]}]
        row = {"prompt": prompt, "chosen": _answer(better), "rejected": _answer(worse)}
        yield row, Example(one.id, prompt, str(better), one.category, one.record)
    if not some:
        raise DistillError(
            f"{', '.join(map(str, settings.rows))}: no two answers with different scores outside the splits dev and "
            "test; evaluate the student on its training rows to get pairs"
        )


def _conversations(settings: Settings) -> Iterator[tuple[dict[str, Any], Example]]:
    for one in read(settings.rows, skip_bad=settings.skip_bad):
        if settings.method == "on-policy":
            yield {"prompt": one.prompt}, one
        else:
            yield {"messages": [*one.prompt, *_answer(one.answer)]}, one


def _length(row: dict[str, Any], settings: Settings, tokenizer: Any) -> int:
    """The tokens of a row in training, with the longest answer that the student may generate."""
    prompt = row.get("prompt") or row["messages"][:-1]
    longest = settings.completion_tokens if settings.method != "dpo" else 0
    lengths = [len(tokenizer.apply_chat_template(prompt, add_generation_prompt=True, return_dict=False)) + longest]
    whole = [prompt + row[name] for name in ("chosen", "rejected") if name in row]
    whole += [row["messages"]] if "messages" in row else []
    return max([*lengths, *(len(tokenizer.apply_chat_template(turns, return_dict=False)) for turns in whole)])


def _answer(text: Any) -> list[dict[str, Any]]:
    return [{"role": "assistant", "content": text}]
