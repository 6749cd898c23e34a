"""Turning examples into batches of tokens: chat template, labels on the answers only, packing and padding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch

from breakeven.models.data.rows import Example
from breakeven.models.errors import DistillError
from breakeven.models.train.losses import IGNORED
from breakeven.models.train.soft_targets import SoftTargets
from breakeven.models.train.targets import Part, sequences, turns_of

# For base models without a chat template; it is saved with the model, so that serving uses it too.
PLAIN_TEMPLATE = (
    "{% for message in messages %}{% if message['role'] == 'user' %}User: {{ message['content'] }}\n"
    "{% elif message['role'] == 'assistant' %}Assistant: {{ message['content'] }}{{ eos_token }}\n"
    "{% else %}{{ message['content'] }}\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}Assistant: {% endif %}"
)

Row = dict[str, Any]


class Encoded(NamedTuple):
    """`rows` of {"input_ids", "labels"}, with a list for each token; where examples have weights also "weights", and
    with soft targets "soft_ids" and "soft_logprobs". Several of an example whose earlier turns the chat template
    renders differently from how they are trained.

    `too_long`: the number of rows left out because they do not fit: a truncated answer would teach to stop early.
    `with_soft`: the number of rows whose stored soft targets match the student's tokens.
    """

    rows: list[Row]
    too_long: int
    with_soft: int


def encode(
    examples: Sequence[Example],
    tokenizer: Any,
    max_length: int,
    soft: SoftTargets | None = None,
    *,
    reasoning: bool = False,
) -> Encoded:
    """Encode examples with the tokenizer's chat template; the labels are the answers of all turns with a weight, each
    with its end token, and what was thought before them if `reasoning`.

    `max_length` is in tokens; `soft` adds stored soft targets. Raises DistillError where no example fits.
    """
    rows: list[Row] = []
    too_long = with_soft = 0
    for one in examples:
        for parts in sequences(turns_of(one, reasoning=reasoning), tokenizer):
            row, stored = _row(one, parts, tokenizer, soft)
            if len(row["input_ids"]) > max_length:
                too_long += 1
                continue
            with_soft += stored
            rows.append(row)
    if not rows and not too_long:
        raise DistillError(f"all of {len(examples)} rows have the weight 0: there is nothing to train on")
    if not rows:
        raise DistillError(f"none of {too_long} rows fits into --max-length {max_length}; give a higher one")
    if all(weight == 1 for row in rows for weight in row["weights"]):
        for row in rows:
            del row["weights"]
    return Encoded(rows, too_long, with_soft)


def _row(one: Example, parts: Sequence[Part], tokenizer: Any, soft: SoftTargets | None) -> tuple[Row, bool]:
    """The tokens of a sequence, and whether it has stored soft targets, which are those of the row's last answer."""
    row: Row = {"input_ids": [], "labels": [], "weights": []}
    if soft is not None:
        row |= {"soft_ids": [], "soft_logprobs": []}
    found = False
    for part in parts:
        tokens: list[int] = tokenizer(part.text, add_special_tokens=False)["input_ids"]
        row["input_ids"] += tokens
        row["labels"] += tokens if part.weight else [IGNORED] * len(tokens)
        row["weights"] += [part.weight or 1.0] * len(tokens)
        if soft is not None:
            stored = soft.for_answer(one, tokens) if part.last else None
            found = found or stored is not None
            ids, logprobs = stored or ([[]] * len(tokens), [[]] * len(tokens))
            row["soft_ids"] += ids
            row["soft_logprobs"] += logprobs
    return row, found


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
        if "weights" in rows[0]:
            batch["weights"] = _padded([row["weights"] for row in rows], longest, 1.0)
        if "soft_ids" in rows[0]:
            batch |= _soft(rows, longest)
        return batch

    return collate


def _padded(rows: list[list[Any]], length: int, value: float) -> torch.Tensor:
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
