"""Makes the table of word vectors that training uses (`router/training/words.npz`).

`python -m tests.bench.difficulty.words MODEL_FOLDER ../shared/data` takes the words of the vocabulary of
all-MiniLM-L6-v2 (Apache-2.0) and the frequent ones of the training prompts, lets the model read each word alone, and
keeps the first WIDTH principal components, weighted down for frequent words (SIF, Arora et al., ICLR 2017). Nothing but
building the table needs torch, transformers or the model.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from breakeven.router import outcomes
from breakeven.router.features.extract import normalise
from breakeven.router.features.kernel_numpy import word_buckets, word_spans
from tests.bench.difficulty.prompts import training

OUT = Path(__file__).parents[3] / "router" / "training" / "words.npz"
WIDTH = 64
# A word in fewer prompts is taken only where it is in the model's vocabulary.
_LEAST = 3
_LONGEST = 30
# SIF: a word that makes up this share of all words has half the weight of a rare one.
_HALF = 1e-3
_BATCH = 256
# Prompts whose licence allows it; their outcomes play no role here.
SOURCES = ("routellm_mmlu", "routellm_gsm8k", "routellm_mtbench", "mmlu_pro", "zeroeval_math_l5", "zeroeval_crux")


def count(texts: Iterable[str]) -> Counter[str]:
    """How often each word occurs, as the router splits texts into words."""
    found: Counter[str] = Counter()
    for text in texts:
        plain = normalise(text)
        starts, ends = word_spans(plain)
        found.update(plain[a:b].decode("utf-8", "replace") for a, b in zip(starts.tolist(), ends.tolist(), strict=True))
    return found


def encode(words: Sequence[str], model: Path) -> np.ndarray:
    """The mean last hidden state for each word, as unit vectors (n, hidden)."""
    import torch
    from tokenizers import Tokenizer
    from transformers import AutoModel

    torch.set_num_threads(1)
    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    tokenizer.no_padding()
    network: Any = AutoModel.from_pretrained(model).eval()
    ids = [tokenizer.encode(word).ids[:16] for word in words]
    order = sorted(range(len(words)), key=lambda index: len(ids[index]))
    found = np.zeros((len(words), network.config.hidden_size))
    with torch.no_grad():
        for start in range(0, len(order), _BATCH):
            part = order[start : start + _BATCH]
            longest = max(len(ids[index]) for index in part)
            rows = torch.tensor([ids[index] + [0] * (longest - len(ids[index])) for index in part])
            mask = torch.tensor([[1.0] * len(ids[index]) + [0.0] * (longest - len(ids[index])) for index in part])
            hidden = network(input_ids=rows, attention_mask=mask).last_hidden_state
            found[part] = ((hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)).numpy()
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def reduce(words: Sequence[str], vectors: np.ndarray, counts: Counter[str]) -> dict[str, np.ndarray]:
    """The arrays of the table. Of words with the same bucket the most frequent one is kept."""
    share = np.array([counts[word] + 0.5 for word in words]) / counts.total()
    centred = vectors - vectors.mean(axis=0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    reduced = centred @ axes[:, ::-1][:, :WIDTH] * (_HALF / (_HALF + share))[:, None]
    taken: dict[int, int] = {}
    for index in np.argsort(-share, kind="stable").tolist():
        buckets = word_buckets(normalise(words[index]))
        if len(buckets) == 1:
            taken.setdefault(int(buckets[0]), index)
    buckets = sorted(taken)
    kept = reduced[[taken[bucket] for bucket in buckets]]
    scale = float(np.abs(kept).max() / 127)
    return {
        "buckets": np.array(buckets, dtype=np.uint32),
        "vectors": np.rint(kept / scale).astype(np.int8),
        "scale": np.array(scale),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line: writes the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    wanted = parser.parse_args(arguments)
    from tokenizers import Tokenizer

    texts = [prompt.text for prompt in training()]
    for name in SOURCES:
        texts += outcomes.texts(outcomes.read([wanted.data / f"{name}.jsonl.gz"], "train"))
    counts = count(texts)
    vocabulary = Tokenizer.from_file(str(wanted.model / "tokenizer.json")).get_vocab()
    words = {word for word in vocabulary if not word.startswith(("##", "["))}
    words |= {word for word, number in counts.items() if number >= _LEAST and len(word) <= _LONGEST}
    ordered = sorted(words)
    np.savez_compressed(OUT, **reduce(ordered, encode(ordered, wanted.model), counts))
    sys.stdout.write(f"{OUT}: {len(ordered)} words, {OUT.stat().st_size / 1e6:.1f} MB\n")


if __name__ == "__main__":
    main()
