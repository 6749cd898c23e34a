"""Compares methods of training on the support desk at equal cost: each gets the same CPU seconds of training.

`python -m breakeven.models.examples.compare_on_desk OUT --base SMOLLM2_DIR --teacher DIR --seconds 1800`: the teacher
is a fine-tuned SmolLM2 with open weights, such as OUT/model of `run_support --steps 300`; each student begins as the
base. What a step costs is measured for each method by the CPU time of runs of one and of three steps. Prints a table in
Markdown with the share of right answers to held-out prompts, and writes OUT/result.json; a rerun resumes.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from breakeven.models.examples.support import SYSTEM, Case, cases, reference_of
from breakeven.models.scoring import checkers

METHODS = ("sft", "logit", "feature", "on-policy", "gold")
_RATES = {"on-policy": "1e-4", "gold": "1e-4"}
_RATE = "5e-4"
_LONGEST = 48


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Compare methods of training on the support desk at equal cost.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--base", type=Path, required=True, help="model directory that each student begins as")
    parser.add_argument("--teacher", type=Path, required=True, help="model directory of the fine-tuned teacher")
    parser.add_argument("--seconds", type=float, default=1800.0, help="CPU seconds of training for each method")
    parser.add_argument("--rows", type=int, default=1500, help="training rows")
    parser.add_argument("--held-out", type=int, default=200, help="held-out prompts")
    parser.add_argument("--batch", type=int, default=8, help="rows a step")
    parser.add_argument("--methods", default=",".join(METHODS), help="some of " + ", ".join(METHODS))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    known = cases(options.rows + options.held_out, seed=7)
    held_out = known[options.rows :]
    _write(options.out / "train.jsonl", known[: options.rows])
    _write(options.out / "eval.jsonl", held_out)
    found: list[dict[str, Any]] = []
    found.append(
        {"method": "the base, untrained", "steps": 0, "cpu_seconds": 0.0, "right": _right(options.base, held_out)}
    )
    found.append({"method": "the teacher", "steps": 0, "cpu_seconds": 0.0, "right": _right(options.teacher, held_out)})
    found += [_method(options, method, held_out) for method in options.methods.split(",")]
    (options.out / "result.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print("| method | steps | CPU seconds a step | eval loss | right |\n| --- | --- | --- | --- | --- |")
    for one in found:
        step = f"{one['cpu_seconds'] / one['steps']:.2f}" if one["steps"] else ""
        loss = f"{one['eval_loss']:.4f}" if "eval_loss" in one else ""
        print(f"| {one['method']} | {one['steps'] or ''} | {step} | {loss} | {one['right']:.1%} |")


def _method(options: argparse.Namespace, method: str, held_out: list[Case]) -> dict[str, Any]:
    """Train by a method for as many steps as the seconds are worth, and measure the student."""
    costs = {steps: _cost(options, method, steps) for steps in (1, 3)}
    step = max((costs[3] - costs[1]) / 2, 1e-3)
    steps = max(1, round(options.seconds / step))
    out = options.out / method
    _train(options, method, steps, out)
    facts = json.loads((out / "training.json").read_text(encoding="utf-8"))
    loss = facts["stages"][-1]["eval_loss"]
    return {
        "method": method, "steps": steps, "cpu_seconds": step * steps, "eval_loss": loss, "right": _right(out, held_out)
    }  # fmt: skip


def _cost(options: argparse.Namespace, method: str, steps: int) -> float:
    """The CPU seconds of a run of so many steps, with what it takes to start; as measured when it was made."""
    out = options.out / f"{method}-{steps}"
    kept = options.out / f"{method}-{steps}.cpu"
    if kept.exists():
        return float(kept.read_text())
    # One that was cut off before it was measured.
    shutil.rmtree(out, ignore_errors=True)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    _train(options, method, steps, out)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    kept.write_text(f"{seconds}\n", encoding="utf-8")
    return seconds


def _train(options: argparse.Namespace, method: str, steps: int, out: Path) -> None:
    # An evaluation of the held-out rows at the start and at the end alone, which each run has.
    line = [sys.executable, "-P", "-m", "breakeven.gateway.cli", "distill", "train", options.out / "train.jsonl"]
    line += ["--eval", options.out / "eval.jsonl", "--out", out, "--student", options.base, "--method", method, "--cpu"]
    line += ["--max-steps", steps, "--batch-size", options.batch, "--learning-rate", _RATES.get(method, _RATE)]
    line += ["--eval-every", steps, "--patience", "0", "--completion-tokens", _LONGEST, "--max-length", "256"]
    line += [] if method == "sft" else ["--teacher", options.teacher]
    subprocess.run([str(part) for part in line], check=True, stdout=subprocess.DEVNULL, env=dict(os.environ))


def _right(folder: Path, held_out: list[Case]) -> float:
    """The share of held-out prompts that a model answers right, greedily."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    model = AutoModelForCausalLM.from_pretrained(str(folder)).eval()
    right = 0.0
    for case in held_out:
        turns = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": case.prompt}]
        ids = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=True, return_tensors="pt")
        with torch.no_grad():
            made = model.generate(**ids, max_new_tokens=_LONGEST, do_sample=False, pad_token_id=tokenizer.eos_token_id)
        answer = tokenizer.decode(made[0, ids["input_ids"].shape[1] :], skip_special_tokens=True)
        right += checkers.score(case.checker, reference_of(case), answer)
    return right / len(held_out)


def _write(path: Path, known: list[Case]) -> None:
    rows = [
        {
            "messages": [
                {"role": "system", "content": SYSTEM},
                {"role": "user", "content": case.prompt},
                {"role": "assistant", "content": case.answer},
            ]
        }
        for case in known
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


if __name__ == "__main__":
    main()
