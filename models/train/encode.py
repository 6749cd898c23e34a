"""Examples to tokens: the chat template, labels on the answer only, packing, batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch

from breakeven.models.data.rows import Example
from breakeven.models.errors import DistillError
from breakeven.models.train.losses import IGNORED
from breakeven.models.train.soft_targets import SoftTargets

# For base models, which have none: what is trained with it is served with it.
PLAIN_TEMPLATE = (
    "{% for message in messages %}{% if message['role'] == 'user' %}User: {{ message['content'] }}\n"
    "{% elif message['role'] == 'assistant' %}Assistant: {{ message['content'] }}{{ eos_token }}\n"
    "{% else %}{{ message['content'] }}\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}Assistant: {% endif %}"
)

Row = dict[str, Any]


class Encoded(NamedTuple):
    """`rows` of {"input_ids", "labels"} and, with soft targets, {"soft_ids", "soft_logprobs"}, a list for each token.

    `too_long` counts examples that do not fit, which are left out: half an answer teaches to stop midway.
    `with_soft` counts the rows whose stored soft targets fit the student's tokens.
    """

    rows: list[Row]
    too_long: int
    with_soft: int


def encode(examples: Sequence[Example], tokenizer: Any, max_length: int, soft: SoftTargets | None = None) -> Encoded:
    """Tokens of prompt and answer by the tokenizer's chat template; labels are the answer and its end.

    Raises DistillError where no example fits.
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
            stored = soft.of(one, answer)
            with_soft += stored is not None
            ids, logprobs = stored or ([[]] * len(answer), [[]] * len(answer))
            row["soft_ids"], row["soft_logprobs"] = [[]] * len(prompt) + ids, [[]] * len(prompt) + logprobs
        rows.append(row)
    if not rows:
        raise DistillError(f"none of {len(examples)} rows fits into --max-length {max_length}; give a higher one")
    return Encoded(rows, too_long, with_soft)


def pack(rows: Sequence[Row], max_length: int) -> list[Row]:
    """Several rows in one, first fit by falling length; `position_ids` start anew with each, which keeps
    them apart in the attention of transformers' decoders."""
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


def collator(pad_id: int) -> Callable[[list[Row]], dict[str, torch.Tensor]]:
    """Rows to one batch of tensors (b, n), padded on the right; packed rows get position ids, others a mask."""

    def collate(rows: list[Row]) -> dict[str, torch.Tensor]:
        longest = max(len(row["input_ids"]) for row in rows)
        batch = {
            "input_ids": _padded([row["input_ids"] for row in rows], longest, pad_id),
            "labels": _padded([row["labels"] for row in rows], longest, IGNORED),
        }
        if "position_ids" in rows[0]:
            # The padding is one more sequence of its own.
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
    """Tokens of the prompt, up to where the answer starts, and of the answer with its end."""
    prompt: list[int] = tokenizer.apply_chat_template(one.prompt, add_generation_prompt=True, return_dict=False)
    turns = [*one.prompt, {"role": "assistant", "content": one.answer}]
    whole: list[int] = tokenizer.apply_chat_template(turns, return_dict=False)
    if whole[: len(prompt)] == prompt:
        answer = whole[len(prompt) :]
    else:  # A template that puts something else before an answer than before the place where one starts.
        answer = tokenizer(one.answer, add_special_tokens=False)["input_ids"]
    eos = tokenizer.eos_token_id
    if eos in answer:  # What a template writes after the end is nothing to learn.
        return prompt, answer[: len(answer) - answer[::-1].index(eos)]
    return prompt, [*answer, eos]


def _padded(rows: list[list[int]], length: int, value: int) -> torch.Tensor:
    return torch.tensor([[*row, *[value] * (length - len(row))] for row in rows])


def _soft(rows: list[Row], longest: int) -> dict[str, torch.Tensor]:
    """(b, n, k) ids, -1 where absent, and log shares."""
    k = max((len(ids) for row in rows for ids in row["soft_ids"]), default=0) or 1
    ids = torch.full((len(rows), longest, k), -1)
    logprobs = torch.zeros(len(rows), longest, k)
    for b, row in enumerate(rows):
        for i, (known, logs) in enumerate(zip(row["soft_ids"], row["soft_logprobs"], strict=True)):
            if known:
                ids[b, i, : len(known)] = torch.tensor(known)
                logprobs[b, i, : len(known)] = torch.tensor(logs)
    return {"soft_ids": ids, "soft_logprobs": logprobs}
