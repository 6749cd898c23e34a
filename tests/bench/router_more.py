"""Further measurements of docs/benchmarks/router.md: cascades, cost, the guarantee, and the time of a decision."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from breakeven.router.evaluation.tune import Traffic, TuneError, for_quality
from breakeven.router.model import artifact
from breakeven.router.outcomes import OutcomeRow, scores, texts
from breakeven.router.policy import ROUTED, Capabilities, Policy, decide
from breakeven.router.text import cut, read_chat
from breakeven.router.training.train import fit
from tests.bench.router_tasks import MMLU, Data, assessed, measured

Row = dict[str, Any]
_SECOND = "gemma-2-9b-it"
_EVERY = Capabilities(frozenset({"text"}), True, None)


def cascades(data: Data) -> list[Row]:
    """The APGR of a router that also reads the student's answer, compared with one that reads only the prompt."""
    found = []
    for name in ("routellm_gsm8k", "zeroeval_gsm"):
        rows, test = data.rows((name,), "train"), data.rows((name,), data.split)
        prompt = assessed(fit(rows), test, shrunk=False)
        found.append(_one(f"{name}: prompt only", test, prompt))
        read = assessed(fit(_with_answer(rows)), _with_answer(test), shrunk=False)
        found.append(_one(f"{name}: prompt and the student's answer", test, read))
        if name == "zeroeval_gsm":
            other = np.array([_disagrees(row) for row in test])
            # Ties are broken by the prompt's score.
            found.append(_one(f"{name}: agreement with another small model", test, other + prompt))
    return found


def _one(what: str, rows: Sequence[OutcomeRow], score: np.ndarray) -> Row:
    result = measured(rows, score).measures["router"]
    return {"router": what, "rows": len(rows), "APGR": result["APGR"], "AUROC": result["AUROC"]}


def _with_answer(rows: Sequence[OutcomeRow]) -> list[OutcomeRow]:
    return [row._replace(text=cut(f"{row.text}\n\n{row.record['student_response']}")) for row in rows]


def _disagrees(row: OutcomeRow) -> float:
    answers = row.record["answers"]
    return float(str(answers.get(_SECOND)) != str(answers.get(row.record["student"])))


def guarantee(data: Data, floor: float = 0.95, confidence: float = 0.95) -> Row:
    """How often a guaranteed quality floor is broken over 200 samples of rows that the router was not trained on."""
    fitted = fit(data.rows(MMLU, "train"))
    rows = [*data.rows(MMLU, "dev"), *data.rows(MMLU, "test")]
    score = assessed(fitted, rows)
    student, teacher = scores(rows)
    whole = Traffic(score, np.zeros(len(rows), dtype=bool), student, teacher)
    broken, broken_beside, shares, refused = 0, 0, [], 0
    for draw in range(200):
        rng = np.random.default_rng(draw)
        order = rng.permutation(len(rows))
        half, other = order[: len(rows) // 2], order[len(rows) // 2 :]
        drawn = rng.integers(0, len(rows), len(rows) // 2)
        try:
            threshold = for_quality(_part(whole, drawn), floor, confidence)
            beside = for_quality(_part(whole, half), floor, confidence)
        except TuneError:
            refused += 1
            continue
        broken += _kept(whole, threshold) < floor
        broken_beside += _kept(_part(whole, other), beside) < floor
        shares.append(float(whole.sent_up(threshold).mean()))
    return {
        "floor": floor,
        "confidence": confidence,
        "rows": len(rows) // 2,
        "solved": 200 - refused,
        "broken": broken / max(1, 200 - refused),
        "broken on the other half": broken_beside / max(1, 200 - refused),
        "share to the teacher": float(np.mean(shares)) if shares else float("nan"),
    }


def _part(traffic: Traffic, pick: np.ndarray) -> Traffic:
    return Traffic(*(None if part is None else part[pick] for part in traffic))


def _kept(traffic: Traffic, threshold: float) -> float:
    assert traffic.student is not None
    assert traffic.teacher is not None
    up = traffic.sent_up(threshold)
    return float(np.where(up, traffic.teacher, traffic.student).mean() / traffic.teacher.mean())


def speed(prompts: Sequence[str]) -> Row:
    """The CPU milliseconds of a decision on parsed messages in one thread, and size, load time and memory of the
    artifact.

    CPU time, so that other processes on the machine have little influence.
    """
    loaded = artifact.load()

    def timed(messages: object) -> float:
        begun = time.thread_time()
        decide(
            read_chat(messages),
            pin=None,
            policy=Policy(0.5, 0.99),
            student=_EVERY,
            max_output_tokens=None,
            available=frozenset(ROUTED),
            assess=loaded.assess,
        )
        return (time.thread_time() - begun) * 1000

    near = [text for text in prompts if 700 <= len(text) <= 900][:400]
    long = " ".join(prompts)[:100_000]
    for text in near[:50]:
        timed([{"role": "user", "content": text}])
    runs = [[timed([{"role": "user", "content": text}]) for text in near] for _ in range(7)]
    usual, fastest = np.array(runs).ravel(), np.array(runs).min(axis=0)
    longest = np.array([timed([{"role": "user", "content": long}]) for _ in range(50)])
    code = (
        "import psutil, time\nfrom breakeven.router.model import artifact\n"
        "import breakeven.router.policy, breakeven.router.text\n"
        "rss = lambda: psutil.Process().memory_info().rss\n"
        "before, begun = rss(), time.process_time()\nloaded = artifact.load()\n"
        "seconds = time.process_time() - begun\nloaded.assess('warm up')\nprint(seconds, rss() - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    seconds, size = done.stdout.split()
    return {
        "200-token prompt, p50 ms": float(np.median(usual)),
        "200-token prompt, p99 ms": float(np.percentile(usual, 99)),
        "the same, each prompt's fastest of 7 runs, p50 ms": float(np.median(fastest)),
        "the same, p99 ms": float(np.percentile(fastest, 99)),
        "100,000 characters, p50 ms": float(np.median(longest)),
        "artifact MB": sum(path.stat().st_size for path in artifact.SHIPPED.iterdir()) / 1e6,
        "load, CPU s": float(seconds),
        "memory MB": float(size) / 1e6,
    }


def identical(prompts: Sequence[str]) -> Row:
    """Whether 10,000 decisions in 8 threads and in 4 processes are bit-identical to those of one thread."""
    loaded = artifact.load()
    some = list(prompts[:2500])
    expected = [loaded.assess(text) for text in some]
    with ThreadPoolExecutor(8) as pool:
        threads = list(pool.map(loaded.assess, some * 4)) == expected * 4
    code = (
        "import hashlib, json, sys\nfrom breakeven.router.model import artifact\nassess = artifact.load().assess\n"
        "print(hashlib.sha256(repr([assess(t) for t in json.load(sys.stdin)]).encode()).hexdigest())"
    )
    import hashlib
    import json

    digest = hashlib.sha256(repr(expected).encode()).hexdigest()
    children = [
        subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    said = [child.communicate(json.dumps(some), timeout=300)[0].strip() for child in children]
    return {"8 threads": threads, "4 processes": all(one == digest for one in said)}


def plain_texts(data: Data) -> list[str]:
    """The prompts that decisions are timed on."""
    return texts(data.rows((*MMLU, "mmlu_pro"), "train"))
