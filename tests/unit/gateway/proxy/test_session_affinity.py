"""Session affinity over HTTP, also across a restart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from tests.support.processes import Gateway, replay

EASY = "Which color has the sky on a clear day in summer, and why is that so? Answer in one sentence, please."
KEY = "the-admin-key"


@pytest.fixture
def served(tmp_path: Path, gateway: Callable[..., Gateway]) -> Iterator[Gateway]:
    rows = [{"prompt": EASY, "answer": "Blue.", "prompt_tokens": 20, "output_tokens": 3}]
    with replay(tmp_path, "student", rows) as student, replay(tmp_path, "teacher-model", rows) as teacher:
        yield gateway(student, teacher, env={"BREAKEVEN_ADMIN_KEY": KEY}, routing={"novelty_threshold": 1.0})


def ask(served: Gateway, *turns: str, model: str = "auto", **headers: str) -> tuple[str, str]:
    messages = [{"role": "user", "content": turns[0]}]
    for turn in turns[1:]:
        messages += [{"role": "assistant", "content": "Blue."}, {"role": "user", "content": turn}]
    # What is answered does not matter, only by whom: the recordings know the last turn.
    body = {"model": model, "messages": messages}
    answer = httpx2.post(f"{served.base_url}/chat/completions", json=body, headers=headers, timeout=30.0)
    assert answer.status_code == 200, answer.text
    return answer.headers["x-breakeven-route"], answer.headers["x-breakeven-reason"]


def test_a_conversation_on_the_teacher_stays_there(served: Gateway) -> None:
    assert ask(served, EASY, model="auto@0") == ("teacher", "difficult")
    assert ask(served, EASY, EASY, model="auto@1") == ("teacher", "sticky")
    # A new conversation with the same opening begins anew.
    assert ask(served, EASY, model="auto@1") == ("student", "easy")


def test_a_conversation_id_identifies_the_conversation(served: Gateway) -> None:
    assert ask(served, EASY, model="auto@0", **{"x-breakeven-conversation": "c-1"})[0] == "teacher"
    assert ask(served, EASY, model="auto@1", **{"x-breakeven-conversation": "c-1"}) == ("teacher", "sticky")
    assert ask(served, EASY, model="auto@1", **{"x-breakeven-conversation": "c-2"}) == ("student", "easy")


def test_pinned_turns_neither_use_nor_set_affinity(served: Gateway) -> None:
    assert ask(served, EASY, model="teacher") == ("teacher", "pinned")
    assert ask(served, EASY, EASY, model="auto@1") == ("student", "easy")


def test_affinity_is_recomputed_from_earlier_turns_after_a_restart(served: Gateway) -> None:
    admin = {"headers": {"authorization": f"Bearer {KEY}"}, "timeout": 30.0}
    httpx2.put(f"{served.url}/admin/policy", json={"threshold": 0.0}, **admin)
    assert ask(served, EASY)[0] == "teacher"
    served.stop()
    served.start()
    assert ask(served, EASY, EASY) == ("teacher", "sticky")


def test_sticky_false_disables_affinity(tmp_path: Path, gateway: Callable[..., Gateway]) -> None:
    rows = [{"prompt": EASY, "answer": "Blue.", "prompt_tokens": 20, "output_tokens": 3}]
    with replay(tmp_path, "student", rows) as student, replay(tmp_path, "teacher-model", rows) as teacher:
        served = gateway(student, teacher, routing={"sticky": False, "novelty_threshold": 1.0})
        assert ask(served, EASY, model="auto@0")[0] == "teacher"
        assert ask(served, EASY, EASY, model="auto@1") == ("student", "easy")
