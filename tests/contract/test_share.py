"""`start: share`: the hardest part of each workload's own traffic goes to the teacher."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.client import Response, eventually
from tests.contract.gateway import Gateway, chat, running

SHARE = 0.2
_SUBJECTS = ["soup", "the garden", "my bicycle", "a birthday card", "the train", "our cat", "tea", "a red coat"]
_PLAIN = [
    "hi, how are you with {}?",
    "thanks for {}!",
    "what does {} cost?",
    "where can I find {}?",
    "tell me about {}",
]
_THINGS = ["a finite group", "a compact operator", "a replicated log", "a lock-free queue", "a Markov chain", "a DAG"]
_HARD = [
    "Prove that {} with these properties is unique up to isomorphism, and derive the bound step by step.",
    "Design {} that survives network partitions, and analyse its complexity and failure modes rigorously.",
    "Debug why {} violates linearizability under concurrent writers; reason about every interleaving.",
]


def prompts(rng: random.Random, hard_share: float) -> Iterator[str]:
    """Different prompts, of which about `hard_share` are hard ones."""
    for number in itertools.count():
        hard = rng.random() < hard_share
        pattern, what = (
            (rng.choice(_HARD), rng.choice(_THINGS)) if hard else (rng.choice(_PLAIN), rng.choice(_SUBJECTS))
        )
        yield pattern.format(what) + f" ({number} {rng.choice(_SUBJECTS)})"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    config = {
        "routing": {"threshold": None, "start": "share", "teacher_share": SHARE},
        "workloads": ["proofs"],
    }
    with running(tmp_path_factory.mktemp("share"), config, log_level="warning") as gateway:
        yield gateway


def send(gateway: Gateway, texts: Iterator[str], count: int, workload: str) -> list[Response]:
    headers = {"x-breakeven-workload": workload}
    return [gateway.post(chat(text), headers) for text in itertools.islice(texts, count)]


def threshold(gateway: Gateway, workload: str) -> float:
    # A pinned request is not scored, and so does not change what is asked for.
    answer = gateway.post(chat(model="student"), {"x-breakeven-workload": workload})
    return float(answer.headers["x-breakeven-threshold"])


def test_a_fifth_of_each_workload_goes_to_the_teacher_once_its_scores_are_known(gateway: Gateway) -> None:
    rng = random.Random(20)
    traffic = {"default": prompts(rng, 0.3), "proofs": prompts(rng, 0.9)}
    found = {}
    for workload, texts in traffic.items():
        first = send(gateway, texts, 210, workload)
        # Until then the scores are ranks among reference prompts.
        assert first[0].headers["x-breakeven-threshold"].rstrip("0") == "0.8"
        eventually(lambda name=workload: threshold(gateway, name) != 1.0 - SHARE, seconds=15.0)
        found[workload] = threshold(gateway, workload)
        answers = send(gateway, texts, 400, workload)
        share = sum(answer.headers["x-breakeven-route"] == "teacher" for answer in answers) / len(answers)
        assert share == pytest.approx(SHARE, abs=0.06)
        assert {answer.headers["x-breakeven-reason"] for answer in answers} == {"easy", "difficult"}
    assert found["proofs"] > found["default"]


def test_a_fifth_of_all_turns_of_conversations_goes_to_the_teacher(tmp_path: Path) -> None:
    """A conversation that was put on the teacher stays there, without a score; one on the student is scored again."""
    config = {"routing": {"threshold": None, "start": "share", "teacher_share": SHARE, "sticky": True}}
    rng = random.Random(21)
    texts, names = prompts(rng, 0.1), itertools.count()
    with running(tmp_path, config, log_level="warning") as gateway:

        def talk(conversations: int) -> float:
            """The share of the teacher among their turns, four of each."""
            answers = []
            for _ in range(conversations):
                first, *later = next(texts), "thanks", "and then?", "ok, bye"
                said = [{"role": "user", "content": first}]
                headers = {"x-breakeven-conversation": str(next(names))}
                for text in (*later, None):
                    answers.append(gateway.post({"model": "auto", "messages": said}, headers))
                    reply = answers[-1].json["choices"][0]["message"]
                    said = [*said, reply, {"role": "user", "content": text}]
            return sum(one.headers["x-breakeven-route"] == "teacher" for one in answers) / len(answers)

        for count in (120, 150):
            before = threshold(gateway, "default")
            talk(count)
            eventually(lambda old=before: threshold(gateway, "default") != old, seconds=12.0)
        # A fifth of the decisions would be nearly two fifths of the turns.
        assert talk(300) == pytest.approx(SHARE, abs=0.08)


def test_a_threshold_of_the_clients_own_holds(gateway: Gateway) -> None:
    answer = gateway.post(chat("hello there", model="auto@0"))
    assert (answer.headers["x-breakeven-route"], answer.headers["x-breakeven-reason"]) == ("teacher", "difficult")
