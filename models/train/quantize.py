"""A student in fewer bits: weights and activations in int8 (`w8a8`), or weights in int4 (`w4a16`).

By llmcompressor, GPTQ (Frantar et al., 2022, arXiv 2210.17323), calibrated on training rows; the form is
compressed-tensors, which vLLM loads. Needs the package of the extra `quantize`.
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
    """Raises DistillError where the scheme is unknown, its package is absent, or several processes run."""
    if scheme not in SCHEMES:
        raise DistillError(f"--quantize {scheme}: must be {', '.join(SCHEMES)}")
    if scheme != "none" and os.environ.get("WORLD_SIZE", "1") != "1":
        raise DistillError("--quantize runs in one process: train without it, then give it without accelerate launch")
    if scheme != "none" and importlib.util.find_spec("llmcompressor") is None:
        raise DistillError(
            f"--quantize {scheme} needs llmcompressor: pip install 'breakeven[distill,quantize]', in another "
            "environment than vLLM's, whose compressed-tensors is older"
        )


def folder_of(out: Path, scheme: str) -> Path:
    """Where the quantized model of a training in `out` is."""
    return out / scheme


def quantize(out: Path, scheme: str, rows: Sequence[dict[str, Any]], seed: int) -> dict[str, Any]:
    """Quantize the model in `out` into a folder beside it, or read that this was done before.

    `rows` have `input_ids`; at most 512 of them calibrate. The result: scheme, rows, group_size, bytes, bytes_before.
    Raises DistillError.
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
    half = folder.with_name(folder.name + ".part")
    shutil.rmtree(half, ignore_errors=True)
    # What it logs would else be among what this command says.
    with contextlib.redirect_stdout(sys.stderr):
        _compress(model, tokenizer, scheme, group, chosen, half)
    made = {
        "scheme": scheme,
        "rows": len(chosen),
        "group_size": group,
        "bytes": _size(half),
        "bytes_before": _size(out),
    }
    write_atomically(half / _DONE, json.dumps(made) + "\n")
    shutil.rmtree(folder, ignore_errors=True)
    half.rename(folder)
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
    # The head is small beside the rest, but for tiny models, and the answers hang on it.
    return GPTQModifier(config_groups={"group_0": preset}, ignore=["lm_head"])


def _group_size(model: Any) -> int:
    """The largest usual number of weights with a scale of their own that fits each layer."""
    import torch

    layers = [one for name, one in model.named_modules() if isinstance(one, torch.nn.Linear) and name != "lm_head"]
    for size in _GROUPS:
        if all(layer.in_features % size == 0 for layer in layers):
            return size
    raise DistillError(f"--quantize w4a16: no group of {_GROUPS} weights fits each layer of this model; try w8a8")


def _size(folder: Path) -> int:
    """Bytes of weights."""
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))
