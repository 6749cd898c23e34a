"""Tiny Llama models with a ChatML byte tokenizer, and rows to train them on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from breakeven.models.examples.tiny_models import byte_tokenizer, save_llama

CHAT = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def tokenizer(*, more: tuple[str, ...] = (), chat: bool = True) -> Any:
    """One token for each byte, and those of ChatML; `more` special tokens give another vocabulary."""
    made = byte_tokenizer(["<|im_start|>", "<|im_end|>", *more], "<|im_end|>")
    made.chat_template = CHAT if chat else None
    return made


def model(folder: Path, *, layers: int = 2, width: int = 32, seed: int = 0, **tokens: Any) -> Path:
    """A directory with a model of a few thousand parameters."""
    return save_llama(folder, tokenizer(**tokens), layers=layers, width=width, heads=2, seed=seed)


def rows(path: Path, count: int, start: int = 0, **more: Any) -> Path:
    """A JSONL file of `count` rows whose answers repeat the prompt's letter."""
    made = []
    for i in range(start, start + count):
        letter = chr(97 + i % 26)
        turns = [{"role": "user", "content": f"{letter} {i}"}, {"role": "assistant", "content": letter * 4}]
        made.append(json.dumps({"id": f"r{i}", "messages": turns, **more}) + "\n")
    path.write_text("".join(made))
    return path
