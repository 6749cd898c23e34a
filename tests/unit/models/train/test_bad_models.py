"""`breakeven distill train` with models and rows that are not as it expects, on a hub, and ended by a signal."""

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

from tests.support import hub
from tests.support.processes import CHECKOUT
from tests.unit.models.train import tiny

pytestmark = pytest.mark.timeout(600)
GEMMA_LIKE = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate') }}{% endif %}"
    "<|im_start|>{{ 'model' if m['role'] == 'assistant' else m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>model\n{% endif %}"
)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models of Llama, of Gemma 3 with its nested config, and of Mamba; train.jsonl and eval.jsonl."""
    import torch
    from transformers import (
        Gemma3Config,
        Gemma3ForConditionalGeneration,
        MambaConfig,
        MambaForCausalLM,
    )

    folder = tmp_path_factory.mktemp("parts")
    tiny.model(folder / "llama")
    made = tiny.tokenizer()
    tokens = {"vocab_size": len(made), "pad_token_id": made.pad_token_id, "eos_token_id": made.eos_token_id}
    torch.manual_seed(0)
    MambaForCausalLM(
        MambaConfig(hidden_size=32, state_size=4, num_hidden_layers=2, bos_token_id=None, **tokens)
    ).save_pretrained(folder / "mamba")
    made.save_pretrained(folder / "mamba")
    made.chat_template = GEMMA_LIKE
    text = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 4, "num_attention_heads": 2, **tokens}
    text |= {"num_key_value_heads": 1, "head_dim": 16, "max_position_embeddings": 256, "bos_token_id": None}
    # As many layers as the decoder: which of the two is shrunk must not depend on the order.
    vision = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 4, "num_attention_heads": 2}
    vision |= {"image_size": 28, "patch_size": 14}
    config = Gemma3Config(text_config=text, vision_config=vision, mm_tokens_per_image=4, image_token_index=3)
    Gemma3ForConditionalGeneration(config).save_pretrained(folder / "gemma")
    made.save_pretrained(folder / "gemma")
    tiny.rows(folder / "train.jsonl", 32)
    tiny.rows(folder / "eval.jsonl", 8, start=100)
    return folder


def command(parts: Path, out: Path, *options: str, data: Path | None = None) -> list[str]:
    base = [sys.executable, "-m", "breakeven.gateway.cli", "distill", "train", str(data or parts / "train.jsonl")]
    base += ["--eval", str(parts / "eval.jsonl"), "--out", str(out), "--cpu", "--batch-size", "8"]
    return [*base, "--learning-rate", "0.01", "--eval-every", "4", *options]


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": CHECKOUT, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", **more}


def run(*arguments: Any, code: int = 0, env: dict[str, str] | None = None, **more: Any) -> str:
    """The standard error of a training, which must end with this exit code and without a traceback."""
    done = subprocess.run(
        command(*arguments, **more), capture_output=True, text=True, env=env or environment(), timeout=250, check=False
    )
    assert done.returncode == code, done.stderr[-3000:]
    assert "Traceback" not in done.stderr
    return done.stderr


def config(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "config.json").read_text())


@pytest.mark.parametrize("options", [("--layers", "2"), ("--method", "feature", "--teacher", "T"), ("--lora", "2")])
def test_a_nested_config_is_trained_and_shrunk(parts: Path, tmp_path: Path, options: tuple[str, ...]) -> None:
    given = [str(parts / "gemma") if one == "T" else one for one in options]
    run(parts, tmp_path / "out", "--student", str(parts / "gemma"), "--max-steps", "4", *given)
    made = config(tmp_path / "out")
    layers = 2 if "--layers" in options else 4
    assert (made["text_config"]["num_hidden_layers"], len(made["text_config"]["layer_types"])) == (layers, layers)
    assert made["vision_config"]["num_hidden_layers"] == 4
    (stage,) = json.loads((tmp_path / "out" / "training.json").read_text())["stages"]
    assert (stage["layers"], stage["steps"]) == (layers, 4)
    assert stage["eval_loss"] < stage["eval_loss_before"]


def test_a_model_that_peft_cannot_adapt_is_refused_with_what_to_do(parts: Path, tmp_path: Path) -> None:
    said = run(parts, tmp_path / "out", "--student", str(parts / "mamba"), "--lora", "2", code=2)
    line = said.splitlines()[-1]
    assert line.startswith("breakeven: --lora 2: PEFT cannot adapt MambaForCausalLM; leave out --lora")
    assert "Module 'out_proj' is incompatible" in line


def conversations(path: Path, *turns: tuple[str, str]) -> Path:
    row = {"id": "row-7", "messages": [{"role": role, "content": text} for role, text in turns]}
    path.write_text((json.dumps(row) + "\n") * 8)
    return path


def test_a_template_without_a_system_role_gets_one_that_is_served_too(parts: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    turns = (("system", "Be brief."), ("user", "Hi"), ("assistant", "Ho"), ("user", "And?"), ("assistant", "No."))
    data = conversations(tmp_path / "data.jsonl", *turns)
    options = ("--student", str(parts / "gemma"), "--max-steps", "1")
    said = run(parts, tmp_path / "out", *options, data=data)
    assert "the chat template has no system role: system messages begin the first user message" in said
    made = AutoTokenizer.from_pretrained(str(tmp_path / "out"))
    messages = [{"role": "system", "content": "S"}, {"role": "user", "content": "U"}]
    told = made.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert told == "<|im_start|>user\nS\n\nU<|im_end|>\n<|im_start|>model\n"
    plain = made.apply_chat_template(messages[1:], tokenize=False, add_generation_prompt=True)
    assert plain == "<|im_start|>user\nU<|im_end|>\n<|im_start|>model\n"
    # A template that takes system messages is left alone.
    assert "no system role" not in run(
        parts, tmp_path / "llama", "--student", str(parts / "llama"), "--max-steps", "1", data=data
    )


def test_a_row_that_the_template_refuses_is_named(parts: Path, tmp_path: Path) -> None:
    data = conversations(tmp_path / "data.jsonl", ("user", "Hi"), ("user", "Hi?"), ("assistant", "Ho"))
    said = run(parts, tmp_path / "out", "--student", str(parts / "gemma"), data=data, code=2)
    line = said.splitlines()[-1]
    assert "row row-7: the student's chat template refuses it: Conversation roles must alternate; change" in line


def test_files_of_a_model_that_cannot_be_loaded_are_named(parts: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    tiny.model(broken)
    (broken / "tokenizer.json").write_text("{}")
    said = run(parts, tmp_path / "out", "--student", str(broken), code=2)
    assert f"breakeven: {broken}: its tokenizer cannot be loaded" in said.splitlines()[-1]
    tiny.model(broken)
    (broken / "model.safetensors").write_bytes((broken / "model.safetensors").read_bytes()[:1000])
    said = run(parts, tmp_path / "out2", "--student", str(broken), code=2)
    assert f"breakeven: {broken}: cannot be loaded as a language model" in said.splitlines()[-1]


def test_lone_surrogates_in_rows_are_named_before_training(parts: Path, tmp_path: Path) -> None:
    data = tmp_path / "data.jsonl"
    data.write_text('{"prompt": "Hi", "answer": "Ho"}\n{"prompt": "Hi", "answer": "\\ud83d"}\n')
    student = ("--student", str(parts / "llama"), "--max-steps", "1")
    said = run(parts, tmp_path / "out", *student, data=data, code=2)
    assert f"{data}: line 2: answer: holds half of a character" in said.splitlines()[-1]
    said = run(parts, tmp_path / "skipped", *student, "--skip-bad", data=data)
    assert f"skipped: {data}: line 2: answer: holds half of a character" in said
    assert "rows: 1 train" in said


def test_a_student_on_the_hub_is_fetched_by_its_name(parts: Path, tmp_path: Path) -> None:
    repository = tmp_path / "models" / "acme" / "tiny"
    repository.mkdir(parents=True)
    for file in (parts / "llama").iterdir():
        (repository / file.name).write_bytes(file.read_bytes())
    options = ("--student", "acme/tiny", "--max-steps", "1")
    with hub.running(tmp_path) as url:
        env = environment(HF_ENDPOINT=url, HF_HUB_OFFLINE="0", HF_HOME=str(tmp_path / "cache"))
        run(parts, tmp_path / "out", *options, env=env)
        said = run(parts, tmp_path / "none", "--student", "acme/none", env=env, code=2)
        assert "acme/none: neither a file or folder here nor a model on the hub" in said
    facts = json.loads((tmp_path / "out" / "training.json").read_text())
    assert facts["student"] == facts["settings"]["student"] == f"acme/tiny@{hub.COMMIT}"
    # What was fetched once needs no hub; anything else does.
    assert "already finished" in run(parts, tmp_path / "out", *options, env=env)
    said = run(parts, tmp_path / "none", "--student", "acme/none", env=env, code=2)
    assert "acme/none: not here, and the Hugging Face hub cannot be reached" in said.splitlines()[-1]


def test_sigterm_saves_a_checkpoint_from_which_the_same_weights_result(parts: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    # No evaluation comes near: only the signal can be the reason for a checkpoint.
    line = ("--student", str(parts / "llama"), "--max-steps", "90", "--patience", "0", "--eval-every", "80")
    cut, whole = tmp_path / "cut", tmp_path / "whole"
    with subprocess.Popen(
        command(parts, cut, *line), env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        for printed in process.stderr:
            if printed.startswith("step 16 of 90"):
                break
        process.send_signal(signal.SIGTERM)
        start = time.monotonic()
        said = process.stderr.read()
        assert process.wait(60) == 3, said
    assert time.monotonic() - start < 30
    (checkpoint,) = (cut / "checkpoints").glob("checkpoint-*")
    step = int(checkpoint.name.rpartition("-")[2])
    assert 16 <= step < 80
    assert f"breakeven: stopped: SIGTERM: saved {checkpoint}; run the same command again to continue" in said
    assert "Traceback" not in said
    assert f"resuming from checkpoint-{step}" in run(parts, cut, *line)
    run(parts, whole, *line)
    first, second = (load_file(folder / "model.safetensors") for folder in (whole, cut))
    assert all(value.allclose(second[name], atol=1e-5) for name, value in first.items())
