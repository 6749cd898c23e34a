"""Whether an architecture keeps rows apart that are packed into one sequence, measured before training starts.

The boundaries are passed as position ids that start again at 0: transformers builds a block-diagonal mask from them,
and flash attention its sequence lengths. State-space, linear-attention and convolution layers carry their state across
a boundary all the same, and some attention layers are called without the position ids.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from breakeven.models.errors import DistillError

# Of the largest logit. Float32 gives differences of about 1e-7 where rows are separate.
MAX_LEAK = 1e-4
# Rows of different lengths, so that boundaries and padding are at different places.
_LENGTHS = ((7, 12), (9,))


def check_packing(model: Any, folder: Path | None, max_length: int) -> None:
    """Raise DistillError where packed rows of at most `max_length` tokens change each other's logits in this model.

    `folder` names the model in the message. Runs the model on a few short rows, with its weights in float32.
    """
    kind = f"{folder} ({model.config.model_type})"
    chunk = getattr(model.config.get_text_config(), "attention_chunk_size", None)
    if chunk and max_length > chunk:
        raise DistillError(
            f"--packing: {kind} attends in chunks of {chunk} positions of the whole sequence: leave out --packing, or "
            f"give --max-length {chunk} or less"
        )
    try:
        found = leak(model)
    except (TypeError, ValueError) as error:
        why = " ".join(str(error).split())[:120]
        raise DistillError(f"--packing: {kind} does not run on packed rows ({why}); leave out --packing") from None
    if not found <= MAX_LEAK:
        raise DistillError(
            f"--packing: {kind} does not keep packed rows apart: they change each other's logits by {found:.0e} of "
            "their scale, as in state-space, linear-attention and attention-sink layers; leave out --packing"
        )


def leak(model: Any) -> float:
    """The largest difference between a row's logits when packed and alone, as a share of the largest logit alone."""
    from breakeven.models.train.encode import Row, collator, pack

    size = model.get_input_embeddings().weight.shape[0]
    generator = torch.Generator().manual_seed(0)
    groups: list[list[Row]] = []
    for lengths in _LENGTHS:
        drawn = [torch.randint(size, (n,), generator=generator).tolist() for n in lengths]
        groups.append([{"input_ids": ids, "labels": ids} for ids in drawn])
    # `pack` sorts rows by length.
    packed = [row for group in groups for row in pack(group, sum(len(one["input_ids"]) for one in group))]
    order = [sorted(group, key=lambda row: -len(row["input_ids"])) for group in groups]
    with _Probing(model), torch.no_grad():
        together = _logits(model, collator(0)(packed))
        scale = worst = 0.0
        for line, group in zip(together, order, strict=True):
            start = 0
            for row in group:
                alone = _logits(model, collator(0)([row]))[0]
                end = start + len(alone)
                scale = max(scale, float(alone.abs().max()))
                worst = max(worst, float((line[start:end] - alone).abs().nan_to_num(torch.inf).max()))
                start = end
    return worst / scale if scale else torch.inf


class _Probing:
    """Within it a model is in evaluation mode, with float32 parameters and an attention that runs on any device."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._training = model.training
        self._attention = model.config._attn_implementation
        self._kept: list[tuple[Any, torch.dtype]] = []

    def __enter__(self) -> None:
        self._model.eval()
        if "flash" in (self._attention or ""):
            self._model.set_attn_implementation("sdpa")
        # Parameters only: buffers such as rotary frequencies are in float32 already, whatever the weights are.
        for one in self._model.parameters():
            if one.dtype in (torch.bfloat16, torch.float16):
                self._kept.append((one, one.dtype))
                one.data = one.data.float()

    def __exit__(self, *_: object) -> None:
        for one, dtype in self._kept:
            one.data = one.data.to(dtype)
        if "flash" in (self._attention or ""):
            self._model.set_attn_implementation(self._attention)
        self._model.train(self._training)


def _logits(model: Any, batch: dict[str, Any]) -> Any:
    seen = {name: value.to(model.device) for name, value in batch.items() if name != "labels"}
    return model(**seen, use_cache=False).logits.float()
