"""Turn a GGUF file into a folder that vLLM and transformers load: `convert_gguf.py FILE.gguf OUT_DIR`.

Run by tests/install_real.sh with the Python of vLLM (needs transformers, torch, gguf, accelerate). The
weights come out as bfloat16 safetensors; the folder appears only when it is complete.
"""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path

# Set before transformers is imported: nothing here may ask a model hub, and bars fill a log.
os.environ |= {"HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}


def convert(source: Path, out: Path) -> int:
    """Write the model and its tokenizer to `out`; returns the number of parameters.

    Raises ValueError where the file holds no chat template: such a base model answers no chat.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(source.parent), gguf_file=source.name)
    if not tokenizer.chat_template:
        raise ValueError(f"{source} holds no chat template; take an instruct model")
    model = AutoModelForCausalLM.from_pretrained(str(source.parent), gguf_file=source.name, dtype=torch.float32)
    _forget_quantization(model)
    model = model.to(torch.bfloat16)
    model.config.dtype = torch.bfloat16
    part = out.with_name(out.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    model.save_pretrained(part)
    tokenizer.save_pretrained(part)
    shutil.rmtree(out, ignore_errors=True)
    part.rename(out)
    return int(sum(parameter.numel() for parameter in model.parameters()))


def _forget_quantization(model: object) -> None:
    """transformers 5 calls a model from a GGUF quantized and won't save it, though its weights are plain by now."""
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
