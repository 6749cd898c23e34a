"""Who asks what and when in the played weeks: a support desk with quiet nights, two workloads and three keys."""

from __future__ import annotations

import datetime
import hashlib
import math
import random
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from breakeven.models import recorded
from breakeven.models.recorded import Recorded
from tests.support import processes

# Each recorded request stands for so many tokens of a desk that sends long manuals with each question.
TOKENS = 120
# The recorded teacher writes as little as the student; the played one writes so many times as much.
WORDY = (0.9, 1.7)
# Of what the student got wrong, the share that the played candidate answers like the teacher.
MENDED = 0.7
KEYS = ("web", "mobile", "partner")
ADMIN_KEY = "the-admin-key"
BOT, MAIL = "chat", "mail"
MODELS = {"student": "student", "candidate": "student-2", "teacher": "teacher-model"}


class Asked(NamedTuple):
    """A request of the desk: the row that is asked, the key's name and the workload."""

    row: Recorded
    key: str
    workload: str


def rows_of(side: str) -> list[dict[str, Any]]:
    """The answers of `student`, `candidate` or `teacher` for a replay server. The candidate is the recorded student
    with the teacher's answer to some of what it got wrong.
    """
    rng, wordy = random.Random(7), random.Random(8)
    found = []
    for row in recorded.load_desk():
        mended = side == "candidate" and row.student_score < 1 and rng.random() < MENDED
        who = "teacher" if side == "teacher" or mended else "student"
        prompt, output = (TOKENS * getattr(row, f"{who}_{name}") for name in ("prompt_tokens", "tokens"))
        if side == "teacher":
            output = round(output * wordy.uniform(*WORDY))
        one = {
            "prompt": row.prompt,
            "answer": getattr(row, who),
            "prompt_tokens": prompt,
            "cached_tokens": prompt // 3,
            "output_tokens": output,
        }
        if who == "student":
            one |= {"tokens": row.tokens, "logprobs": row.logprobs}
        found.append(one)
    return found


def secret(key: str) -> str:
    """The secret of a client key."""
    return f"sk-of-{key}"


def config(urls: dict[str, str], begin: datetime.datetime) -> dict[str, Any]:
    """The gateway's config, for the base URLs of `student` and `teacher`."""
    made = processes.make_config(
        urls["student"],
        urls["teacher"],
        student={"hosting_usd_per_hour": 0.03, "breaker": {"pause_seconds": 1, "consecutive_failures": 4}},
        economics={"investment_usd": 50, "hosting_since": begin.isoformat()},
        road={
            "sample": 0.1,
            "advance": "auto",
            "floor": 0.95,
            "scorer": "breakeven.models.recorded:score",
            "concurrency": 8,
            "monthly_budget_usd": 500,
        },
        ledger={"store_prompts": True},
    )
    made["teacher"]["breaker"] = {"pause_seconds": 1, "consecutive_failures": 4}
    made["workloads"] = [BOT, MAIL]
    made["auth"] = {
        "keys": [
            {"name": key, "sha256": hashlib.sha256(secret(key).encode()).hexdigest(), "workload": BOT} for key in KEYS
        ]
    }
    del made["routing"]["threshold"]
    return made


def candidate(url: str) -> dict[str, Any]:
    """The config section of the candidate."""
    return {"base_url": url, "model": MODELS["candidate"], "hosting_usd_per_hour": 0.03}


def requests(seed: int, a_day: float) -> Iterator[Sequence[Asked]]:
    """What is asked in each minute from midnight on, without end; about `a_day` requests in a working day."""
    rng = random.Random(seed)
    rows: list[Recorded] = []
    minute = 0
    while True:
        asked = []
        for _ in range(_poisson(rng, a_day * _busy(minute))):
            if not rows:
                rows = recorded.load_desk()
                rng.shuffle(rows)
            key = rng.choices(KEYS, (6, 3, 1))[0]
            asked.append(Asked(rows.pop(), key, MAIL if rng.random() < 0.14 else BOT))
        yield asked
        minute += 1


def _busy(minute: int) -> float:
    """The share of a working day's requests in this minute: most at two in the afternoon, half of them on weekends."""
    hour, day = minute / 60 % 24, minute // 1440
    of_day = math.exp(-(((hour - 14) / 4.5) ** 2)) + 0.08
    return of_day / 600 * (0.5 if day % 7 in (5, 6) else 1.0)


def _poisson(rng: random.Random, mean: float) -> int:
    limit, product, count = math.exp(-mean), rng.random(), 0
    while product > limit:
        product *= rng.random()
        count += 1
    return count
