"""The memory estimate: known models, what is kept for the backward pass, and what the command prints."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, LlamaConfig

from breakeven.models.train import memory
from breakeven.models.train.settings import Settings
from tests.support.processes import CHECKOUT
from tests.unit.models.train import tiny
from tests.unit.models.train.test_packing import REFUSED, SEPARATE

GB = 1e9


@pytest.fixture
def eight_billion(tmp_path: Path) -> Path:
    """A directory with the config of an 8B Llama, and nothing else."""
    LlamaConfig(
        vocab_size=128256,
        hidden_size=4096,
        intermediate_size=14336,
        num_hidden_layers=32,
        num_attention_heads=32,
        num_key_value_heads=8,
    ).save_pretrained(str(tmp_path / "8b"))
    return tmp_path / "8b"


def test_an_8b_model_needs_what_is_known_of_it(eight_billion: Path) -> None:
    shape = memory.Shape(1, 1024, 512)
    found = memory.sizes(eight_billion, shape)
    assert found.parameters == 8_030_261_248
    settings = Settings((), (), eight_billion, "sft", eight_billion, gradient_checkpointing=True)
    chosen, others = memory.needs(found, shape, settings)
    full, narrow, lora, qlora = (one.total / GB for one in others)
    assert chosen.total == others[0].total
    # 16 bytes a parameter, 8 in bfloat16, 2 without training it, half a byte in 4-bit; and batch and process on top.
    assert 128.5 < full < 136
    assert 64.2 < narrow < 70
    assert 16 < lora < 24
    assert 5.6 < qlora < 12
    without = memory.needs(found, shape, settings._replace(gradient_checkpointing=False))[0]
    assert without.total > chosen.total + 5 * GB
    taught = memory.needs(found, shape, settings, teacher_parameters=10**9)[0]
    assert taught.total == chosen.total + 4 * GB


@pytest.mark.parametrize("kind", ["llama", "gemma2", "qwen3"])
def test_what_is_kept_is_what_a_real_forward_pass_keeps(kind: str) -> None:
    config = AutoConfig.for_model(
        kind,
        vocab_size=64,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        pad_token_id=0,
    )
    shape = memory.Shape(2, 24, 10)
    with torch.device("meta"):
        on_meta = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    real = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    expected = memory._kept(real, shape, eager=True)
    assert expected > 10_000
    assert memory._kept(on_meta, shape, eager=True) == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("kind", ["qwen3_moe", "gpt2", "mamba2", "qwen3_next"])
def test_other_architectures_get_an_estimate_too(tmp_path: Path, kind: str) -> None:
    more = (SEPARATE | REFUSED)[kind]
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = AutoConfig.for_model(kind, **{**sizes, "vocab_size": 64, "num_key_value_heads": 2, "head_dim": 8, **more})
    config.save_pretrained(str(tmp_path))
    found = memory.sizes(tmp_path, memory.Shape(2, 24, 10))
    assert found.activations > found.checkpointed > 0


def test_what_does_not_fit_is_said_with_what_does() -> None:
    ways = [memory.Need("full", 100 * GB), memory.Need("--lora 16 --weights bfloat16", 30 * GB)]
    chosen = memory.Need("these settings", 100 * GB)
    said = memory.lines(chosen, ways, 40 * GB, "a GPU", checkpointed=False)
    assert said[0].endswith("full 100 GB; --lora 16 --weights bfloat16 30 GB; this machine has 40 GB (a GPU)")
    assert said[1].endswith("--lora 16 --weights bfloat16 fits; --gradient-checkpointing needs less")
    assert "nothing of these fits" in memory.lines(chosen, ways, 20 * GB, "a GPU", checkpointed=True)[1]
    assert len(memory.lines(chosen, ways, 101 * GB, "a GPU", checkpointed=True)) == 1


def test_estimate_prints_and_trains_nothing(tmp_path: Path, eight_billion: Path) -> None:
    tiny.tokenizer().save_pretrained(str(eight_billion))
    rows = tiny.rows(tmp_path / "train.jsonl", 8)
    line = [sys.executable, "-m", "breakeven.gateway.cli", "distill", "train", str(rows), "--estimate"]
    line += ["--out", str(tmp_path / "out"), "--student", str(eight_billion), "--cpu", "--lora", "8"]
    env = {**os.environ, "PYTHONPATH": CHECKOUT, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(line, capture_output=True, text=True, env=env, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.startswith("memory, estimated: these settings ")
    assert "--lora 8 --weights bfloat16" in done.stdout
    assert not (tmp_path / "out").exists()
