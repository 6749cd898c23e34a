"""`breakeven distill train` as a subprocess with tiny models; encoding, packing and shrinking."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from breakeven.models.data.rows import Example, read
from breakeven.models.errors import DistillError
from tests.support.processes import CHECKOUT
from tests.unit.models.train import tiny

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a teacher and a student model, train.jsonl and eval.jsonl."""
    folder = tmp_path_factory.mktemp("parts")
    tiny.model(folder / "teacher", layers=4, seed=1)
    tiny.model(folder / "student", layers=2, width=16)
    tiny.rows(folder / "train.jsonl", 32)
    tiny.rows(folder / "eval.jsonl", 8, start=100)
    return folder


def command(parts: Path, out: Path, *options: str, python: tuple[str, ...] = (sys.executable,)) -> list[str]:
    base = [*python, "-m", "breakeven.gateway.cli", "distill", "train", str(parts / "train.jsonl")]
    base += ["--eval", str(parts / "eval.jsonl"), "--out", str(out), "--cpu", "--batch-size", "8"]
    return [*base, "--learning-rate", "0.01", "--eval-every", "4", *options]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": CHECKOUT, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


def run(parts: Path, out: Path, *options: str, code: int = 0, **more: Any) -> subprocess.CompletedProcess[str]:
    line = command(parts, out, *options, **more)
    done = subprocess.run(line, capture_output=True, text=True, env=environment(), timeout=600, check=False)
    assert done.returncode == code, done.stderr[-3000:]
    return done


def facts(out: Path) -> dict[str, Any]:
    return json.loads((out / "training.json").read_text())


def weights(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


def options_of(parts: Path, method: str) -> tuple[str, ...]:
    student, teacher = ("--student", str(parts / "student")), ("--teacher", str(parts / "teacher"))
    return {
        "sft": student,
        "logit": (*student, *teacher),
        "feature": (*student, *teacher, "--feature-layers", "1:2,2:4"),
        "progressive": (*teacher, "--layers", "2,1"),
    }[method]


@pytest.mark.parametrize("method", ["sft", "logit", "feature", "progressive"])
def test_each_method_lowers_the_loss_and_writes_a_model_with_a_card(parts: Path, tmp_path: Path, method: str) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    out = tmp_path / "out"
    before = weights(parts / "teacher")
    done = run(parts, out, "--method", method, "--max-steps", "12", "--patience", "0", *options_of(parts, method))
    made = facts(out)
    stages = made["stages"]
    assert [stage["layers"] for stage in stages] == ([2, 1] if method == "progressive" else [2])
    assert all(stage["steps"] == 12 for stage in stages)
    assert stages[0]["eval_loss"] < stages[0]["eval_loss_before"] < 8
    assert f"-> {stages[-1]['eval_loss']:.4f}" in done.stdout
    model = AutoModelForCausalLM.from_pretrained(str(out))
    assert model.config.num_hidden_layers == stages[-1]["layers"]
    assert not [name for name in weights(out) if "projections" in name]
    assert AutoTokenizer.from_pretrained(str(out)).chat_template == tiny.CHAT
    assert f"method `{method}`" in (out / "README.md").read_text()
    assert (out / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert not (out / "checkpoints").exists()
    after = weights(parts / "teacher")
    assert all(before[name].equal(after[name]) for name in before)
    again = run(parts, out, "--method", method, "--max-steps", "12", "--patience", "0", *options_of(parts, method))
    assert "already finished" in again.stderr
    other = run(parts, out, "--method", method, "--max-steps", "13", *options_of(parts, method), code=2)
    assert "max_steps 12, not 13" in other.stderr


def test_lora_is_merged_and_early_stopping_ends_the_training(parts: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(parts, out, "--student", str(parts / "student"), "--lora", "4", "--max-steps", "4")
    assert set(weights(out)) == set(weights(parts / "student"))
    assert any(not weights(out)[name].equal(value) for name, value in weights(parts / "student").items())
    # With a learning rate that diverges, the training ends after the first evaluations.
    wild = tmp_path / "wild"
    line = ("--student", str(parts / "student"), "--max-steps", "60", "--patience", "2", "--learning-rate", "5")
    run(parts, wild, *line)
    assert facts(wild)["stages"][0]["steps"] < 60


def test_a_killed_run_resumes_and_gives_the_same_model(parts: Path, tmp_path: Path) -> None:
    line = ("--student", str(parts / "student"), "--max-steps", "80", "--patience", "0", "--eval-every", "5")
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    run(parts, whole, *line)
    rng = random.Random(2)
    resumed = 0
    for _ in range(3):
        process = subprocess.Popen(
            command(parts, cut, *line), env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        seen = len(list(cut.glob("checkpoints/checkpoint-*/trainer_state.json")))
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            now = sorted(cut.glob("checkpoints/checkpoint-*/trainer_state.json"))
            if len(now) != seen or (now and max(path.stat().st_mtime for path in now) > time.time() - 0.2):
                break
            time.sleep(0.01)
        time.sleep(rng.uniform(0.0, 0.3))
        process.send_signal(signal.SIGKILL)
        _, said = process.communicate(timeout=30)
        resumed += b"resuming from checkpoint-" in said
        if (cut / "training.json").exists():
            break
    done = run(parts, cut, *line)
    resumed += "resuming from checkpoint-" in done.stderr
    assert resumed >= 1
    assert facts(cut)["stages"][0]["steps"] == 80
    for name, value in weights(whole).items():
        assert value.allclose(weights(cut)[name], atol=1e-5), name


def test_stored_log_probabilities_replace_a_teacher(parts: Path, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in (parts / "train.jsonl").read_text().splitlines()]
    for row in rows:
        letter = row["messages"][-1]["content"][0]
        top = [[letter, math.log(0.9), None], ["z" if letter != "z" else "y", math.log(0.05), None]]
        row["teacher_logprobs"] = [{"token": letter, "logprob": math.log(0.9), "top": top}] * 4
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "eval.jsonl").write_bytes((parts / "eval.jsonl").read_bytes())
    options = ("--method", "logit", "--student", str(parts / "student"), "--max-steps", "8")
    done = run(tmp_path, tmp_path / "out", *options)
    assert facts(tmp_path / "out")["rows"]["with_soft_targets"] == 32
    assert "32 with_soft_targets" in done.stderr
    bare = run(parts, tmp_path / "bare", *options, code=2)
    assert "only 0 of 32 rows" in bare.stderr
    assert "--method sft" in bare.stderr


def test_different_vocabularies_are_an_error_with_a_suggestion(parts: Path, tmp_path: Path) -> None:
    tiny.model(tmp_path / "foreign", more=("<|other|>",))
    options = ("--method", "logit", "--student", str(parts / "student"), "--teacher", str(tmp_path / "foreign"))
    done = run(parts, tmp_path / "out", *options, code=2)
    assert "different vocabularies (258 and 259 tokens; 1 entries differ)" in done.stderr
    assert "--method sft" in done.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ("--method", "magic", "--student", "S"),
            "must be sft, logit, feature, progressive, qlora, dpo, on-policy, gold",
        ),
        (("--method", "sft"), "needs --student"),
        (("--method", "feature", "--student", "S"), "needs --teacher"),
        (("--method", "progressive", "--teacher", "T"), "needs --layers"),
        (("--method", "progressive", "--teacher", "T", "--layers", "1,2"), "must be smaller"),
        (("--method", "progressive", "--teacher", "T", "--layers", "9,2"), "has 4 layers"),
        (("--method", "sft", "--student", "S", "--layers", "x"), "whole numbers"),
        (("--method", "sft", "--student", "absent"), "not a model directory"),
        (("--method", "sft", "--student", "S", "--max-length", "8"), "none of 32 rows fits"),
        (("--method", "feature", "--student", "S", "--teacher", "T", "--feature-layers", "1:9"), "0 to 4"),
        (("--method", "feature", "--student", "S", "--teacher", "T", "--lora", "2"), "leave out --lora"),
        (("--method", "sft", "--student", "S", "--quantize", "w3"), "must be none, w8a8, w4a16"),
    ],
)
def test_invalid_options_are_reported(parts: Path, tmp_path: Path, options: tuple[str, ...], said: str) -> None:
    names = {"S": str(parts / "student"), "T": str(parts / "teacher")}
    done = run(parts, tmp_path / "out", *(names.get(one, one) for one in options), code=2)
    assert said in done.stderr
    assert done.stderr.splitlines()[-1].startswith("breakeven: ")
    assert "Traceback" not in done.stderr


def test_missing_requirements_of_quantization_are_reported_before_training(
    parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = ("--student", str(parts / "student"), "--quantize", "w8a8")
    if importlib.util.find_spec("llmcompressor") is None:
        assert "pip install 'breakeven[distill,quantize]'" in run(parts, tmp_path / "out", *line, code=2).stderr
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert "runs in one process" in run(parts, tmp_path / "out", *line, code=2).stderr
    assert not (tmp_path / "out").exists()


def example(answer: str = "ab") -> Example:
    return Example("x", [{"role": "user", "content": "hi"}], answer, None, {})


def test_labels_are_the_answer_and_its_end_token() -> None:
    from breakeven.models.train.encode import encode

    made = tiny.tokenizer()
    (row,) = encode([example()], made, 100).rows
    learnt = [token for token in row["labels"] if token != -100]
    assert made.decode(learnt) == "ab<|im_end|>"
    assert made.decode(row["input_ids"]).endswith("<|im_start|>assistant\nab<|im_end|>")
    found = encode([example(), example("c" * 200)], made, 100)
    assert (len(found.rows), found.too_long) == (1, 1)


def test_packed_rows_do_not_attend_to_each_other() -> None:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from breakeven.models.train.encode import collator, encode, pack

    made = tiny.tokenizer()
    rows = encode([example(text) for text in ("ab", "cdefg", "h", "ijk")], made, 100).rows
    packed = pack(rows, 80)
    assert len(packed) == 2
    assert sum(len(row["input_ids"]) for row in packed) == sum(len(row["input_ids"]) for row in rows)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(made), hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2
    )
    model = LlamaForCausalLM(config).eval()
    collate = collator(made.pad_token_id)
    together, alone = collate(packed), collate(rows)
    with torch.no_grad():
        both = [
            model(**{k: v for k, v in batch.items() if k != "labels"}, use_cache=False).logits
            for batch in (together, alone)
        ]
    found = sorted(both[0][together["labels"] != -100].sum(-1).tolist())
    expected = sorted(both[1][alone["labels"] != -100].sum(-1).tolist())
    assert found == pytest.approx(expected, abs=1e-4)


def test_a_shrunk_model_keeps_the_first_and_the_last_layer(parts: Path) -> None:
    from transformers import AutoModelForCausalLM

    from breakeven.models.train.shrink import evenly_spaced, shrink

    assert [evenly_spaced(12, n) for n in (1, 2, 4, 12)] == [[0], [0, 11], [0, 4, 7, 11], list(range(12))]
    with pytest.raises(DistillError, match="1 to 4"):
        evenly_spaced(4, 5)
    model = AutoModelForCausalLM.from_pretrained(str(parts / "teacher"))
    small = shrink(model, 2)
    big, state = model.state_dict(), small.state_dict()
    assert state["model.layers.1.mlp.up_proj.weight"].equal(big["model.layers.3.mlp.up_proj.weight"])
    assert state["model.embed_tokens.weight"].equal(big["model.embed_tokens.weight"])
    assert small.config.num_hidden_layers == 2


def test_a_teacher_is_frozen_and_projections_learn(parts: Path, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    from breakeven.models.train.encode import encode
    from breakeven.models.train.trainer import PROJECTIONS, Objective, Schedule, add_projections, build_trainer

    student, teacher = (AutoModelForCausalLM.from_pretrained(str(parts / name)) for name in ("student", "teacher"))
    add_projections(student, teacher, [(2, 4)])
    made = tiny.tokenizer()
    data = encode(read([parts / "train.jsonl"]), made, 64).rows
    schedule = Schedule(1.0, 1, 4, 1, 0.01, 10, 0, 1, False, True, True)
    objective = Objective("feature", pairs=((2, 4),))
    trainer, _ = build_trainer(
        student, teacher, objective, schedule, data, [], made.pad_token_id, tmp_path / "c", print
    )
    batch = trainer.data_collator(data[:4])
    student.train()
    loss = trainer.compute_loss(student, batch)
    loss.backward()
    assert torch.isfinite(loss)
    assert all(p.grad is None and not p.requires_grad for p in teacher.parameters())
    assert not teacher.training
    maps = getattr(student, PROJECTIONS)
    assert maps[0].weight.grad.abs().sum() > 0
    assert all(torch.isfinite(p.grad).all() for p in student.parameters() if p.grad is not None)


def test_out_of_memory_suggests_smaller_settings(tmp_path: Path) -> None:
    import torch

    from breakeven.models.train.settings import Settings
    from breakeven.models.train.stage import train_from

    class Full:
        def __init__(self, error: Exception) -> None:
            self.error = error

        def train(self, resume_from_checkpoint: str | None) -> None:
            raise self.error

    settings = Settings((), (), tmp_path, "sft", None, batch_size=8, accumulate=2)
    for error in (torch.OutOfMemoryError("x"), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")):
        with pytest.raises(DistillError, match="--batch-size 4 --accumulate 4"):
            train_from(Full(error), None, settings)
    with pytest.raises(DistillError, match="--max-length 512, or --lora"):
        train_from(Full(torch.OutOfMemoryError("x")), None, settings._replace(batch_size=1))
    with pytest.raises(RuntimeError, match="something else"):
        train_from(Full(RuntimeError("something else")), None, settings)
