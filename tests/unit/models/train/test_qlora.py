"""QLoRA on a tiny model. `distill train` refuses it without a GPU; here the parts run on a CPU, without evaluation,
where bitsandbytes computes with the same rounded weights.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from breakeven.models.data.rows import read
from breakeven.models.errors import DistillError
from breakeven.models.train.checks import check
from breakeven.models.train.encode import encode
from breakeven.models.train.loading import load
from breakeven.models.train.settings import Settings
from breakeven.models.train.stage import Data, run_stage
from tests.unit.models.train import tiny

pytest.importorskip("bitsandbytes", reason="bitsandbytes is absent; pip install 'breakeven[qlora]'")
pytestmark = [pytest.mark.timeout(300), pytest.mark.filterwarnings("ignore")]


def test_adapters_learn_on_four_bit_weights_and_are_merged_into_the_whole_ones(tmp_path: Path) -> None:
    from bitsandbytes.nn import Linear4bit
    from transformers import AutoModelForCausalLM

    # The widths are multiples of the 64 weights that share a scale.
    tiny.model(tmp_path / "student", layers=2, width=64)
    made = tiny.tokenizer()
    rows = encode(read([tiny.rows(tmp_path / "train.jsonl", 32)]), made, 64).rows
    settings = Settings((), (), tmp_path / "out", "qlora", tmp_path / "student", lora=4, weights="bfloat16", cpu=True)
    settings = settings._replace(max_steps=12, learning_rate=0.01, eval_every=5)
    student = load(settings.student, settings)
    assert sum(isinstance(one, Linear4bit) for one in student.modules()) == 14
    facts = run_stage(settings, student, None, made, Data(rows, [], {}), settings.out, lambda _: None)
    losses = [loss for _, loss in facts["history"]["train"]]
    assert losses[-1] < losses[0] - 0.2
    before, after = (
        AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32).state_dict()
        for folder in (tmp_path / "student", settings.out)
    )
    assert set(before) == set(after)
    for name, value in before.items():
        change = after[name] - value.bfloat16().float()
        if "proj" not in name:
            assert not change.any(), name
            continue
        # What was added has the adapters' rank; rounding to 4 bits would have changed every direction.
        strength = torch.linalg.svdvals(change)
        assert strength[0] > 0.01, name
        assert strength[8:].max() < 0.05 * strength[0], name


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_is_refused_with_what_does_not_need_one(tmp_path: Path) -> None:
    student = tiny.model(tmp_path / "student")
    with pytest.raises(DistillError, match="needs a GPU; without 4-bit weights: --method sft --lora 16"):
        check(Settings((), (), tmp_path / "out", "qlora", student, lora=16))
