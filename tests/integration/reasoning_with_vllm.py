"""Students of a reasoning family, trained and served by a real vLLM: answer and reasoning are what was meant.

Run by `test_distill.py` in an interpreter that has torch and vLLM's environment.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest

from breakeven.models.examples.tiny_models import save_llama
from breakeven.models.serving.vllm_server import Student, command, environment
from tests.support import real
from tests.support.processes import free_port
from tests.unit.models.train import tiny
from tests.unit.models.train.templates import R1
from tests.unit.models.train.test_train import run

pytestmark = pytest.mark.timeout(700)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a student whose template opens a block for thinking, and rows with reasoning."""
    folder = tmp_path_factory.mktemp("parts")
    made = tiny.tokenizer()
    # Not special: parsers of reasoning find them in the text.
    made.add_tokens(["<think>", "</think>"])
    made.chat_template = R1
    save_llama(folder / "student", made, layers=2, width=64, heads=2, seed=1)
    for name in ("train", "eval"):
        rows = []
        for letter in "abcd":
            answer = {"role": "assistant", "content": letter * 4, "reasoning_content": f"it is {letter}"}
            rows.append(json.dumps({"messages": [{"role": "user", "content": f"say {letter}"}, answer]}) + "\n")
        (folder / f"{name}.jsonl").write_text("".join(rows))
    return folder


def message(folder: Path, *flags: str) -> dict[str, Any]:
    """The message that a vLLM with these flags answers with."""
    port = free_port()
    argv = command(
        folder,
        name="s",
        port=port,
        cpu=True,
        max_model_len=200,
        tool_call_parser=None,
        extra=flags,
        python=str(real.vllm_python()),
    )
    body = {"model": "s", "messages": [{"role": "user", "content": "say b"}], "max_tokens": 60, "temperature": 0}
    with Student(argv, environment(cpu=True), host="127.0.0.1", port=port) as server:
        answer = httpx2.post(f"{server.base_url}/chat/completions", json=body, timeout=120.0)
    found: dict[str, Any] = answer.json()["choices"][0]["message"]
    return found


@pytest.mark.parametrize(
    ("option", "flags", "reasoning"),
    [("drop", (), None), ("keep", ("--reasoning-parser", "deepseek_r1"), "it is b")],
)
def test_answer_and_reasoning_are_what_was_meant(
    parts: Path, tmp_path: Path, option: str, flags: tuple[str, ...], reasoning: str | None
) -> None:
    more = ("--student", str(parts / "student"), "--max-steps", "150", "--eval-every", "50", "--reasoning", option)
    run(parts, tmp_path / "out", *more)
    found = message(tmp_path / "out", *flags)
    assert (found["content"], found.get("reasoning")) == ("bbbb", reasoning)
