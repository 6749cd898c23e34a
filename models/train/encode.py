"""Turning examples into batches of tokens: chat template, labels on the answer only, packing and padding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch

from breakeven.models.data.rows import Example
from breakeven.models.errors import DistillError
from breakeven.models.train.losses import IGNORED
from breakeven.models.train.soft_targets import SoftTargets

# For base models without a chat template; it is saved with the model, so that serving uses it too.
PLAIN_TEMPLATE = (
    "{% for message in messages %}{% if message['role'] == 'user' %}User: {{ message['content'] }}\n"
    "{% elif message['role'] == 'assistant' %}Assistant: {{ message['content'] }}{{ eos_token }}\n"
    "{% else %}{{ message['content'] }}\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}Assistant: {% endif %}"
)

Row = dict[str, Any]


class Encoded(NamedTuple):
    """`rows` of {"input_ids", "labels"} and, with soft targets, {"soft_ids", "soft_logprobs"} with a list for each
    token.

    `too_long`: the number of examples left out because they do not fit: a truncated answer would teach to stop early.
    `with_soft`: the number of rows whose stored soft targets match the student's tokens.
    """

    rows: list[Row]
    too_long: int
    with_soft: int


def encode(examples: Sequence[Example], tokenizer: Any, max_length: int, soft: SoftTargets | None = None) -> Encoded:
    """Encode examples with the tokenizer's chat template; the labels are the answer and its end token.

    `max_length` is in tokens; `soft` adds stored soft targets. Raises DistillError where no example fits.
    """
    rows: list[Row] = []
    too_long = with_soft = 0
    for one in examples:
        prompt, answer = _tokens(one, tokenizer)
        if len(prompt) + len(answer) > max_length:
            too_long += 1
            continue
        row: Row = {"input_ids": [*prompt, *answer], "labels": [IGNORED] * len(prompt) + answer}
        if soft is not None:
            stored = soft.for_answer(one, answer)
            with_soft += stored is not None
            ids, logprobs = stored or ([[]] * len(answer), [[]] * len(answer))
            row["soft_ids"], row["soft_logprobs"] = [[]] * len(prompt) + ids, [[]] * len(prompt) + logprobs
        rows.append(row)
    if not rows:
        raise DistillError(f"none of {len(examples)} rows fits into --max-length {max_length}; give a higher one")
    return Encoded(rows, too_long, with_soft)


def pack(rows: Sequence[Row], max_length: int) -> list[Row]:
    """Pack rows into sequences of at most `max_length` tokens, by first-fit decreasing.

    `position_ids` restart with each row, so that the decoders of transformers do not attend across rows; those that do
    so all the same are refused by `packing.check_packing`.
    """
    bins: list[tuple[int, list[Row]]] = []
    for row in sorted(rows, key=lambda row: -len(row["input_ids"])):
        size = len(row["input_ids"])
        for i, (used, held) in enumerate(bins):
            if used + size <= max_length:
                bins[i] = (used + size, [*held, row])
                break
        else:
            bins.append((size, [row]))
    packed = []
    for _, held in bins:
        made: Row = {name: [x for row in held for x in row[name]] for name in held[0]}
        made["position_ids"] = [i for row in held for i in range(len(row["input_ids"]))]
        packed.append(made)
    return packed


def collator(pad_id: int, *, flat: bool = False) -> Callable[[list[Row]], dict[str, torch.Tensor]]:
    """A function from rows to a batch of tensors (b, n), padded on the right with `pad_id`.

    Packed rows get position ids, others an attention mask. With `flat`, packed rows become one sequence (1, n) without
    padding: flash attention takes boundaries from position ids only in a batch of one.
    """

    def collate(rows: list[Row]) -> dict[str, torch.Tensor]:
        if flat and "position_ids" in rows[0]:
            rows = [{name: [x for row in rows for x in row[name]] for name in rows[0]}]
        longest = max(len(row["input_ids"]) for row in rows)
        batch = {
            "input_ids": _padded([row["input_ids"] for row in rows], longest, pad_id),
            "labels": _padded([row["labels"] for row in rows], longest, IGNORED),
        }
        if "position_ids" in rows[0]:
            # The padding is one more sequence.
            positions = [[*row["position_ids"], *range(longest - len(row["input_ids"]))] for row in rows]
            batch["position_ids"] = torch.tensor(positions)
        else:
            ones = [[1] * len(row["input_ids"]) for row in rows]
            batch["attention_mask"] = _padded(ones, longest, 0)
        if "soft_ids" in rows[0]:
            batch |= _soft(rows, longest)
        return batch

    return collate


def _tokens(one: Example, tokenizer: Any) -> tuple[list[int], list[int]]:
    """The tokens of the prompt, including the start of the assistant's turn, and those of the answer with its end
    token.
    """
    prompt: list[int] = tokenizer.apply_chat_template(one.prompt, add_generation_prompt=True, return_dict=False)
    turns = [*one.prompt, {"role": "assistant", "content": one.answer}]
    whole: list[int] = tokenizer.apply_chat_template(turns, return_dict=False)
    if whole[: len(prompt)] == prompt:
        answer = whole[len(prompt) :]
    else:  # The template renders a finished answer differently from the start of a new one.
        answer = tokenizer(one.answer, add_special_tokens=False)["input_ids"]
    eos = tokenizer.eos_token_id
    if eos in answer:  # Text that the template adds after the end token is not trained on.
        return prompt, answer[: len(answer) - answer[::-1].index(eos)]
    return prompt, [*answer, eos]


def _padded(rows: list[list[int]], length: int, value: int) -> torch.Tensor:
    return torch.tensor([[*row, *[value] * (length - len(row))] for row in rows])


def _soft(rows: list[Row], longest: int) -> dict[str, torch.Tensor]:
    """Soft targets as tensors (b, n, k): token ids, -1 where absent, and log-probabilities."""
    k = max((len(ids) for row in rows for ids in row["soft_ids"]), default=0) or 1
    ids = torch.full((len(rows), longest, k), -1)
    logprobs = torch.zeros(len(rows), longest, k)
    for b, row in enumerate(rows):
        for i, (known, logs) in enumerate(zip(row["soft_ids"], row["soft_logprobs"], strict=True)):
            if known:
                ids[b, i, : len(known)] = torch.tensor(known)
                logprobs[b, i, : len(known)] = torch.tensor(logs)
    return {"soft_ids": ids, "soft_logprobs": logprobs}
