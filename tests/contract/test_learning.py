"""`train --from-ledger`: from shadow traffic and feedback to a better router, live without a restart."""

from __future__ import annotations

import contextlib
import random
import re
import shutil
import sqlite3
import subprocess
import uuid
from pathlib import Path

import pytest

from tests.contract.client import eventually
from tests.contract.gateway import ROOT, Gateway, chat, running
from tests.support.processes import BREAKEVEN

# Words that tell the router that ships nothing.
HARD = ["garden", "tulip", "shovel", "fence", "hedge", "compost", "rose", "lawn"]
EASY = ["kitchen", "spoon", "kettle", "oven", "plate", "recipe", "soup", "bread"]


def breakeven(gateway: Gateway, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*BREAKEVEN, *arguments, "--config", str(gateway.path)],
        capture_output=True, text=True, cwd=ROOT, env=gateway.environment, timeout=120, check=False,
    )  # fmt: skip


def enter(folder: Path, count: int, noise: float = 0.05) -> None:
    """Outcomes as shadow traffic would have found them: the student fails at hard words, but for noise."""
    rng = random.Random(3)
    outcomes, prompts = [], []
    for at in range(count):
        hard = rng.random() < 0.4
        text = " ".join(["tell", "me", "of", *rng.choices(HARD if hard else EASY, k=4), str(at)])
        score = float(not hard) if rng.random() >= noise else float(rng.random() < 0.5)
        request = uuid.uuid4().hex
        outcomes.append((request, "shadow", at, 0.2, 0.1, "0" * 12, score, 1.0, 5, 9, 1.0))
        prompts.append((request, at, text))
    with contextlib.closing(sqlite3.connect(folder / "ledger.db")) as connection, connection:
        names = "request, source, at, score, novelty, artifact, student_score, teacher_score, student_tokens"
        connection.executemany(
            f"INSERT INTO outcomes ({names}, teacher_tokens, weight) VALUES ({','.join('?' * 11)})", outcomes
        )
        connection.executemany("INSERT INTO prompts VALUES (?, ?, ?)", prompts)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "router" / "shipped", tmp_path / "router")
    return tmp_path


def test_a_better_challenger_goes_live_without_a_restart(folder: Path) -> None:
    out = folder / "router"
    # The made-up rows are from 1970.
    with running(folder, {"routing": {"artifact": str(out)}, "ledger": {"keep_prompts_days": 36_000}}) as gateway:
        before = gateway.post(chat("hi")).headers["x-breakeven-router"]
        enter(folder, 400)
        done = breakeven(gateway, "train", "--from-ledger", "--out", str(out))
        assert done.returncode == 0, done.stdout + done.stderr
        apgr = [float(value) for value in re.findall(r"APGR ([\d.]+)", done.stdout)]
        assert apgr[1] > apgr[0]
        eventually(lambda: gateway.post(chat("hi")).headers["x-breakeven-router"] != before)
        easy, hard = (
            float(gateway.post(chat(f"tell me of {' '.join(words[:4])}")).headers["x-breakeven-score"])
            for words in (EASY, HARD)
        )
        assert easy < hard
    assert not (folder / "router.challenger").exists()


def test_a_challenger_that_is_not_better_stays_outside(folder: Path) -> None:
    """There is nothing to learn from coin flips: whichever is ahead, it is not so in every draw."""
    out = folder / "router"
    with running(folder, {"routing": {"artifact": str(out)}, "ledger": {"keep_prompts_days": 36_000}}) as gateway:
        enter(folder, 400, noise=1.0)
        live = (out / "metadata.json").read_bytes()
        done = breakeven(gateway, "train", "--from-ledger", "--out", str(out), "--confidence", "1")
        assert done.returncode == 3, done.stdout + done.stderr
        assert f"the champion stays; the challenger is in {out}.challenger" in done.stdout
        assert (out / "metadata.json").read_bytes() == live


def test_too_few_outcomes_say_what_to_turn_on(folder: Path) -> None:
    with running(folder) as gateway:
        enter(folder, 10)
        done = breakeven(gateway, "train", "--from-ledger", "--out", str(folder / "new"))
    assert done.returncode == 2
    assert "the ledger has 10 outcomes, 10 with their prompt" in done.stderr
    assert "100 are needed: turn on road.sample and ledger.store_prompts" in done.stderr
    assert not (folder / "new").exists()


def test_purge_removes_the_prompts_and_nothing_else(folder: Path) -> None:
    with running(folder, {"ledger": {"store_prompts": True}}) as gateway:
        gateway.post(chat("keep me"))
        eventually(lambda: gateway.rows("SELECT count(*) FROM prompts") == [(1,)])
        assert "removed 0 prompts" in breakeven(gateway, "purge", "--before", "2020-01-01").stdout
        assert "removed 1 prompts" in breakeven(gateway, "purge").stdout
        assert gateway.rows("SELECT count(*) FROM prompts") == [(0,)]
        assert gateway.rows("SELECT count(*) FROM requests") == [(1,)]


def test_kept_prompts_are_removed_after_their_days(folder: Path) -> None:
    with running(folder, {"ledger": {"store_prompts": True, "keep_prompts_days": 1}}) as gateway:
        enter(folder, 5)
        gateway.stop()
        gateway.start()
        eventually(lambda: gateway.rows("SELECT count(*) FROM prompts") == [(0,)])
        assert gateway.rows("SELECT count(*) FROM outcomes") == [(5,)]
