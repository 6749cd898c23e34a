"""Quantizing a student: weights and activations to int8 (`w8a8`), or weights to int4 (`w4a16`).

Uses GPTQ (Frantar et al., 2022, arXiv 2210.17323) as implemented by llmcompressor, calibrated on training rows. The
result is in the compressed-tensors format, which vLLM loads. Needs the extra `quantize`.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import random
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from breakeven.models.errors import DistillError
from breakeven.router.files import write_atomically

SCHEMES = ("none", "w8a8", "w4a16")
_DONE = "quantized.json"
_ROWS = 512
_GROUPS = (128, 64, 32)


def check(scheme: str) -> None:
    """Raise DistillError if the scheme is unknown, its package is missing, or several processes run."""
    if scheme not in SCHEMES:
        raise DistillError(f"--quantize {scheme}: must be {', '.join(SCHEMES)}")
    if scheme != "none" and os.environ.get("WORLD_SIZE", "1") != "1":
        raise DistillError(
            "--quantize runs in one process: train without it, then run again with it and without accelerate launch"
        )
    if scheme != "none" and importlib.util.find_spec("llmcompressor") is None:
        raise DistillError(
            f"--quantize {scheme} needs llmcompressor: pip install 'breakeven[distill,quantize]', in a separate "
            "environment from vLLM, which needs an older compressed-tensors"
        )


def folder_of(out: Path, scheme: str) -> Path:
    """The directory of the quantized model for a training in `out`."""
    return out / scheme


def quantize(out: Path, scheme: str, rows: Sequence[dict[str, Any]], seed: int) -> dict[str, Any]:
    """Quantize the model in `out` into a subdirectory, or return the facts of an earlier run.

    `rows` have `input_ids`; at most 512 of them are used for calibration. Returns scheme, rows, group_size, bytes and
    bytes_before. Raises DistillError where the model cannot be quantized in this scheme.
    """
    folder = folder_of(out, scheme)
    if (folder / _DONE).exists():
        done: dict[str, Any] = json.loads((folder / _DONE).read_text(encoding="utf-8"))
        return done
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(str(out), dtype="auto")
    tokenizer = AutoTokenizer.from_pretrained(str(out))
    group = _group_size(model) if scheme == "w4a16" else None
    chosen = random.Random(seed).sample(list(rows), min(_ROWS, len(rows)))
    unfinished = folder.with_name(folder.name + ".part")
    shutil.rmtree(unfinished, ignore_errors=True)
    # It logs to stdout, which is for this command's own output.
    with contextlib.redirect_stdout(sys.stderr):
        _compress(model, tokenizer, scheme, group, chosen, unfinished)
    made = {
        "scheme": scheme,
        "rows": len(chosen),
        "group_size": group,
        "bytes": _size(unfinished),
        "bytes_before": _size(out),
    }
    write_atomically(unfinished / _DONE, json.dumps(made) + "\n")
    shutil.rmtree(folder, ignore_errors=True)
    unfinished.rename(folder)
    return made


def _compress(
    model: Any, tokenizer: Any, scheme: str, group: int | None, rows: Sequence[dict[str, Any]], folder: Path
) -> None:
    from datasets import Dataset
    from llmcompressor import oneshot

    shown = [{"input_ids": row["input_ids"], "attention_mask": [1] * len(row["input_ids"])} for row in rows]
    oneshot(
        model=model,
        tokenizer=tokenizer,
        dataset=Dataset.from_list(shown),
        recipe=_recipe(scheme, group),
        num_calibration_samples=len(shown),
        max_seq_length=max(len(row["input_ids"]) for row in shown),
        output_dir=str(folder),
    )


def _recipe(scheme: str, group: int | None) -> Any:
    from compressed_tensors.quantization import preset_name_to_scheme
    from llmcompressor.modifiers.quantization import GPTQModifier

    preset = preset_name_to_scheme(scheme.upper(), ["Linear"])
    if group is not None:
        preset.weights.group_size = group
    # The head is small, except in tiny models, and the quality of the answers depends on it.
    return GPTQModifier(config_groups={"group_0": preset}, ignore=["lm_head"])


def _group_size(model: Any) -> int:
    """The largest usual group size (weights that share a scale) that divides the width of each layer."""
    import torch

    layers = [one for name, one in model.named_modules() if isinstance(one, torch.nn.Linear) and name != "lm_head"]
    for size in _GROUPS:
        if all(layer.in_features % size == 0 for layer in layers):
            return size
    raise DistillError(f"--quantize w4a16: no group of {_GROUPS} weights fits each layer of this model; try w8a8")


def _size(folder: Path) -> int:
    """The size of a directory's weights in bytes."""
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))
