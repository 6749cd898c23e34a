"""The methods that trl runs, each for a few steps on tiny models: what they learn, their card, and resuming."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from breakeven.models.errors import DistillError, TrainingStopped
from breakeven.models.train.settings import Settings
from breakeven.models.train.train import train
from tests.support.processes import CHECKOUT
from tests.unit.models.train import tiny

pytest.importorskip("trl", reason="trl is absent; pip install 'breakeven[trl]'")
# Its own, and those of what it imports.
pytestmark = [pytest.mark.timeout(600), pytest.mark.filterwarnings("ignore")]

METHODS = ["dpo", "on-policy", "gold"]
LETTERS = "abcdefghijklmnopqrstuvwxyz"


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A student, a teacher of its vocabulary and one of another, both trained, rows and outcome rows."""
    folder = tmp_path_factory.mktemp("parts")
    tiny.rows(folder / "train.jsonl", 32)
    tiny.rows(folder / "eval.jsonl", 8, start=100)
    tiny.model(folder / "student", layers=2, width=16)
    for name, more in (("teacher", ()), ("foreign", ("<|other|>",))):
        base = tiny.model(folder / f"{name}-base", layers=2, width=32, seed=1, more=more)
        train(settings(folder, "sft", folder / name, student=base, max_steps=40, eval_every=40), quiet)
    rows = []
    for i in range(24):
        split = "test" if i == 0 else "train"
        scores = (
            {"student_score": 1.0, "teacher_score": 0.0} if i == 1 else {"student_score": 0.0, "teacher_score": 1.0}
        )
        answers = ("good", "zz")[:: 1 if i == 1 else -1]
        row = {"id": f"o{i}", "messages": [{"role": "user", "content": f"{LETTERS[i]} {i}"}], "split": split, **scores}
        rows.append(row | {"student_response": answers[0], "teacher_response": answers[1]})
    rows.append(rows[2] | {"id": "equal", "student_score": 1.0})
    (folder / "outcomes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def quiet(_: str) -> None:
    """Prints nothing."""


def settings(parts: Path, method: str, out: Path, **more: Any) -> Settings:
    rows = "outcomes.jsonl" if method == "dpo" else "train.jsonl"
    teacher = {"on-policy": "teacher", "gold": "foreign"}.get(method)
    made = Settings(
        rows=(parts / rows,),
        held_out=(parts / "eval.jsonl",),
        out=out,
        method=method,
        student=parts / "student",
        teacher=parts / teacher if teacher else None,
        max_steps=8,
        learning_rate=0.01,
        eval_every=2,
        patience=0,
        cpu=True,
        beta={"dpo": 0.1, "on-policy": 1.0, "gold": 0.5}.get(method, 0.0),
        completion_tokens=6,
    )
    return made._replace(**more)


def model(folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(str(folder)).eval()


def answer_logprob(folder: Path, prompt: str, answer: str) -> float:
    """The log-probability of an answer."""
    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    turns = [{"role": "user", "content": prompt}]
    start = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=False)
    ids = torch.tensor([[*start, *tokenizer(answer)["input_ids"]]])
    with torch.no_grad():
        logs = model(folder)(ids).logits[0].log_softmax(-1)
    return float(sum(logs[i - 1, ids[0, i]] for i in range(len(start), ids.shape[1])))


def reverse_kl(student: Path, teacher: Path) -> float:
    """KL(student || teacher) of the first token of the answers to the training prompts, in nats."""
    tokenizer = AutoTokenizer.from_pretrained(str(student))
    one, other = model(student), model(teacher)
    found = []
    for i in range(20):
        turns = [{"role": "user", "content": f"{LETTERS[i]} {i}"}]
        ids = torch.tensor([tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=False)])
        with torch.no_grad():
            own, its = (each(ids).logits[0, -1].log_softmax(-1) for each in (one, other))
        found.append(float((own.exp() * (own - its)).sum()))
    return sum(found) / len(found)


@pytest.mark.parametrize("method", METHODS)
def test_a_few_steps_write_a_model_with_the_same_card(parts: Path, tmp_path: Path, method: str) -> None:
    out = tmp_path / "out"
    facts = train(settings(parts, method, out), quiet)
    (stage,) = facts["stages"]
    assert (facts["method"], stage["layers"], stage["steps"]) == (method, 2, 8)
    assert stage["eval_loss_before"] > 0
    assert stage["eval_loss"] != stage["eval_loss_before"]
    assert facts["rows"] == {"train": 23 if method == "dpo" else 32, "held_out": 8, "too_long": 0}
    assert set(facts["versions"]) == {"torch", "transformers", "trl"}
    assert f"method `{method}`" in (out / "README.md").read_text()
    assert (out / "loss.png").exists()
    assert not (out / "checkpoints").exists()
    assert AutoTokenizer.from_pretrained(str(out)).chat_template == tiny.CHAT
    before, after = model(parts / "student").state_dict(), model(out).state_dict()
    assert set(before) == set(after)
    said: list[str] = []
    assert train(settings(parts, method, out), said.append) == facts
    assert said == [f"{out}: already finished"]


@pytest.mark.parametrize("lora", [0, 4])
def test_dpo_prefers_the_better_answer_whoever_gave_it(parts: Path, tmp_path: Path, lora: int) -> None:
    out = tmp_path / "out"
    train(settings(parts, "dpo", out, lora=lora, held_out=()), quiet)

    def margin(folder: Path) -> float:
        return answer_logprob(folder, "e 4", "good") - answer_logprob(folder, "e 4", "zz")

    assert margin(out) > margin(parts / "student") + 0.5


def test_on_policy_distillation_approaches_the_teacher(parts: Path, tmp_path: Path) -> None:
    teacher = parts / "teacher"
    before = reverse_kl(parts / "student", teacher)
    train(settings(parts, "on-policy", tmp_path / "out", max_steps=20, eval_every=20, held_out=()), quiet)
    assert reverse_kl(tmp_path / "out", teacher) < 0.7 * before


def test_gold_learns_from_a_teacher_of_another_vocabulary(parts: Path, tmp_path: Path) -> None:
    with pytest.raises(DistillError, match="different vocabularies"):
        train(settings(parts, "on-policy", tmp_path / "other", teacher=parts / "foreign"), quiet)
    facts = train(settings(parts, "gold", tmp_path / "out", max_steps=30, eval_every=30), quiet)
    (stage,) = facts["stages"]
    assert stage["eval_loss"] < stage["eval_loss_before"] - 0.5


@pytest.mark.parametrize("method", METHODS)
def test_an_interrupted_run_resumes_to_the_same_model(parts: Path, tmp_path: Path, method: str) -> None:
    train(settings(parts, method, tmp_path / "whole"), quiet)
    with pytest.raises(KeyboardInterrupt):
        train(settings(parts, method, tmp_path / "cut"), stopping_at("step 5 of 8: loss"))
    said: list[str] = []
    train(settings(parts, method, tmp_path / "cut"), said.append)
    assert "resuming from checkpoint-4" in said
    whole, cut = model(tmp_path / "whole").state_dict(), model(tmp_path / "cut").state_dict()
    assert max(float((whole[name] - cut[name]).abs().max()) for name in whole) < 1e-5


def stopping_at(line: str) -> Callable[[str], None]:
    def say(said: str) -> None:
        if said.startswith(line):
            raise KeyboardInterrupt

    return say


def test_rows_without_a_preference_are_one_line(parts: Path, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in (parts / "outcomes.jsonl").read_text().splitlines()]
    tied = [json.dumps({**row, "student_score": 1, "teacher_score": 1}) + "\n" for row in rows]
    (tmp_path / "tied.jsonl").write_text("".join(tied))
    for path, said in (
        (tmp_path / "tied.jsonl", "no two answers with different scores"),
        (parts / "train.jsonl", "--method dpo takes the outcomes.jsonl of"),
    ):
        line = [sys.executable, "-m", "breakeven.gateway.cli", "distill", "train", str(path)]
        line += ["--out", str(tmp_path / f"out-{path.stem}"), "--method", "dpo"]
        line += ["--student", str(parts / "student"), "--cpu"]
        env = {**os.environ, "PYTHONPATH": CHECKOUT, "HF_HUB_OFFLINE": "1"}
        done = subprocess.run(line, capture_output=True, text=True, env=env, timeout=600, check=False)
        assert done.returncode == 2, done.stderr[-2000:]
        assert said in done.stderr.splitlines()[-1]


def test_sigterm_saves_a_checkpoint_from_which_the_run_goes_on(parts: Path, tmp_path: Path) -> None:
    cut = settings(parts, "dpo", tmp_path / "cut", eval_every=5)

    def stopping(line: str) -> None:
        if line.startswith("step 3 of 8: loss"):
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(TrainingStopped, match=r"SIGTERM: saved .*checkpoint-4"):
        train(cut, stopping)
    said: list[str] = []
    train(cut, said.append)
    assert "resuming from checkpoint-4" in said


@pytest.mark.parametrize("method", METHODS)
def test_what_trl_would_leave_out_is_refused(parts: Path, tmp_path: Path, method: str) -> None:
    with pytest.raises(DistillError, match=f"--method {method} does not train on reasoning"):
        train(settings(parts, method, tmp_path / "thinking", reasoning="keep"), quiet)
    chosen = settings(parts, method, tmp_path / "tools")
    rows = [json.loads(line) for line in chosen.rows[0].read_text().splitlines()]
    tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    (tmp_path / "tools.jsonl").write_text("".join(json.dumps({**row, "tools": tools}) + "\n" for row in rows))
    with pytest.raises(DistillError, match=rf"row \S+: --method {method} trains texts alone"):
        train(chosen._replace(rows=(tmp_path / "tools.jsonl",)), quiet)


@pytest.mark.parametrize("method", ["dpo", "on-policy"])
def test_a_template_without_a_system_role_gets_one(parts: Path, tmp_path: Path, method: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(str(parts / "student"))
    tokenizer.chat_template = (
        "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}" + tiny.CHAT
    )
    shutil.copytree(parts / "student", tmp_path / "student")
    tokenizer.save_pretrained(str(tmp_path / "student"))
    chosen = settings(parts, method, tmp_path / "out", student=tmp_path / "student", max_steps=1, held_out=())
    rows = [json.loads(line) for line in chosen.rows[0].read_text().splitlines()]
    for row in rows:
        turns = row.get("messages") or [{"role": "user", "content": row["prompt"]}]
        row["messages"] = [{"role": "system", "content": "Be brief."}, *turns]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    said: list[str] = []
    train(chosen._replace(rows=(tmp_path / "rows.jsonl",)), said.append)
    assert sum("the chat template has no system role" in line for line in said) == 1


@pytest.mark.parametrize("lora", [0, 4])
def test_a_held_out_loss_that_rises_ends_the_training_and_the_best_weights_are_kept(
    parts: Path, tmp_path: Path, lora: int
) -> None:
    """Fed with rows that teach the opposite of the held-out ones, by a teacher that knows these rows."""
    more = {"max_steps": 40, "eval_every": 1, "patience": 2, "learning_rate": 0.3, "lora": lora}
    facts = train(settings(parts, "on-policy", tmp_path / "out", **more), quiet)
    (stage,) = facts["stages"]
    assert 3 <= stage["steps"] < 40
    losses = dict(json.loads((tmp_path / "out/stage.json").read_text())["history"]["eval"])
    best = min(loss for step, loss in losses.items() if step)
    assert losses[stage["steps"]] > best
    # What is saved are the weights of the best evaluation.
    assert stage["eval_loss"] == pytest.approx(best, rel=1e-4)
    assert not (tmp_path / "out/checkpoints").exists()
    with pytest.raises(KeyboardInterrupt):
        train(settings(parts, "on-policy", tmp_path / "cut", **more), stopping_at("step 2 of 40: loss"))
    train(settings(parts, "on-policy", tmp_path / "cut", **more), quiet)
    whole, cut = model(tmp_path / "out").state_dict(), model(tmp_path / "cut").state_dict()
    assert max(float((whole[name] - cut[name]).abs().max()) for name in whole) < 1e-5


def test_dpo_has_no_early_stopping(parts: Path, tmp_path: Path) -> None:
    line = [sys.executable, "-m", "breakeven.gateway.cli", "distill", "train", str(parts / "outcomes.jsonl")]
    line += ["--out", str(tmp_path / "out"), "--method", "dpo", "--student", str(parts / "student"), "--patience", "2"]
    env = {**os.environ, "PYTHONPATH": CHECKOUT, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(line, capture_output=True, text=True, env=env, timeout=600, check=False)
    assert done.returncode == 2
    assert "--patience: dpo has no early stopping" in done.stderr.splitlines()[-1]
