"""From paid answers to the next student, on the support desk, with a real vLLM and LoRA adapters that are trained here.

Version 1 knows one kind of request. What it loses in traffic is harvested and trained on, and version 2 is promoted.
Version 3, whose training went wrong, is dropped.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import fmean
from typing import Any, TypeVar

import httpx2
import pytest
import yaml

from breakeven.models.examples.support import COMMON, SYSTEM
from tests.support import processes, real

KNOWN, LOST = "status", "login"
ADMIN = {"authorization": "Bearer admin"}
_SECONDS = 900.0
_AT_ONCE = 4
_T = TypeVar("_T")


class Desk:
    """Requests of two kinds, no two alike, and the program's answers to them."""

    def __init__(self, count: int) -> None:
        """`count`: of each kind."""
        rng = random.Random(5)
        self.answers: dict[str, str] = {}
        self._waiting: dict[str, list[str]] = {}
        for kind in (KNOWN, LOST):
            made = dict(COMMON[kind](rng) for _ in range(2 * count))
            self._waiting[kind] = list(made)[:count]
            self.answers |= made

    def rows(self) -> list[dict[str, Any]]:
        """What the replay server answers."""
        return [{"prompt": p, "answer": a, "prompt_tokens": 20, "output_tokens": 8} for p, a in self.answers.items()]

    def taken(self, count: int, *kinds: str) -> list[str]:
        """The next requests, of these kinds in turn; none is given twice."""
        return [self._waiting[kind].pop(0) for kind in itertools.islice(itertools.cycle(kinds), count)]

    @staticmethod
    def kind(answer: str) -> str:
        """The kind of a request with this answer."""
        return KNOWN if answer.startswith("LOOKUP") else LOST


def messages(prompt: str) -> list[dict[str, str]]:
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": prompt}]


def breakeven(*arguments: object, python: object = processes.BREAKEVEN[0]) -> str:
    """Run a command; its output."""
    line = [str(python), *processes.BREAKEVEN[1:], *map(str, arguments)]
    env = {**os.environ, "PYTHONPATH": processes.CHECKOUT, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(line, capture_output=True, text=True, env=env, timeout=_SECONDS, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


def trained(out: Path, rows: list[Path], *, steps: int, rate: float) -> Path:
    """Adapters for SmolLM2, trained on these rows; their folder."""
    options = ["--lora", 8, "--max-steps", steps, "--batch-size", 6, "--learning-rate", rate, "--max-length", 128]
    said = breakeven(
        *("distill", "train", *rows, "--out", out, "--student", real.smollm2(), "--cpu", *options),
        python=real.training_python(),
    )
    assert f"--max-lora-rank 8 --lora-modules {out.name}={out / 'adapters'}" in said
    return out / "adapters"


def load(vllm: real.Vllm, name: str, folder: Path) -> None:
    """Load adapters into the running server, as an operator does."""
    body = {"lora_name": name, "lora_path": str(folder)}
    httpx2.post(f"{vllm.base_url}/load_lora_adapter", json=body, timeout=300.0).raise_for_status()


class Traffic:
    """Clients of a gateway, some at once."""

    def __init__(self, gateway: processes.Gateway, desk: Desk) -> None:
        self.gateway = gateway
        self._desk = desk

    def ask(self, prompt: str, model: str = "auto") -> str:
        body = {"model": model, "max_tokens": 20, "temperature": 0, "messages": messages(prompt)}
        answer = httpx2.post(f"{self.gateway.base_url}/chat/completions", json=body, timeout=300.0)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["choices"][0]["message"]["content"])

    def compared(self, prompts: Sequence[str]) -> None:
        """Send requests that the teacher answers, and wait until what they are compared with has answered."""
        for start in range(0, len(prompts), _AT_ONCE):
            some, before = prompts[start : start + _AT_ONCE], self._comparisons()
            with ThreadPoolExecutor(_AT_ONCE) as clients:
                assert list(clients.map(self.ask, some)) == [self._desk.answers[prompt] for prompt in some]
            until(lambda before=before, some=some: self._comparisons() >= before + len(some) or None)

    def until_phase(self, phase: str, most: int, *kinds: str) -> dict[str, Any]:
        """Send requests of these kinds until the experiment is in this phase; what is known of it then."""
        for _ in range(most // _AT_ONCE):
            self.compared(self._desk.taken(_AT_ONCE, *kinds))
            if self.standing()["phase"] == phase:
                break
        return until(lambda: found if (found := self.standing())["phase"] == phase else None)

    def asked(self, prompt: str) -> str:
        """The version of the student that answers a request for it."""
        self.ask(prompt, "student")
        newest = (
            "SELECT a.version FROM attempts a JOIN requests r ON r.id = a.request WHERE r.pinned ORDER BY r.at DESC"
        )
        return str(until(lambda: self.gateway.sql(newest) or None)[0][0])

    def standing(self) -> dict[str, Any]:
        found: dict[str, Any] = httpx2.get(f"{self.gateway.url}/admin/candidate", headers=ADMIN, timeout=60.0).json()
        return found

    def configured(self, config: dict[str, Any]) -> None:
        """Change the config file, and wait until it is in force."""
        before = self.gateway.child.said().count("the config was reloaded")
        fresh = self.gateway.config.with_suffix(".new")
        fresh.write_text(yaml.safe_dump(config))
        fresh.replace(self.gateway.config)
        until(lambda: self.gateway.child.said().count("the config was reloaded") > before or None)

    def scores(self, source: str, kind: str) -> list[float]:
        """The scores of comparisons of this source, of requests of a kind."""
        rows = self.gateway.sql(
            "SELECT p.text, o.student_score FROM outcomes o JOIN prompts p ON p.request = o.request "
            f"WHERE o.source = '{source}'"
        )
        return [score for prompt, score in rows if self._desk.kind(self._desk.answers[prompt]) == kind]

    def _comparisons(self) -> int:
        return int(self.gateway.sql("SELECT count(*) FROM requests WHERE reason = 'shadow'")[0][0])


def until(found: Callable[[], _T | None], seconds: float = 300.0) -> _T:
    """What the function returns once that is not None. Raises AssertionError after some seconds."""
    end = time.monotonic() + seconds
    while (one := found()) is None:
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.2)
    return one


def harvested(gateway: processes.Gateway, out: Path) -> list[dict[str, Any]]:
    """The training rows of a dataset that is made of what the gateway has kept."""
    breakeven("distill", "harvest", "--config", gateway.config, "--out", out, "--i-may-train-on-these-outputs")
    return [json.loads(line) for line in (out / "train.jsonl").read_text().splitlines()]


@contextlib.contextmanager
def desk_server() -> Iterator[real.Vllm]:
    """A vLLM that loads adapters while it runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VLLM_ALLOW_RUNTIME_LORA_UPDATING", "True")
        # Two threads wait for each other at each layer: on a busy machine one alone is several times as fast.
        patch.setenv("VLLM_CPU_OMP_THREADS_BIND", "nobind")
        patch.setenv("OMP_NUM_THREADS", "1")
        # One more than are loaded: on a CPU vLLM takes the last for requests without an adapter (its issue 48421).
        more = ["--enable-lora", "--max-loras", "4", "--max-lora-rank", "8"]
        with real.vllm(256, warm=False, more=more) as server:
            yield server


@pytest.fixture
def shown() -> Callable[[str], None]:
    """Prints how long each step took."""
    start = time.monotonic()
    return lambda step: print(f"{time.monotonic() - start:6.1f} s {step}", flush=True)


# Trains three adapters: minutes on two free cores, and up to half an hour on busy ones. `pytest -m large` runs it.
@pytest.mark.large
@pytest.mark.timeout(2400)
def test_what_version_1_loses_is_learned_and_promoted_and_a_worse_version_is_dropped(
    tmp_path: Path, shown: Callable[[str], None]
) -> None:
    for needed in (real.vllm_python, real.training_python, real.smollm2):
        needed()  # skips where it is absent
    desk = Desk(150)
    first = tmp_path / "desk-1.jsonl"
    known = [[*messages(one), {"role": "assistant", "content": desk.answers[one]}] for one in desk.taken(36, KNOWN)]
    first.write_text("".join(json.dumps({"messages": one}) + "\n" for one in known))
    with contextlib.ExitStack() as stack:
        # Trained on one core while vLLM starts, and then answers, on the other.
        trainer = stack.enter_context(ThreadPoolExecutor(2))
        made = trainer.submit(trained, tmp_path / "v1", [first], steps=8, rate=1.5e-3)
        vllm = stack.enter_context(desk_server())
        teacher = stack.enter_context(processes.replay(tmp_path, "oracle", desk.rows(), "--speed", "inf"))
        shown("vLLM runs")
        load(vllm, "v1", made.result())
        shown("version 1 is trained")
        config = processes.make_config(
            vllm.base_url, teacher, student={"model": "v1"}, teacher={"model": "oracle"}, routing={"threshold": None},
            road={"sample": 0.1, "scorer": "exact"}, ledger={"store_conversations": True, "store_prompts": True},
        )  # fmt: skip
        gateway = stack.enter_context(processes.gateway(tmp_path, config, {"BREAKEVEN_ADMIN_KEY": "admin"}))
        traffic = Traffic(gateway, desk)
        traffic.compared(desk.taken(40, KNOWN, LOST))
        shown("40 requests were compared")
        until(lambda: len(traffic.scores("shadow", LOST)) == 20 or None)
        assert fmean(traffic.scores("shadow", LOST)) < 0.2 < fmean(traffic.scores("shadow", KNOWN))

        rows = harvested(gateway, tmp_path / "desk-2")
        assert {desk.kind(row["messages"][-1]["content"]) for row in rows if row["reason"] == "lost"} >= {LOST}
        second = tmp_path / "desk-2/train.jsonl"
        # Of version 3 the learning rate is far too high, so that it diverges.
        diverged = trainer.submit(trained, tmp_path / "v3", [second], steps=3, rate=1.0)
        v2 = trained(tmp_path / "v2", [first, second], steps=24, rate=1.5e-3)
        shown("version 2 is trained")
        load(vllm, "v2", v2)
        traffic.configured({**config, "candidate": {"base_url": vllm.base_url, "model": "v2"}})
        found = traffic.until_phase("better", 100, LOST, LOST, LOST, KNOWN)
        shown(f"it is better: {found['why']}")
        assert found["difference"]["low"] > 0.0
        assert fmean(traffic.scores("candidate", LOST)) > 0.3  # version 1: below 0.2
        said = breakeven("candidate", "promote", "--config", gateway.config)
        until(lambda: traffic.asked(desk.taken(1, LOST)[0]) == f"v2 ({v2} on student)" or None)

        # The step after it: the config names the student of now, and then the next candidate.
        config |= yaml.safe_load(said[said.index("student:\n") :])
        traffic.configured(config)
        v3 = diverged.result()
        load(vllm, "v3", v3)
        traffic.configured({**config, "candidate": {"base_url": vllm.base_url, "model": "v3"}})
        found = traffic.until_phase("dropped", 60, LOST, KNOWN)
        shown(f"version 3 is dropped: {found['why']}")
        assert found["difference"]["high"] < 0.0
        assert f"v3 ({v3} on student) is worse: -" in found["why"]
        assert f"beside the student v2 ({v2} on student), from answers of both to the same" in found["why"]
        assert traffic.asked(desk.taken(1, LOST)[0]) == f"v2 ({v2} on student)"
