"""Packed rows do not change each other's logits, in tiny models of many architectures, or packing is refused."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from breakeven.models.errors import DistillError
from breakeven.models.train import packing
from breakeven.models.train.encode import collator, pack
from tests.support.processes import CHECKOUT
from tests.unit.models.train import tiny

pytestmark = pytest.mark.timeout(300)

_EXPERTS: dict[str, Any] = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
_LINEAR: dict[str, Any] = {
    "layer_types": ["linear_attention", "full_attention"],
    "linear_num_value_heads": 2,
    "linear_num_key_heads": 2,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
}
_MAMBA: dict[str, Any] = {"mamba_n_heads": 4, "mamba_d_head": 16, "mamba_d_state": 8, "mamba_n_groups": 1}
# Windows of 4 tokens are shorter than the rows.
SEPARATE: dict[str, dict[str, Any]] = {
    "llama": {},
    "qwen2": {},
    "qwen3": {},
    "qwen3_moe": _EXPERTS,
    "mistral": {"sliding_window": 4},
    "gemma2": {"sliding_window": 4},
    "gemma3_text": {"sliding_window": 4, "layer_types": ["sliding_attention", "full_attention"]},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64},
}
REFUSED: dict[str, dict[str, Any]] = {
    "gpt_oss": {"sliding_window": 4, "num_local_experts": 4, "num_experts_per_tok": 2},
    "qwen3_next": {**_EXPERTS, **_LINEAR, "shared_expert_intermediate_size": 16},
    "qwen3_5_text": _LINEAR,
    "granitemoehybrid": {
        **_MAMBA,
        "layer_types": ["mamba", "attention"],
        "num_local_experts": 0,
        "shared_intermediate_size": 32,
    },
    "mamba2": {"num_heads": 4, "head_dim": 16, "state_size": 8, "n_groups": 1, "expand": 2},
}


def model(kind: str, more: dict[str, Any], scale: float = 1.0) -> Any:
    """A model of this type with two layers; `scale` multiplies its first weights."""
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    tokens = {"vocab_size": 64, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    config = AutoConfig.for_model(kind, **{**sizes, **tokens, "num_key_value_heads": 2, "head_dim": 8, **more})
    torch.manual_seed(0)
    made = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for one in made.parameters():
            one.mul_(scale)
    return made


@pytest.mark.parametrize("kind", SEPARATE)
def test_packed_rows_do_not_change_each_other(kind: str) -> None:
    made = model(kind, SEPARATE[kind])
    packing.check_packing(made, Path("student"), 1024)
    # The measure sees a leak in the same model when the boundary is not passed.
    rows = [{"input_ids": [5, 9, 7, 30], "labels": [0] * 4}, {"input_ids": [8, 6, 40], "labels": [0] * 3}]
    (packed,) = pack(rows, 100)
    assert packed["position_ids"] == [0, 1, 2, 3, 0, 1, 2]
    ids = torch.tensor([packed["input_ids"]])
    with torch.no_grad():
        made.eval()
        apart = made(input_ids=ids, position_ids=torch.tensor([packed["position_ids"]]), use_cache=False).logits
        mixed = made(input_ids=ids, use_cache=False).logits
        alone = made(input_ids=ids[:, 4:], use_cache=False).logits
    scale = alone.abs().max()
    assert (apart[:, 4:] - alone).abs().max() <= packing.MAX_LEAK * scale
    assert (mixed[:, 4:] - alone).abs().max() > packing.MAX_LEAK * scale


@pytest.mark.parametrize("kind", REFUSED)
def test_packing_is_refused_where_rows_change_each_other(kind: str) -> None:
    with pytest.raises(DistillError, match=rf"--packing: student \({kind}\) does not keep .* leave out --packing"):
        packing.check_packing(model(kind, REFUSED[kind]), Path("student"), 1024)


def test_chunked_attention_packs_up_to_its_chunk() -> None:
    made = model("llama4_text", {"num_local_experts": 2, "attention_chunk_size": 64})
    packing.check_packing(made, Path("student"), 64)
    with pytest.raises(DistillError, match="give --max-length 64 or less"):
        packing.check_packing(made, Path("student"), 65)


def test_the_measure_leaves_the_model_as_it_was() -> None:
    made = model("llama", {}).to(torch.bfloat16).train()
    before = {name: value.clone() for name, value in made.state_dict().items()}
    packing.check_packing(made, Path("student"), 1024)
    assert made.training
    assert all(p.dtype == torch.bfloat16 for p in made.parameters())
    assert all(before[name].equal(value) for name, value in made.state_dict().items())


def test_a_flat_batch_is_one_sequence_that_flash_attention_separates() -> None:
    from transformers.modeling_flash_attention_utils import _is_packed_sequence, prepare_fa_kwargs_from_position_ids

    rows = [{"input_ids": [n] * n, "labels": [n] * n} for n in (5, 4, 3, 2)]
    packed = pack(rows, 8)
    batch = collator(0, flat=True)(packed)
    assert batch["input_ids"].tolist() == [[5] * 5 + [3] * 3 + [4] * 4 + [2] * 2]
    assert batch["labels"].shape == batch["position_ids"].shape == (1, 14)
    # As transformers decides: several rows in a batch would be taken for single sequences.
    assert _is_packed_sequence(batch["position_ids"], 1)
    (lengths, _), (longest, _) = prepare_fa_kwargs_from_position_ids(batch["position_ids"])
    assert (lengths.tolist(), longest) == ([0, 5, 8, 12, 14], 5)


def test_train_refuses_to_pack_before_it_starts(tmp_path: Path) -> None:
    made = model("mamba2", {**REFUSED["mamba2"], "vocab_size": len(tiny.tokenizer())})
    made.save_pretrained(str(tmp_path / "student"))
    tiny.tokenizer().save_pretrained(str(tmp_path / "student"))
    tiny.rows(tmp_path / "train.jsonl", 8)
    line = [sys.executable, "-m", "breakeven.gateway.cli", "distill", "train", str(tmp_path / "train.jsonl")]
    line += ["--out", str(tmp_path / "out"), "--student", str(tmp_path / "student"), "--cpu", "--packing"]
    env = {**os.environ, "PYTHONPATH": CHECKOUT, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(line, capture_output=True, text=True, env=env, timeout=600, check=False)
    assert done.returncode == 2, done.stderr[-3000:]
    assert "(mamba2) does not keep packed rows apart" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "out/checkpoints").exists()
