"""`distill train` on rows with reasoning and weights: what is saved, said and refused, and what a weight does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.models.train import tiny
from tests.unit.models.train.templates import R1
from tests.unit.models.train.test_train import facts, run

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def thinking(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a student whose template opens a block for thinking, and rows with reasoning."""
    folder = tmp_path_factory.mktemp("thinking")
    tiny.model(folder / "student", layers=2, width=16)
    (folder / "student" / "chat_template.jinja").write_text(R1)
    for name, count, start in (("train", 16, 0), ("eval", 4, 100)):
        path = tiny.rows(folder / f"{name}.jsonl", count, start=start)
        made = [json.loads(line) for line in path.read_text().splitlines()]
        for row in made:
            row["messages"][-1]["reasoning_content"] = "so it is"
        path.write_text("".join(json.dumps(row) + "\n" for row in made))
    return folder


def prompt(folder: Path) -> str:
    from transformers import AutoTokenizer

    made = AutoTokenizer.from_pretrained(str(folder))
    return str(made.apply_chat_template([{"role": "user", "content": "q"}], add_generation_prompt=True, tokenize=False))


def options(folder: Path, *more: str) -> tuple[str, ...]:
    return ("--student", str(folder / "student"), "--max-steps", "4", *more)


def test_reasoning_is_dropped_unless_asked_for(thinking: Path, tmp_path: Path) -> None:
    done = run(thinking, tmp_path / "out", *options(thinking))
    assert "16 reasoning_dropped" in done.stderr
    assert facts(tmp_path / "out")["thinking"] is False
    assert prompt(tmp_path / "out").endswith("assistant\n<think>\n\n</think>\n\n"), "served as it was trained"


def test_reasoning_is_kept_by_an_option(thinking: Path, tmp_path: Path) -> None:
    done = run(thinking, tmp_path / "out", *options(thinking, "--reasoning", "keep"))
    assert "16 with_reasoning" in done.stderr
    assert facts(tmp_path / "out")["thinking"] is True
    assert prompt(tmp_path / "out").endswith("assistant\n<think>\n")
    other = run(thinking, tmp_path / "out", *options(thinking), code=2)
    assert "holds a run with reasoning 'keep', not 'drop'" in other.stderr


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--reasoning", "some"), "must be keep or drop"),
        (("--reasoning", "keep", "--no-enable-thinking"), "contradict each other"),
    ],
)
def test_options_that_do_not_go_together(thinking: Path, tmp_path: Path, more: tuple[str, ...], said: str) -> None:
    assert said in run(thinking, tmp_path / "out", *options(thinking, *more), code=2).stderr


def test_keeping_reasoning_that_no_row_has_is_an_error(thinking: Path, tmp_path: Path) -> None:
    for name in ("train", "eval"):
        tiny.rows(tmp_path / f"{name}.jsonl", 4)
    done = run(tmp_path, tmp_path / "out", *options(thinking, "--reasoning", "keep"), code=2)
    assert "no row has reasoning_content" in done.stderr


def test_a_weight_of_three_is_worth_three_rows(tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    from breakeven.models.data.rows import Example
    from breakeven.models.train.encode import collator, encode
    from breakeven.models.train.trainer import Objective, Schedule, build_trainer

    made = tiny.tokenizer()
    folder = tiny.model(tmp_path / "student", layers=2, width=16)

    def one(text: str, weight: float) -> Example:
        record = {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": text}]}
        return Example("x", record["messages"][:-1], text, None, {**record, "weight": weight})

    def gradient(examples: list[Example]) -> Any:
        model = AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32)
        rows = encode(examples, made, 100).rows
        schedule = Schedule(1.0, 1, 8, 1, 1e-3, 1, 0, 1, False, True, True)
        built = build_trainer(
            model, None, Objective("sft"), schedule, rows, [], made.pad_token_id, tmp_path / "c", lambda _: None
        )
        loss = built[0].compute_loss(model.train(), collator(made.pad_token_id)(rows))
        loss.backward()
        return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])

    # Rows of one length: the mean is over the tokens of all.
    weighed, repeated = gradient([one("abc", 3), one("xyz", 1)]), gradient([one("abc", 1)] * 3 + [one("xyz", 1)])
    assert torch.allclose(weighed * 2 / 4, repeated, atol=1e-6)
    assert not torch.allclose(gradient([one("abc", 1), one("xyz", 1)]) * 2 / 4, repeated, atol=1e-4)
