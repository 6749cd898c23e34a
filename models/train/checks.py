"""What is checked before a training starts: packages, and settings that do not go together."""

from __future__ import annotations

import importlib.util
from typing import get_args

from breakeven.models.errors import DistillError
from breakeven.models.train import quantize as quantizing
from breakeven.models.train.settings import TRL, Method, Settings

_NEEDED = ("torch", "transformers", "accelerate")


def check(settings: Settings) -> None:
    """Raise DistillError for missing packages and for settings that do not go together."""
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if settings.lora and importlib.util.find_spec("peft") is None:
        missing.append("peft")
    if missing:
        raise DistillError(f"training needs {', '.join(missing)}: pip install 'breakeven[distill]'")
    quantizing.check(settings.quantize)
    if settings.reasoning not in ("keep", "drop"):
        raise DistillError(f"--reasoning {settings.reasoning}: must be keep or drop")
    if settings.reasoning == "keep" and not settings.thinking:
        raise DistillError("--reasoning keep and --no-enable-thinking contradict each other; leave one out")
    if settings.method not in get_args(Method):
        raise DistillError(f"--method {settings.method}: must be {', '.join(get_args(Method))}")
    if settings.method in ("feature", "progressive", "on-policy", "gold") and settings.teacher is None:
        raise DistillError(f"--method {settings.method} needs --teacher, the directory of a white-box model")
    if settings.method in TRL:
        _check_trl(settings)
    if settings.method == "qlora":
        _check_qlora()
    if settings.method == "feature" and settings.lora:
        raise DistillError("--method feature does not support LoRA; leave out --lora")
    if settings.method == "progressive":
        if not settings.layers:
            raise DistillError(
                "--method progressive needs --layers, such as --layers 12,6: the number of layers of each stage"
            )
        if list(settings.layers) != sorted(settings.layers, reverse=True):
            raise DistillError("--layers: each stage must be smaller than the one before, such as 12,6")
    elif len(settings.layers) > 1:
        raise DistillError("--layers: only --method progressive takes more than one number")
    if settings.method != "progressive" and settings.student is None:
        raise DistillError(f"--method {settings.method} needs --student, the directory of the model to start from")
    _check_attention(settings)


def _check_trl(settings: Settings) -> None:
    missing = [name for name in ("trl", "datasets") if importlib.util.find_spec(name) is None]
    if missing:
        raise DistillError(f"--method {settings.method} needs {', '.join(missing)}: pip install 'breakeven[trl]'")
    if settings.packing:
        raise DistillError(f"--method {settings.method} does not pack rows; leave out --packing")
    if settings.reasoning == "keep":
        raise DistillError(f"--method {settings.method} does not train on reasoning; leave out --reasoning keep")


def _check_qlora() -> None:
    import torch

    why = "bitsandbytes: pip install 'breakeven[qlora]'"
    if importlib.util.find_spec("bitsandbytes") is not None:
        # On a CPU, bitsandbytes 0.50 has no gradient after an evaluation has packed the weights.
        why = "" if torch.cuda.is_available() else "a GPU"
    if why:
        raise DistillError(
            f"--method qlora needs {why}; without 4-bit weights: --method sft --lora 16 --weights bfloat16"
        )


def _check_attention(settings: Settings) -> None:
    if not settings.attention.startswith("flash"):
        return
    import torch

    package = "flash_attn" if settings.attention == "flash_attention_2" else "flash_attn_interface"
    if importlib.util.find_spec(package) is None:
        raise DistillError(
            f"--attention {settings.attention} needs the package {package}, built for this torch and GPU; "
            "--attention sdpa needs none"
        )
    if settings.cpu or not torch.cuda.is_available():
        raise DistillError(f"--attention {settings.attention} needs a CUDA GPU; use --attention sdpa")
    if "bfloat16" not in (settings.dtype, settings.weights):
        raise DistillError(f"--attention {settings.attention} computes in bfloat16; add --dtype bfloat16")
