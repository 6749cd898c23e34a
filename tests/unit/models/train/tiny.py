"""Tiny, randomly initialised models of Llama's type with a byte tokenizer, and rows to train them on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

CHAT = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def tokenizer(*, more: tuple[str, ...] = (), chat: bool = True) -> Any:
    """One token for each byte, and those of ChatML; `more` tokens make another vocabulary."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {c: i for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    raw = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    raw.add_special_tokens(["<|im_start|>", "<|im_end|>", *more])
    made = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<|im_end|>", pad_token="<|im_end|>")
    made.chat_template = CHAT if chat else None
    return made


def model(folder: Path, *, layers: int = 2, width: int = 32, seed: int = 0, **tokens: Any) -> Path:
    """A directory with a model of a few thousand parameters."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    made = tokenizer(**tokens)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(made),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=layers,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=256,
        bos_token_id=None,
        eos_token_id=made.eos_token_id,
        pad_token_id=made.pad_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(str(folder))
    made.save_pretrained(str(folder))
    return folder


def rows(path: Path, count: int, start: int = 0, **more: Any) -> Path:
    """Rows whose answers repeat the prompt's letter."""
    made = []
    for i in range(start, start + count):
        letter = chr(97 + i % 26)
        turns = [{"role": "user", "content": f"{letter} {i}"}, {"role": "assistant", "content": letter * 4}]
        made.append(json.dumps({"id": f"r{i}", "messages": turns, **more}) + "\n")
    path.write_text("".join(made))
    return path
