"""What the methods of trl are trained on: preference pairs from outcome rows, conversations, or prompts alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from breakeven.models.client.thoughts import split_thought
from breakeven.models.data.rows import Example, read
from breakeven.models.errors import DistillError
from breakeven.models.train.settings import Settings
from breakeven.models.train.system_role import allow_system
from breakeven.router import outcomes


class TrlRows(NamedTuple):
    """Rows as trl takes them, each also as an example with the answer to learn, and how many were too long."""

    raw: list[dict[str, Any]]
    examples: list[Example]
    too_long: int


def trl_rows(settings: Settings, tokenizer: Any, say: Callable[[str], None]) -> TrlRows:
    """The rows for `dpo`, `on-policy` or `gold` that fit into the maximum length. Raises DistillError without any.

    trl would cut longer ones off, which teaches to stop early. A template that has no system role gets one where rows
    need it, of which `say` tells, as of bad rows that are skipped.
    """
    found = list(_pairs(settings) if settings.method == "dpo" else _conversations(settings, say))
    for _, example in found:
        _check_texts(example, settings.method)
    allow_system(tokenizer, [example for _, example in found], say)
    raw, examples, too_long = [], [], 0
    for row, example in found:
        if _length(example.id, row, settings, tokenizer) > settings.max_length:
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
        if one.split in ("dev", "test") or one.student_score == one.teacher_score:
            continue
        if not isinstance(student, str) or not isinstance(teacher, str):
            continue
        student, teacher = (split_thought(text)[1] for text in (student, teacher))
        if not student.strip() or not teacher.strip():
            continue
        some = True
        better, worse = (teacher, student) if one.teacher_score > one.student_score else (student, teacher)
        prompt = one.record.get("messages") or [{"role": "user", "content": one.record["prompt"]}]
        row = {"prompt": prompt, "chosen": _answer(better), "rejected": _answer(worse)}
        # The messages of an outcome row are the prompt alone, those of an example have the answer.
        record = {**one.record, "messages": [*prompt, *_answer(better)]}
        yield row, Example(one.id, prompt, better, one.category, record)
    if not some:
        raise DistillError(
            f"{', '.join(map(str, settings.rows))}: no two answers with different scores outside the splits dev and "
            "test; evaluate the student on its training rows to get pairs"
        )


def _conversations(settings: Settings, say: Callable[[str], None]) -> Iterator[tuple[dict[str, Any], Example]]:
    for one in read(settings.rows, skip_bad=settings.skip_bad, skipped=say):
        if settings.method == "on-policy":
            yield {"prompt": one.prompt}, one
        else:
            yield {"messages": [*one.prompt, *_answer(one.answer)]}, one


def _check_texts(one: Example, method: str) -> None:
    """Raise DistillError for a row with tools: trl would train the answer without them."""
    if one.asked().get("tools") or one.calls() or any(m.get("tool_calls") or m["role"] == "tool" for m in one.prompt):
        raise DistillError(f"row {one.id}: --method {method} trains texts alone; leave out rows with tools, or use sft")


def _length(name: str, row: dict[str, Any], settings: Settings, tokenizer: Any) -> int:
    """The tokens of a row in training, with the longest answer that the student may generate."""
    try:
        return _tokens(row, settings, tokenizer)
    except Exception as error:
        # Templates are programs of others, which raise what they like.
        said = " ".join(str(error).split())[:160]
        raise DistillError(
            f"row {name}: the student's chat template refuses it: {said}; change the roles of the row, or the "
            "template in the model's directory (chat_template.jinja)"
        ) from None


def _tokens(row: dict[str, Any], settings: Settings, tokenizer: Any) -> int:
    prompt = row.get("prompt") or row["messages"][:-1]
    longest = settings.completion_tokens if settings.method != "dpo" else 0
    lengths = [len(tokenizer.apply_chat_template(prompt, add_generation_prompt=True, return_dict=False)) + longest]
    whole = [prompt + row[name] for name in ("chosen", "rejected") if name in row]
    whole += [row["messages"]] if "messages" in row else []
    return max([*lengths, *(len(tokenizer.apply_chat_template(turns, return_dict=False)) for turns in whole)])


def _answer(text: Any) -> list[dict[str, Any]]:
    return [{"role": "assistant", "content": text}]
