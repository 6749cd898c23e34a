"""Loading a model for training, with the type of its weights and the implementation of its attention."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from breakeven.models.errors import DistillError
from breakeven.models.train.settings import Settings
from breakeven.models.train.shrink import shrink


def load(folder: Path | None, settings: Settings, layers: int | None = None) -> Any:
    """Load the model in a directory for training, with only `layers` of its layers if given.

    Raises DistillError where it cannot be loaded or shrunk, or has no such attention.
    """
    dtype = torch.bfloat16 if settings.weights == "bfloat16" else torch.float32
    chosen: dict[str, Any] = {} if settings.attention == "auto" else {"attn_implementation": settings.attention}
    if settings.method == "qlora":
        dtype, chosen = torch.bfloat16, chosen | {"quantization_config": _four_bit()}
    try:
        model = AutoModelForCausalLM.from_pretrained(str(folder), dtype=dtype, **chosen)
    except Exception as error:  # Whatever the readers of its files and its own code raise.
        line = " ".join(str(error).split())[:200]
        if "attn_implementation" in chosen and "attention" in str(error).lower():
            raise DistillError(f"--attention {settings.attention}: {folder} cannot use it: {line}") from None
        raise DistillError(f"{folder}: cannot be loaded as a language model: {line}") from None
    return model if layers is None else shrink(model, layers)


def _four_bit() -> Any:
    """The quantization of QLoRA (Dettmers et al., 2023, arXiv 2305.14314)."""
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
