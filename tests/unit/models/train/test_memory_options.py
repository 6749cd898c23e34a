"""Options of `breakeven distill train` that save memory or disk, and what they leave unchanged."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from breakeven.models.train.settings import Settings
from tests.support.processes import CHECKOUT
from tests.unit.models.train import tiny

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a student, train.jsonl, eval.jsonl, and `plain`, a run without any of these options."""
    folder = tmp_path_factory.mktemp("parts")
    tiny.model(folder / "student", layers=2, width=16)
    tiny.rows(folder / "train.jsonl", 32)
    tiny.rows(folder / "eval.jsonl", 8, start=100)
    run(folder, folder / "plain")
    return folder


def command(parts: Path, out: Path, *options: str) -> list[str]:
    line = [sys.executable, "-m", "breakeven.gateway.cli", "distill", "train", str(parts / "train.jsonl")]
    line += ["--eval", str(parts / "eval.jsonl"), "--out", str(out), "--student", str(parts / "student"), "--cpu"]
    line += ["--batch-size", "8", "--learning-rate", "0.01", "--eval-every", "5", "--max-steps", "20"]
    return [*line, "--patience", "0", *options]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": CHECKOUT, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


def run(parts: Path, out: Path, *options: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    line = command(parts, out, *options)
    done = subprocess.run(line, capture_output=True, text=True, env=environment(), timeout=600, check=False)
    assert done.returncode == code, done.stderr[-3000:]
    return done


def weights(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


def stage(out: Path) -> dict[str, Any]:
    return json.loads((out / "training.json").read_text())["stages"][0]


def differ(a: Path, b: Path) -> float:
    first, second = weights(a), weights(b)
    assert set(first) == set(second)
    return max(float((first[name] - second[name]).abs().max()) for name in first)


@pytest.mark.parametrize(
    "options", [("--gradient-checkpointing",), ("--attention", "eager"), ("--attention", "sdpa", "--save-every", "3")]
)
def test_where_and_how_numbers_are_computed_does_not_change_the_model(
    parts: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    run(parts, tmp_path / "out", *options)
    assert differ(parts / "plain", tmp_path / "out") < 1e-4
    assert not (tmp_path / "out/checkpoints").exists()
    # A run goes on with other such options.
    assert "already finished" in run(parts, tmp_path / "out").stderr


def test_the_best_weights_are_kept_with_checkpoints_at_other_steps(parts: Path, tmp_path: Path) -> None:
    # A rate that diverges after the first steps, so that the last weights are not the best.
    rate = ("--learning-rate", "0.2", "--max-steps", "40")
    run(parts, tmp_path / "together", *rate)
    run(parts, tmp_path / "apart", *rate, "--save-every", "7")
    losses = stage(tmp_path / "together")
    assert stage(tmp_path / "apart")["eval_loss"] == pytest.approx(losses["eval_loss"], abs=1e-6)
    history = json.loads((tmp_path / "apart/stage.json").read_text())["history"]["eval"]
    trained = [loss for step, loss in history[:-1] if step]
    assert trained[-1] > min(trained), "this rate must diverge, or the test shows nothing"
    assert history[-1][1] == pytest.approx(min(trained), abs=1e-6)
    assert differ(tmp_path / "together", tmp_path / "apart") < 1e-5


def test_a_killed_run_with_checkpoints_apart_resumes_to_the_same_model(parts: Path, tmp_path: Path) -> None:
    out, options = tmp_path / "out", ("--save-every", "3", "--max-steps", "60")
    run(parts, tmp_path / "whole", *options)
    process = subprocess.Popen(command(parts, out, *options), env=environment(), stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 100
    while process.poll() is None and time.monotonic() < deadline:
        if list(out.glob("checkpoints/checkpoint-*/trainer_state.json")):
            break
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait(30)
    assert not (out / "training.json").exists(), "it finished before it was killed"
    assert "resuming from checkpoint-" in run(parts, out, *options).stderr
    assert differ(tmp_path / "whole", out) < 1e-5


@pytest.mark.parametrize("lora", ["0", "4"])
def test_weights_in_bfloat16_learn_and_are_saved_so(parts: Path, tmp_path: Path, lora: str) -> None:
    import torch

    run(parts, tmp_path / "out", "--weights", "bfloat16", "--gradient-checkpointing", "--lora", lora)
    assert {value.dtype for value in weights(tmp_path / "out").values()} == {torch.bfloat16}
    assert stage(tmp_path / "out")["eval_loss"] < stage(tmp_path / "out")["eval_loss_before"] - 0.1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--attention", "flash_attention_2"), "--attention flash_attention_2 needs"),
        (("--attention", "fast"), "must be auto, sdpa, eager, flash_attention_2, flash_attention_3"),
        (("--weights", "int8"), "--weights int8: must be float32 or bfloat16"),
    ],
)
def test_what_cannot_be_used_is_one_line(parts: Path, tmp_path: Path, options: tuple[str, ...], said: str) -> None:
    done = run(parts, tmp_path / "out", *options, code=2)
    assert said in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_adapters_are_kept_apart_and_are_the_merged_model_on_the_one_it_began_with(parts: Path, tmp_path: Path) -> None:
    import peft
    import torch
    from transformers import AutoModelForCausalLM

    out = tmp_path / "out"
    said = run(parts, out, "--lora", "4").stdout
    assert f"--enable-lora --max-lora-rank 8 --lora-modules out={out / 'adapters'}" in said
    base = AutoModelForCausalLM.from_pretrained(str(parts / "student"))
    apart = peft.PeftModel.from_pretrained(base, str(out / "adapters")).eval()
    merged = AutoModelForCausalLM.from_pretrained(str(out)).eval()
    ids = torch.tensor([[1, 5, 9, 20]])
    with torch.no_grad():
        difference = (apart(ids).logits - merged(ids).logits).abs().max()
    assert float(difference) < 1e-4
    # A model with fewer layers, which its adapters would fit, is saved nowhere.
    assert not Settings((), (), out, "sft", parts / "student", lora=4, layers=(1,)).has_adapters
