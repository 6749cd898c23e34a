"""Tiny, randomly initialised models with a byte-level tokenizer, for examples and tests of training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any


def byte_tokenizer(special: Sequence[str], end: str) -> Any:
    """A tokenizer with a token for each byte and the `special` tokens, of which `end` ends a text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {c: i for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    raw = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    raw.add_special_tokens(list(special))
    return PreTrainedTokenizerFast(tokenizer_object=raw, eos_token=end, pad_token=end)


def save_llama(folder: Path, tokenizer: Any, *, layers: int, width: int, heads: int, seed: int) -> Path:
    """Write a randomly initialised Llama model of `width` hidden dimensions, and its tokenizer, to `folder`."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        max_position_embeddings=256,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(str(folder))
    tokenizer.save_pretrained(str(folder))
    return folder
