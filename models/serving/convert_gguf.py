"""Converts a GGUF file into a model directory for vLLM and transformers.

`python models/serving/convert_gguf.py FILE.gguf OUT_DIR`, with an interpreter that has transformers, torch, gguf and
accelerate. For small instruct models that are only available as GGUF.
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
    """Write the model in the file `gguf`, dequantized to bfloat16, and its tokenizer to the directory `out`.

    Raises ValueError if the file has no chat template, and ImportError if a package is missing.
    """
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    # Imported by name: type checking runs without them, since they are not dependencies of the gateway.
    torch: Any = importlib.import_module("torch")
    transformers: Any = importlib.import_module("transformers")
    source = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    tokenizer = transformers.AutoTokenizer.from_pretrained(**source)
    if not tokenizer.chat_template:
        raise ValueError(f"{gguf}: has no chat template; a student must be an instruct model")
    model = transformers.AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32)
    # transformers marks the model as quantized and refuses to save it, although its weights are floats now.
    model.hf_quantizer = None
    model.is_quantized = False
    for owner in (model, model.config):
        for name in ("quantization_config", "quantization_method"):
            if hasattr(owner, name):
                _remove_attribute(owner, name)
    model = model.to(torch.bfloat16)
    model.config.dtype = torch.bfloat16
    model.save_pretrained(str(out))
    tokenizer.save_pretrained(str(out))


def _remove_attribute(owner: Any, name: str) -> None:
    try:
        delattr(owner, name)
    except AttributeError:
        setattr(owner, name, None)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Returns the exit code: 2 if the file or a package is missing."""
    parser = argparse.ArgumentParser(description="Convert a GGUF file into a model directory.")
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
