"""A gateway with a week of a support desk's traffic behind it, for tests and pictures of the console."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2

from breakeven.models import recorded
from breakeven.router.model.artifact import load
from breakeven.router.text import read_chat
from tests.support import processes
from tests.support.clock import Clock
from tests.support.console import KEY

DAYS = 6
# The share of the requests that an operator's policy sends to the teacher.
SHARE = 0.4
CLIENT_KEYS = {"app": "sk-console-app", "batch": "sk-console-batch"}
# A prompt of the desk stands for a conversation of this many times its length.
_LENGTH = 60
HEADERS = {"authorization": f"Bearer {KEY}"}


def admin(gateway: processes.Gateway, path: str) -> dict[str, Any]:
    """The body of a GET of /admin/{path}."""
    answer: dict[str, Any] = httpx2.get(f"{gateway.url}/admin/{path}", headers=HEADERS, timeout=30.0).json()
    return answer


def ask(gateway: processes.Gateway, text: str, key: str = "app", workload: str = "") -> httpx2.Response:
    """A chat request of a client."""
    headers = {"authorization": f"Bearer {CLIENT_KEYS[key]}", "x-breakeven-workload": workload}
    body = {"model": "auto", "messages": [{"role": "user", "content": text}]}
    return httpx2.post(f"{gateway.base_url}/chat/completions", json=body, headers=headers, timeout=30.0)


@contextlib.contextmanager
def busy(folder: Path, requests: int = 420, candidate: bool = False) -> Iterator[processes.Gateway]:
    """The gateway; its clock stands still at the end of the traffic. `candidate`: with a next student beside."""
    desk = recorded.load_desk()[:requests]
    with contextlib.ExitStack() as stack:
        hardness = _hardness([row.prompt for row in desk])
        urls = [stack.enter_context(_upstream(folder, name, side, desk, hardness)) for name, side in (
            ("desk-135m", "student"), ("teacher-model", "teacher"), *([("desk-135m-v2", "next")] if candidate else []),
        )]  # fmt: skip
        now = datetime.datetime.now(datetime.UTC)
        begin = now - datetime.timedelta(days=DAYS)
        clock = Clock(folder, begin)
        config = _config(urls, begin)
        gateway = stack.enter_context(processes.gateway(folder, config, {**clock.env, "BREAKEVEN_ADMIN_KEY": KEY}))
        policy = {"threshold": sorted(hardness)[round((1 - SHARE) * len(desk))]}
        assert httpx2.put(f"{gateway.url}/admin/policy", json=policy, headers=HEADERS, timeout=30.0).status_code == 200
        for number, row in enumerate(desk):
            clock.set(begin + (now - begin) * (number + 1) / (len(desk) + 1))
            workload = "" if number % 3 else "orders"
            assert ask(gateway, row.prompt, "batch" if number % 4 == 0 else "app", workload).status_code == 200
        clock.set(now)
        assert httpx2.delete(f"{gateway.url}/admin/policy", headers=HEADERS, timeout=30.0).status_code == 200
        deadline = time.monotonic() + 120
        while admin(gateway, "report")["savings_usd"] is None or admin(gateway, "whatif")["comparisons_needed"]:
            assert time.monotonic() < deadline, admin(gateway, "report")
            time.sleep(0.2)
        yield gateway


def _hardness(prompts: list[str]) -> list[float]:
    """The scores of the router that ships."""
    artifact = load(None)
    return [artifact.assess(read_chat([{"role": "user", "content": one}]).text).score for one in prompts]


def _upstream(
    folder: Path, model: str, side: str, desk: list[Any], hardness: list[float]
) -> contextlib.AbstractContextManager[str]:
    """Recorded answers of the desk. The student's own are played for the harder half and some others; for the rest it
    says what the teacher says, as the next student does for nearly all.
    """
    half, rows = sorted(hardness)[len(desk) // 2], []
    for number, row in enumerate(desk):
        easy = hardness[number] < half and number % 9
        right = side == "teacher" or (side == "next" and number % 12) or (side == "student" and easy)
        of = "teacher" if right else "student"
        rows.append(
            {
                "prompt": row.prompt,
                "answer": getattr(row, of),
                "prompt_tokens": _LENGTH * getattr(row, f"{of}_prompt_tokens"),
                "output_tokens": _LENGTH * getattr(row, f"{of}_tokens"),
            }
        )
    return processes.replay(folder, model, rows, "--speed", "inf")


def _config(urls: list[str], begin: datetime.datetime) -> dict[str, Any]:
    student, teacher, *rest = urls
    config = processes.make_config(
        student,
        teacher,
        economics={"investment_usd": 30, "hosting_since": begin.isoformat()},
        road={"sample": 0.4, "scorer": "exact", "monthly_budget_usd": 1000, "labels": 100_000},
        ledger={"store_prompts": True, "store_conversations": True},
    )
    config["routing"] = {"start": "share", "teacher_share": SHARE, "novelty_threshold": 1.0, "sticky": False}
    config["student"] |= {"model": "desk-135m", "hosting_usd_per_hour": 0.02}
    config["workloads"] = ["orders"]
    config["auth"] = {
        "keys": [
            {"name": name, "sha256": hashlib.sha256(key.encode()).hexdigest()} for name, key in CLIENT_KEYS.items()
        ]
    }
    if rest:
        config["candidate"] = {"base_url": rest[0], "model": "desk-135m-v2", "share": 1.0}
    return config
