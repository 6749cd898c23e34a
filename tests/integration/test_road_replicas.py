"""Three gateways on one PostgreSQL: in every stage they agree within seconds, and go on where they were when killed."""

from __future__ import annotations

import contextlib
import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import Engine

from breakeven.gateway.ledger.database import open_engine
from tests.contract.road_rows import enter_into, prompt
from tests.support import processes

pytest.importorskip("psycopg", reason="psycopg is absent; install the extra postgres")

KEY = {"authorization": "Bearer the-admin-key"}
SECONDS = 180.0
# Within which replicas agree.
AGREE_SECONDS = 5.0


@pytest.fixture
def gateways(postgres_url: str, tmp_path: Path) -> Iterator[list[processes.Gateway]]:
    prompts = [prompt(random.Random(seed), hard=seed % 3 == 0) for seed in range(40)]
    rows = [{"prompt": one, "answer": "Yes.", "prompt_tokens": 9, "output_tokens": 2} for one in prompts]
    with contextlib.ExitStack() as stack:
        student = stack.enter_context(processes.replay(tmp_path, "student", rows))
        teacher = stack.enter_context(processes.replay(tmp_path, "teacher-model", rows))
        config = processes.make_config(
            student,
            teacher,
            ledger={"url": postgres_url, "journal": "journal", "store_prompts": True},
            routing={"threshold": None},
            road={"sample": 0.02, "scorer": "exact", "floor": 0.95},
        )
        started = []
        for name in "abc":
            folder = tmp_path / name
            folder.mkdir()
            gateway = processes.Gateway(folder, config, {"BREAKEVEN_ADMIN_KEY": "the-admin-key"})
            gateway.start()
            stack.callback(gateway.stop, signal.SIGKILL)
            started.append(gateway)
        yield started


def answer(gateway: processes.Gateway) -> tuple[str, str, str]:
    """Stage, artifact and threshold that a gateway decides with."""
    body = {"model": "auto", "messages": [{"role": "user", "content": prompt(random.Random(0), hard=True)}]}
    found = httpx2.post(f"{gateway.base_url}/chat/completions", json=body, timeout=20.0)
    assert found.status_code == 200
    return tuple(found.headers[f"x-breakeven-{name}"] for name in ("stage", "router", "threshold"))


def until(reached: Callable[[], bool], seconds: float = SECONDS) -> None:
    end = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < end, "it was not reached in time"
        time.sleep(0.1)


def agreed(gateways: list[processes.Gateway], stages: tuple[str, ...]) -> str:
    """Wait until one gateway is in one of the stages; the others must follow soon. Returns the artifact."""
    until(lambda: any(answer(one)[0] in stages for one in gateways))

    def all_there() -> bool:
        found = [answer(one) for one in gateways]
        return {one[0] for one in found} <= set(stages) and len({one[1:] for one in found}) == 1

    until(all_there, AGREE_SECONDS)
    return answer(gateways[0])[1]


def say(gateway: processes.Gateway, word: str) -> dict[str, Any]:
    found = httpx2.post(f"{gateway.url}/admin/road/default/{word}", headers=KEY, timeout=20.0)
    assert found.status_code == 200, found.text
    return dict(found.json())


def killed_and_started(gateway: processes.Gateway) -> None:
    gateway.stop(signal.SIGKILL)
    gateway.start()


@pytest.fixture
def engine(postgres_url: str) -> Iterator[Engine]:
    found = open_engine(postgres_url)
    yield found
    found.dispose()


def test_they_agree_and_go_on_in_every_stage(gateways: list[processes.Gateway], engine: Engine) -> None:
    versions = {"student": "student", "teacher": "teacher-model"}
    agreed(gateways, ("observe",))
    # Killed while observing, and again while a router is being trained.
    killed_and_started(gateways[0])
    enter_into(engine, 320, **versions)
    killed_and_started(gateways[1])
    agreed(gateways, ("propose",))

    for gateway in gateways:
        killed_and_started(gateway)
    artifact = say(gateways[2], "apply")["in_force"]["artifact"]
    assert agreed(gateways, ("route", "watch")) == artifact
    for gateway in gateways:
        killed_and_started(gateway)
    assert agreed(gateways, ("route", "watch")) == artifact

    enter_into(engine, 40, seed=5, artifact=artifact, direction="student_answered", **versions)
    agreed(gateways, ("watch",))
    killed_and_started(gateways[0])
    assert agreed(gateways, ("watch",)) == artifact
    # The one that holds the lease dies with the alarm in sight: another one takes over.
    enter_into(engine, 400, 6, artifact=artifact, direction="student_answered", wrong_of_easy=0.7, **versions)
    gateways[0].stop(signal.SIGKILL)
    agreed(gateways[1:], ("observe",))
