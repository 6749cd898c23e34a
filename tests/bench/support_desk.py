"""`python -m tests.bench.support_desk`: from an empty folder to a watched router, by 500 requests of a support desk.

The real gateway stands before two replay servers. The student's answers, tokens and log-probabilities were recorded
from the student that was distilled for this desk; the teacher's answers are right. Answers are compared by a checker.
At the end fresh requests, none of which was seen before, say what is kept.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import httpx2

from breakeven.models import recorded
from breakeven.models.recorded import Recorded
from tests.support import processes

REQUESTS = 500
FRESH = 244
FLOOR = 0.95
SEED = 20261128
_ADMIN_KEY = "the-admin-key"
_CLIENTS = 4
# Comparisons that may wait; the script lets the gateway catch up, as real traffic does.
_WAITING = 48
_CATCH_UP_SECONDS = 240.0


class Played(NamedTuple):
    """What came out: the lines of the gateway's own log of stages; the share of fresh requests that the student
    answered, and the share of right answers to them, of the gateway and of the `student` alone; `teacher_calls` in all
    requests that were played.
    """

    log: list[str]
    reasons: dict[str, int]
    by_student: float
    right: float
    student: float
    stage: str
    teacher_calls: int


def play(folder: Path, requests: int = REQUESTS, seed: int = SEED, say: Callable[[str], None] = print) -> Played:
    """Play the desk in an empty folder, the recorded requests in the order that the seed gives."""
    every = recorded.load_desk()
    random.Random(seed).shuffle(every)
    with (
        processes.replay(folder, "student", [_by_student(row) for row in every], "--speed", "1000") as student_url,
        processes.replay(folder, "teacher", [_by_teacher(row) for row in every], "--speed", "1000") as teacher_url,
    ):
        config = {
            "student": {"base_url": student_url, "model": "student"},
            "teacher": {"base_url": teacher_url, "model": "teacher", "usd_per_million": processes.PRICES},
            "ledger": {"store_prompts": True},
            "road": {"advance": "auto", "scorer": "breakeven.models.recorded:score", "floor": FLOOR, "concurrency": 8},
        }
        with processes.gateway(folder, config, {"BREAKEVEN_ADMIN_KEY": _ADMIN_KEY}) as gateway:
            return _played(gateway, every[:requests], every[-FRESH:], say)


def _played(
    gateway: processes.Gateway, seen: Sequence[Recorded], fresh: Sequence[Recorded], say: Callable[[str], None]
) -> Played:
    client = httpx2.Client(base_url=gateway.url, timeout=60.0, headers={"authorization": f"Bearer {_ADMIN_KEY}"})
    with client, ThreadPoolExecutor(_CLIENTS) as pool:

        def ask(row: Recorded) -> tuple[str, str]:
            body = {"model": "auto", "messages": _messages(row)}
            answer = client.post("/v1/chat/completions", json=body)
            answer.raise_for_status()
            return answer.headers["x-breakeven-reason"], answer.json()["choices"][0]["message"]["content"]

        for begin in range(0, len(seen), _WAITING):
            list(pool.map(ask, seen[begin : begin + _WAITING]))
            _catch_up(client)
            if begin // _WAITING % 8 == 0:
                say(f"{begin + _WAITING} requests: stage {_state(client)['stage']}")
        _wait(lambda: _state(client)["stage"] in ("route", "watch"))
        # The gateway follows what it stored within a second.
        observing = 'breakeven_stage{breakeven_stage="observe",workload="default"} 1.0'
        _wait(lambda: observing not in client.get("/metrics").text)
        found = list(pool.map(ask, fresh))
        road = client.get("/admin/road", params={"limit": 1000}).json()
        stage = _state(client)["stage"]
    log = [f"{_clock(one['at'])} {one['stage']}: {one['text']}" for one in reversed(road["events"])]
    scores = [
        recorded.score(text, row.teacher, {"messages": _messages(row)})
        for (_, text), row in zip(found, fresh, strict=True)
    ]
    right, student = sum(scores) / len(fresh), sum(row.student_score for row in fresh) / len(fresh)
    reasons = dict(Counter(reason for reason, _ in found))
    by_student = reasons.get("easy", 0) / len(fresh)
    calls = gateway.sql("SELECT COUNT(*) FROM attempts WHERE upstream = 'teacher'")[0][0]
    return Played(log, reasons, by_student, right, student, stage, int(calls))


def _messages(row: Recorded) -> list[dict[str, str]]:
    return [{"role": "user", "content": row.prompt}]


def _by_student(row: Recorded) -> dict[str, Any]:
    counts = {"prompt_tokens": row.student_prompt_tokens, "output_tokens": row.student_tokens}
    return {"prompt": row.prompt, "answer": row.student, "tokens": row.tokens, "logprobs": row.logprobs, **counts}


def _by_teacher(row: Recorded) -> dict[str, Any]:
    counts = {"prompt_tokens": row.teacher_prompt_tokens, "output_tokens": row.teacher_tokens}
    return {"prompt": row.prompt, "answer": row.teacher, **counts}


def _catch_up(client: httpx2.Client) -> None:
    """Wait until what was drawn has been compared and stored, and no router is being trained."""
    last = -1

    def idle() -> bool:
        nonlocal last
        state, before = _state(client), last
        last = int(state["comparisons"])
        return last == before and last < int(state["next_look_at"])

    _wait(idle)


def _state(client: httpx2.Client) -> dict[str, Any]:
    answer = client.get("/admin/road")
    answer.raise_for_status()
    return next(dict(one) for one in answer.json()["workloads"] if one["workload"] == "default")


def _wait(reached: Callable[[], bool]) -> None:
    end = time.monotonic() + _CATCH_UP_SECONDS
    while not reached():
        if time.monotonic() > end:
            raise TimeoutError("the stage was not reached in time")
        time.sleep(0.5)


def _clock(microseconds: int) -> str:
    return time.strftime("%H:%M:%S", time.gmtime(microseconds / 1e6))


def main(arguments: Sequence[str] | None = None) -> None:
    """Play it and print what came out."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.support_desk", description=__doc__)
    parser.add_argument("--requests", type=int, default=REQUESTS, help=f"at most {REQUESTS}")
    parser.add_argument("--seed", type=int, default=SEED)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        found = play(Path(folder), options.requests, options.seed, lambda text: print(text, file=sys.stderr))
    print("\n".join(found.log))
    print(f"at the end: stage {found.stage}; the student answered {found.by_student:.1%} of {FRESH} fresh requests,")
    print(f"reasons: {found.reasons}")
    print(f"and {found.right:.1%} of the answers were right (floor {FLOOR:.0%}, the student alone {found.student:.1%})")


if __name__ == "__main__":
    main()
