"""Compares the distillation methods at equal steps, with tiny models, in minutes on one core.

`python -m breakeven.models.examples.compare_methods OUT` trains a four-layer teacher on an artificial language, in
which each pair of letters allows three next letters with different probabilities. Small students then learn from few
rows of it, by each method and with several seeds. Prints the cross-entropy on held-out rows, in nats per letter.
"""

from __future__ import annotations

import json
import random
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from breakeven.models.examples.tiny_models import byte_tokenizer, save_llama
from breakeven.models.train.settings import Settings
from breakeven.models.train.train import train

LETTERS = "abcdefgh"
_PROBABILITIES = (0.75, 0.2, 0.05)
_LENGTH = 40
_SEEDS = (1, 2, 3)
_TEACHER_STEPS, _STEPS = 500, 150


def main(out: Path) -> None:
    """Run all comparisons in the directory `out` and print a Markdown table."""
    language = _language(0)
    _rows(out / "many.jsonl", 3000, language, 1)
    _rows(out / "few.jsonl", 64, language, 2)
    _rows(out / "eval.jsonl", 200, language, 3)
    blank, small = _model(out / "blank", layers=4), _model(out / "small", layers=1)
    teacher = out / "teacher"
    taught = _train(out, teacher, "many.jsonl", 1, method="sft", student=blank, max_steps=_TEACHER_STEPS)
    print(f"teacher: 4 layers, eval loss {taught['stages'][0]['eval_loss']:.4f}\n")
    print("| student | method | steps | eval loss by seed | mean |\n| --- | --- | --- | --- | --- |")
    fresh: dict[str, Any] = {"student": small}
    _row(out, "1 layer, random", "sft", _STEPS, fresh | {"method": "sft"})
    _row(out, "1 layer, random", "logit", _STEPS, fresh | {"method": "logit", "teacher": teacher})
    _row(out, "1 layer, random", "feature", _STEPS, fresh | {"method": "feature", "teacher": teacher})
    cut: dict[str, Any] = {"student": teacher, "teacher": teacher, "method": "logit", "layers": (1,)}
    _row(out, "1 of the teacher's layers", "logit, direct", _STEPS, cut)
    _row(out, "1 of the teacher's layers", "logit, direct, twice as long", 2 * _STEPS, cut)
    chain: dict[str, Any] = {"student": None, "teacher": teacher, "method": "progressive", "layers": (2, 1)}
    _row(out, "2 layers, then 1 of them", "progressive", _STEPS, chain)


def _row(out: Path, student: str, name: str, steps: int, settings: dict[str, Any]) -> None:
    losses = []
    for seed in _SEEDS:
        folder = out / f"{name.replace(', ', '-').replace(' ', '-')}-{seed}"
        losses.append(_train(out, folder, "few.jsonl", seed, max_steps=steps, **settings)["stages"][-1]["eval_loss"])
    shown = ", ".join(f"{loss:.4f}" for loss in losses)
    print(f"| {student} | {name} | {steps} | {shown} | {statistics.mean(losses):.4f} |", flush=True)


def _train(out: Path, folder: Path, rows: str, seed: int, **settings: Any) -> dict[str, Any]:
    base = Settings(
        rows=(out / rows,),
        held_out=(out / "eval.jsonl",),
        out=folder,
        method="sft",
        student=None,
        batch_size=32,
        learning_rate=3e-3,
        max_length=128,
        eval_every=50,
        patience=0,
        temperature=1.0,
        weight=0.9,
        seed=seed,
        cpu=True,
    )
    say: Callable[[str], None] = lambda _line: None  # noqa: E731
    return train(base._replace(**settings), say)


def _language(seed: int) -> dict[str, list[str]]:
    rng = random.Random(seed)
    return {a + b: rng.sample(LETTERS, 3) for a in LETTERS for b in LETTERS}


def _rows(path: Path, count: int, language: dict[str, list[str]], seed: int) -> None:
    rng = random.Random(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    made = []
    for _ in range(count):
        text = "".join(rng.choices(LETTERS, k=2))
        prompt = text
        while len(text) < _LENGTH:
            text += rng.choices(language[text[-2:]], _PROBABILITIES)[0]
        made.append(json.dumps({"prompt": prompt, "answer": text}) + "\n")
    path.write_text("".join(made), encoding="utf-8")


def _model(folder: Path, layers: int) -> Path:
    tokenizer = byte_tokenizer(["<|end|>"], "<|end|>")
    return save_llama(folder, tokenizer, layers=layers, width=64, heads=4, seed=layers)


if __name__ == "__main__":
    start = time.monotonic()
    main(Path(sys.argv[1]))
    print(f"\n{time.monotonic() - start:.0f} s")
