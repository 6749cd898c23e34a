"""From requests through a gateway to a dataset: `breakeven distill harvest`, and what trains on its rows."""

from __future__ import annotations

import json
import random
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from breakeven.models.data.rows import read
from tests.contract.client import eventually
from tests.contract.gateway import Gateway, chat, running
from tests.contract.scripted import answer, completion
from tests.contract.test_road import breakeven

CONFIG: dict[str, Any] = {
    "routing": {"threshold": 0.5},
    "road": {"sample": 1.0, "scorer": "exact", "max_queue": 1000, "concurrency": 8},
    "ledger": {"store_conversations": True},
    "workloads": ["desk"],
}
CONSENT = "--i-may-train-on-these-outputs"
WORDS = [
    f"{start}{end}" for start in ("bar", "cel", "dor", "fin", "gul", "har") for end in ("den", "lo", "mi", "rus", "t")
]


def question(number: int) -> str:
    """Questions of which no two are alike."""
    told = " ".join(random.Random(number).choices(WORDS, k=30))
    return f"What can I do about this: {told}?"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with running(tmp_path_factory.mktemp("harvested"), CONFIG) as gateway:
        gateway.student.default(*answer(completion("the student's words")))
        gateway.teacher.default(*answer(completion("the teacher's words")))
        for number in range(30):
            gateway.post(chat(question(number), model="auto@0"))
        lost = [gateway.post(chat(question(number), model="auto@1")) for number in range(30, 42)]
        gateway.post(chat(question(1) + " Thanks!", model="auto@0"))
        gateway.post(chat(question(2).upper(), model="auto@0"))
        gateway.post(chat("of another workload entirely", model="auto@0"), {"x-breakeven-workload": "desk"})
        disliked = gateway.post(chat(question(50), model="auto@0"))
        feedback(gateway, disliked, 0.0)
        feedback(gateway, lost[0], 0.0)
        gateway.write_config({"road": {"sample": 0}})
        eventually(lambda: b"the config was reloaded" in gateway.log.read_bytes())
        feedback(gateway, gateway.post(chat(question(60), model="auto@1")), 0.0)
        for number in range(70, 75):
            gateway.post(chat(question(number), model="auto@0"))
        gateway.teacher.script(*answer(completion("I'm sorry, I cannot help with that.")))
        gateway.post(chat(question(61), model="auto@0"))
        # 30 + 12 + 3 + 1 + 5 + 1 answers of the teacher, and 13 of the student.
        counts = "SELECT kind, count(*) FROM conversations WHERE kind != 'comparison' GROUP BY kind"
        eventually(lambda: dict(gateway.rows(counts)) == {"teacher": 52, "student": 13})
        yield gateway


def feedback(gateway: Gateway, response: Any, score: float) -> None:
    body = {"request_id": response.headers["x-request-id"], "score": score}
    assert gateway.post(body, path="/v1/feedback").status < 300


def harvest(gateway: Gateway, out: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return breakeven(gateway, "distill", "harvest", "--out", str(out), *arguments)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_traffic_becomes_a_dataset(gateway: Gateway, tmp_path: Path) -> None:
    out = tmp_path / "desk"
    done = harvest(gateway, out, CONSENT, "--eval-share", "0.3")
    assert done.returncode == 0, done.stderr
    train, held_out = lines(out / "train.jsonl"), lines(out / "eval.jsonl")
    card = json.loads((out / "card.json").read_text())
    assert card["left_out"]["refused"] == 1
    assert card["left_out"]["bad feedback on the teacher's answer"] == 1
    repeated = sum(card["left_out"].get(name, 0) for name in ("near-duplicate", "like a held-out row"))
    # All 52 that the teacher answered, without the two above.
    assert (repeated, len(train) + len(held_out)) == (2, 48)
    # What was compared the student has lost.
    assert Counter(card["reasons"]["train"]) + Counter(card["reasons"]["eval"]) == {"lost": 43, "difficult": 5}
    assert {row["messages"][-1]["content"] for row in (*train, *held_out)} == {"the teacher's words"}
    assert {row["teacher_model"] for row in train} == {"big"}
    assert {row["category"] for row in (*train, *held_out)} == {"default", "desk"}
    assert train[0]["teacher_usage"] == {"prompt_tokens": 10, "output_tokens": 3}
    # 160 microdollars for each answer.
    assert float(card["cost"]["paid_by_traffic_usd"]) == pytest.approx(160e-6 * (len(train) + len(held_out)))
    assert card["cost"]["usd"] == "0"
    assert "cost: 0 USD; in traffic these answers have cost 0.00768 USD" in done.stdout
    assert len(read([out / "train.jsonl", out / "eval.jsonl"])) == len(train) + len(held_out)
    ((unanswered),) = lines(out / "unanswered.jsonl")
    assert unanswered["messages"] == [{"role": "user", "content": question(60)}]
    assert f"breakeven distill generate {out / 'unanswered.jsonl'}" in done.stdout
    assert "Its creator stated on" in (out / "README.md").read_text()


def test_consent_is_asked_once_and_names_the_models(gateway: Gateway, tmp_path: Path) -> None:
    out = tmp_path / "desk"
    done = harvest(gateway, out)
    assert (done.returncode, done.stdout) == (2, "")
    assert "these are answers of big (50); many providers forbid training" in done.stderr
    assert list(out.glob("*.jsonl")) == []
    assert harvest(gateway, out, CONSENT).returncode == 0
    assert harvest(gateway, out).returncode == 0
    done = harvest(gateway, out, "--eval-share", "0.5")
    assert "holds answers with eval_share 0.1, not 0.5" in done.stderr


def test_a_row_stays_on_its_side(gateway: Gateway, tmp_path: Path) -> None:
    sides: dict[str, set[str]] = {"train": set(), "eval": set()}
    for number, chosen in enumerate(([], ["--workload", "default"], ["--rows", "12"], ["--reason", "lost"])):
        out = tmp_path / str(number)
        assert harvest(gateway, out, CONSENT, "--eval-share", "0.3", *chosen).returncode == 0
        for side, ids in sides.items():
            ids |= {row["id"] for row in lines(out / f"{side}.jsonl")}
    assert sides["train"]
    assert sides["eval"]
    assert not sides["train"] & sides["eval"]


def test_a_part_can_be_chosen(gateway: Gateway, tmp_path: Path) -> None:
    assert harvest(gateway, tmp_path / "a", CONSENT, "--workload", "desk", "--eval-share", "0").returncode == 0
    (row,) = lines(tmp_path / "a/train.jsonl")
    assert row["messages"][0]["content"] == "of another workload entirely"
    assert "category" not in row
    assert harvest(gateway, tmp_path / "b", CONSENT, "--rows", "5").returncode == 0
    assert len(lines(tmp_path / "b/train.jsonl")) == 5
    for chosen, said in (
        (("--since", "2100-01-01"), "no conversation is stored: set ledger.store_conversations: true"),
        (("--workload", "none"), "no conversation is stored"),
        (("--reason", "novel"), "no conversation has one of the reasons of --reason; there are 4"),
        (("--reason", "dull"), "--reason dull: must be one of lost, feedback, escalated, difficult, novel, other"),
    ):
        done = harvest(gateway, tmp_path / "c", CONSENT, *chosen)
        assert (done.returncode, done.stdout) == (2, "")
        assert said in done.stderr
