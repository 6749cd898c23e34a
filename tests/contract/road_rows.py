"""Comparisons in a ledger as live traffic would have left them: the student fails at prompts with hard words."""

from __future__ import annotations

import random
import time
import uuid
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, insert

from breakeven.gateway.ledger import schema
from breakeven.gateway.ledger.database import open_engine, transaction

# Words that tell the router that ships nothing.
HARD = ["garden", "tulip", "shovel", "fence", "hedge", "compost", "rose", "lawn"]
EASY = ["kitchen", "spoon", "kettle", "oven", "plate", "recipe", "soup", "bread"]


def prompt(rng: random.Random, *, hard: bool) -> str:
    return " ".join(["tell", "me", "of", *rng.choices(HARD if hard else EASY, k=4), str(rng.randrange(10**6))])


def enter(folder: Path, count: int, seed: int = 3, **options: Any) -> None:
    """Enter comparisons into the SQLite ledger of a folder; `options` are those of `enter_into`."""
    engine = open_engine(f"sqlite:///{folder / 'ledger.db'}")
    try:
        enter_into(engine, count, seed, **options)
    finally:
        engine.dispose()


def enter_into(
    engine: Engine,
    count: int,
    seed: int = 3,
    *,
    workload: str = "default",
    student: str = "small",
    teacher: str = "big",
    artifact: str = "0" * 12,
    direction: str = "teacher_answered",
    wrong_of_easy: float = 0.0,
    prompts: bool = True,
    candidate: str | None = None,
    wrong_of_candidate: float = 0.0,
) -> None:
    """Enter comparisons into a ledger, the newest one a moment ago. A `candidate` answers the same requests, and fails
    at a share of them, however hard.
    """
    rng = random.Random(seed)
    of_outcomes, of_comparisons, texts = [], [], []
    begun = time.time_ns() // 1000
    for number in range(count):
        hard = rng.random() < 0.3
        common = {"request": uuid.uuid4().hex, "at": begun + number, "weight": 1.0}
        score = float(not hard and rng.random() >= wrong_of_easy)
        of_outcomes.append(
            {**common, "source": "shadow", "score": 0.2, "novelty": 0.1, "artifact": artifact, "student_score": score,
             "teacher_score": 1.0, "student_tokens": 5, "teacher_tokens": 9, "version": student}
        )  # fmt: skip
        of_comparisons.append(
            {**common, "key": "", "student_input_value": 0, "student_output_value": 0, "teacher_input_cost": 0,
             "teacher_output_cost": 3_000_000 if hard else 1_000_000, "workload": workload, "size": 1,
             "direction": direction, "student_version": student, "teacher_version": teacher, "logprob": None,
             "source": "shadow"}
        )  # fmt: skip
        if candidate is not None:
            right = float(rng.random() >= wrong_of_candidate)
            of_outcomes.append({**of_outcomes[-1], "source": "candidate", "student_score": right, "version": candidate})
            of_comparisons.append({**of_comparisons[-1], "source": "candidate", "student_version": candidate})
        texts.append({"request": common["request"], "at": common["at"], "text": prompt(rng, hard=hard)})
    with transaction(engine, write=True) as connection:
        connection.execute(insert(schema.outcomes), of_outcomes)
        connection.execute(insert(schema.comparisons), of_comparisons)
        if prompts:
            connection.execute(insert(schema.prompts), texts)
