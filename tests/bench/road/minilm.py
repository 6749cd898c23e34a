"""Sentence embeddings, for routers to compare with: `python minilm.py MODEL.onnx TOKENIZER.json`, texts as JSON in,
vectors as JSON out. Runs with an interpreter that has numpy, onnxruntime and tokenizers, which nothing else here needs.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np

_TOKENS, _BATCH = 256, 32


def main() -> None:
    """Embed the texts on standard input: mean-pooled token vectors of length one."""
    import onnxruntime  # type: ignore[import-not-found, import-untyped, unused-ignore]
    from tokenizers import Tokenizer

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(sys.argv[1], options)
    tokenizer = Tokenizer.from_file(sys.argv[2])
    tokenizer.enable_truncation(_TOKENS)
    tokenizer.enable_padding()
    names = {one.name for one in session.get_inputs()}
    texts = json.load(sys.stdin)
    # Texts of like length together, so that little is padded.
    order = sorted(range(len(texts)), key=lambda number: len(texts[number]))
    found: dict[int, Any] = {}
    for start in range(0, len(order), _BATCH):
        numbers = order[start : start + _BATCH]
        read = tokenizer.encode_batch([texts[number] for number in numbers])
        ids, mask = np.array([one.ids for one in read]), np.array([one.attention_mask for one in read])
        given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        output = session.run(None, {name: value for name, value in given.items() if name in names})[0]
        pooled = output if output.ndim == 2 else (output * mask[..., None]).sum(axis=1) / mask.sum(axis=1)[:, None]
        found |= dict(zip(numbers, pooled / np.linalg.norm(pooled, axis=1, keepdims=True), strict=True))
    json.dump([[round(float(value), 5) for value in found[number]] for number in range(len(texts))], sys.stdout)


if __name__ == "__main__":
    main()
