"""Convert a GGUF file to a model folder for vLLM and transformers: `convert_gguf.py FILE.gguf OUT_DIR`.

Run by tests/install_real.sh with the Python of vLLM (needs transformers, torch, gguf, accelerate). The
weights are written as bfloat16 safetensors; the folder is renamed into place once it is complete.
"""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path

# Set before transformers is imported: make no requests to a model hub, and print no progress bars.
os.environ |= {"HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}


def convert(source: Path, out: Path) -> int:
    """Write the model and its tokenizer to `out`; returns the number of parameters.

    Raises ValueError for a file without a chat template, i.e. a base model.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(source.parent), gguf_file=source.name)
    if not tokenizer.chat_template:
        raise ValueError(f"{source} has no chat template; use an instruct model")
    model = AutoModelForCausalLM.from_pretrained(str(source.parent), gguf_file=source.name, dtype=torch.float32)
    _clear_quantization(model)
    model = model.to(torch.bfloat16)
    model.config.dtype = torch.bfloat16
    part = out.with_name(out.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    model.save_pretrained(part)
    tokenizer.save_pretrained(part)
    shutil.rmtree(out, ignore_errors=True)
    part.rename(out)
    return int(sum(parameter.numel() for parameter in model.parameters()))


def _clear_quantization(model: object) -> None:
    """Remove the quantization flags, which keep transformers 5 from saving a model whose weights are dequantized."""
    model.hf_quantizer = None  # type: ignore[attr-defined]
    model.is_quantized = False  # type: ignore[attr-defined]
    for holder in (model, model.config):  # type: ignore[attr-defined]
        for name in ("quantization_config", "quantization_method"):
            holder.__dict__.pop(name, None)


def main() -> None:
    parser = argparse.ArgumentParser(description="Convert a GGUF file to a model folder.")
    parser.add_argument("source", type=Path, metavar="FILE.gguf")
    parser.add_argument("out", type=Path, metavar="OUT_DIR")
    options = parser.parse_args()
    try:
        parameters = convert(options.source, options.out)
    except (OSError, ValueError) as error:
        parser.exit(1, f"convert_gguf: {error}\n")
    print(f"{options.out}: {parameters:,} parameters")


if __name__ == "__main__":
    main()
