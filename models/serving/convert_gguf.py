"""Turns a GGUF file into a model directory that vLLM and transformers load.

`python -m models.convert_gguf FILE.gguf OUT_DIR`, with an interpreter that has transformers, torch, gguf and
accelerate. For small instruct models that a package or a download brings as GGUF only.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def convert(gguf: Path, out: Path) -> None:
    """Write `gguf`, de-quantized to bfloat16, and its tokenizer to the directory `out`.

    Raises ValueError where the file holds no chat template, ImportError where a package is missing.
    """
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    # By name: none of these is among the gateway's own dependencies.
    torch: Any = importlib.import_module("torch")
    transformers: Any = importlib.import_module("transformers")
    source = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    tokenizer = transformers.AutoTokenizer.from_pretrained(**source)
    if not tokenizer.chat_template:
        raise ValueError(f"{gguf}: holds no chat template: a base model, of no use as a student here")
    model = transformers.AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32)
    # transformers marks such a model as quantized and refuses to save it; its weights are plain floats.
    model.hf_quantizer = None
    model.is_quantized = False
    for owner in (model, model.config):
        for name in ("quantization_config", "quantization_method"):
            if hasattr(owner, name):
                _forget(owner, name)
    model = model.to(torch.bfloat16)
    model.config.dtype = torch.bfloat16
    model.save_pretrained(str(out))
    tokenizer.save_pretrained(str(out))


def _forget(owner: Any, name: str) -> None:
    try:
        delattr(owner, name)
    except AttributeError:
        setattr(owner, name, None)


def main(arguments: Sequence[str] | None = None) -> int:
    """`python -m models.convert_gguf`; the exit code is 2 where the file or a package is missing."""
    parser = argparse.ArgumentParser(prog="python -m models.convert_gguf", description="GGUF to a model directory.")
    parser.add_argument("gguf", type=Path, help="file to convert")
    parser.add_argument("out", type=Path, help="directory to write")
    options = parser.parse_args(arguments)
    if not options.gguf.is_file():
        print(f"convert_gguf: {options.gguf}: no such file", file=sys.stderr)
        return 2
    try:
        convert(options.gguf, options.out)
    except (ImportError, ValueError) as error:
        print(f"convert_gguf: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
