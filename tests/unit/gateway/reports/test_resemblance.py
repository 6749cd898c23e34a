"""Which share of the newest prompts resembles earlier ones."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path

from breakeven.gateway.reports.resemblance import LEAST_PROMPTS, resemblance

QUESTIONS = (
    "Where is my parcel {n}?", "Please cancel order {n} and refund me.", "How do I reset the password of account {n}?",
    "Which train leaves for Ghent after {n} o'clock?", "Translate contract {n} into Dutch.",
)  # fmt: skip


def unlike(rng: random.Random) -> str:
    return " ".join("".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=7)) for _ in range(12))


def test_the_share_of_repeated_forms_is_found() -> None:
    rng = random.Random(3)
    texts = [
        rng.choice(QUESTIONS).format(n=rng.randrange(10**6)) if rng.random() < 0.6 else unlike(rng) for _ in range(1500)
    ]
    found = resemblance(texts)
    assert found is not None
    assert (found.newest, found.earlier) == (500, 1000)
    assert found.alike.low < 0.6 < found.alike.high
    assert found.alike.high - found.alike.low < 0.1


def test_copies_are_near_copies_and_strangers_are_not_alike() -> None:
    rng = random.Random(4)
    originals = [unlike(rng) for _ in range(400)]
    copied = resemblance([*originals, *(text.upper() + "!" for text in originals[:200])])
    assert copied is not None
    assert copied.near_copies.value > 0.95
    strangers = resemblance([*originals, *(unlike(rng) for _ in range(200))])
    assert strangers is not None
    assert strangers.alike.value == 0
    assert strangers.alike.high < 0.03


def test_too_few_prompts_say_nothing() -> None:
    assert resemblance(["hello"] * (LEAST_PROMPTS - 1)) is None
    assert resemblance(["", " ", "\ud800"] * LEAST_PROMPTS) is not None


def test_the_newest_are_compared_and_only_with_earlier_ones() -> None:
    rng = random.Random(5)
    old, new = [unlike(rng) for _ in range(400)], [unlike(rng) for _ in range(200)]
    # Among themselves the newest are all alike, which says nothing of what came before.
    found = resemblance([*old, *(new[0] for _ in range(200))])
    assert found is not None
    assert found.alike.value == 0


def test_on_prompts_of_real_people(shared: Path) -> None:
    def prompts(name: str, source: str | None = None) -> list[str]:
        with gzip.open(shared / "data" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
            rows = [json.loads(line) for line in file]
        return [row["prompt"] for row in rows if source is None or row["source"] == source]

    everyday = prompts("everyday_reference", "clinc150")
    random.Random(6).shuffle(everyday)
    same = resemblance(everyday)
    assert same is not None
    # About fourteen questions of each intent.
    assert 0.5 < same.alike.value < 0.7
    assert same.near_copies.value < 0.03
    unlike_these = prompts("ood_prompts")
    other = resemblance([*everyday[: 2 * len(unlike_these)], *unlike_these])
    assert other is not None
    assert other.newest == len(unlike_these)
    assert other.alike.value < 0.02
