"""Comparisons in a ledger as live traffic would have left them: the student fails at prompts with hard words."""

from __future__ import annotations

import contextlib
import random
import sqlite3
import time
import uuid
from pathlib import Path

# Words that tell the router that ships nothing.
HARD = ["garden", "tulip", "shovel", "fence", "hedge", "compost", "rose", "lawn"]
EASY = ["kitchen", "spoon", "kettle", "oven", "plate", "recipe", "soup", "bread"]


def prompt(rng: random.Random, *, hard: bool) -> str:
    return " ".join(["tell", "me", "of", *rng.choices(HARD if hard else EASY, k=4), str(rng.randrange(10**6))])


def enter(
    folder: Path,
    count: int,
    seed: int = 3,
    *,
    workload: str = "default",
    student: str = "small",
    artifact: str = "0" * 12,
    direction: str = "teacher_answered",
    wrong_of_easy: float = 0.0,
    prompts: bool = True,
) -> None:
    rng = random.Random(seed)
    outcomes, comparisons, texts = [], [], []
    begun = time.time_ns() // 1000
    for number in range(count):
        hard, at = rng.random() < 0.3, begun + number
        score = float(not hard and rng.random() >= wrong_of_easy)
        request = uuid.uuid4().hex
        outcomes.append((request, "shadow", at, 0.2, 0.1, artifact, score, 1.0, 5, 9, 1.0))
        cost = 3_000_000 if hard else 1_000_000
        comparisons.append(
            (request, at, "", 0, 0, 0, cost, 1.0, workload, 1, "shadow", direction, student, "big", -0.5)
        )
        texts.append((request, at, prompt(rng, hard=hard)))
    with contextlib.closing(sqlite3.connect(folder / "ledger.db", timeout=10)) as connection, connection:
        names = "request, source, at, score, novelty, artifact, student_score, teacher_score, student_tokens"
        connection.executemany(
            f"INSERT INTO outcomes ({names}, teacher_tokens, weight) VALUES ({','.join('?' * 11)})", outcomes
        )
        names = (
            "request, at, key, student_input_value, student_output_value, teacher_input_cost, teacher_output_cost, "
            "weight, workload, size, source, direction, student_version, teacher_version, logprob"
        )
        connection.executemany(f"INSERT INTO comparisons ({names}) VALUES ({','.join('?' * 15)})", comparisons)
        if prompts:
            connection.executemany("INSERT INTO prompts VALUES (?, ?, ?)", texts)
