"""The whole workflow on the support desk of `support.py`: a program acts as teacher, SmolLM2 becomes the student.

`python -m breakeven.models.examples.run_support OUT --base SMOLLM2_DIR --vllm-python PYTHON` runs generate, train,
evaluate, the router's train and tune, and the gateway on test prompts. Prints a Markdown table and writes
OUT/result.json. Each step writes its files to OUT, and a rerun resumes from them.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from breakeven.models.examples.processes import alive, free_port, process, replay
from breakeven.models.examples.support import SYSTEM, Case, cases, is_common, reference_of
from breakeven.models.scoring import checkers
from breakeven.models.serving.vllm_server import Student, command, environment

_INPUT_USD, _OUTPUT_USD = 15.0, 60.0
_PRICES = ("--input-usd", str(_INPUT_USD), "--output-usd", str(_OUTPUT_USD))
_TEACHER_SHARE = 0.25
_HOSTING_USD_PER_HOUR = 0.1


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description="Distil, serve, evaluate and route on a support desk example, on a CPU."
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--base", type=Path, required=True, help="directory of SmolLM2-135M-Instruct")
    parser.add_argument("--vllm-python", default=sys.executable, help="Python interpreter with vLLM")
    parser.add_argument("--train-python", default=sys.executable, help="Python interpreter with the extra distill")
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--batch", type=int, default=2, help="packed sequences per step, each of at most 256 tokens")
    parser.add_argument("--dtype", default="float32", help="float32, or bfloat16 if the processor supports it")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    result = run(options)
    (options.out / "result.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(table(result))


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Run all steps and return the figures as a dict for JSON."""
    out: Path = options.out
    known = cases(options.cases, seed=7)
    _write_inputs(out, known)
    seconds: dict[str, float] = {}
    with replay(out) as teacher_url, _timed(seconds, "generate"):
        _breakeven(
            *("distill", "generate", out / "prompts.jsonl", "--out", out / "data", "--base-url", teacher_url),
            *("--model", "oracle", "--max-usd", "20", *_PRICES, "--i-may-train-on-these-outputs"),
            *("--eval-share", "0.15", "--concurrency", "8", "--max-tokens", "64", "--system", out / "system.txt"),
        )
    with _timed(seconds, "train"):
        _breakeven(
            *("distill", "train", out / "data/train.jsonl", "--out", out / "model", "--student", options.base, "--cpu"),
            *("--max-steps", options.steps, "--batch-size", options.batch, "--packing", "--max-length", "256"),
            *("--learning-rate", "5e-4", "--dtype", options.dtype, "--eval-every", "30", "--seed", "1"),
            python=options.train_python,
        )
    port = free_port()
    argv = command(out / "model", name="support", port=port, cpu=True, max_model_len=512, python=options.vllm_python)
    with Student(argv, environment(cpu=True), host="127.0.0.1", port=port) as student:
        with _timed(seconds, "evaluate"):
            _breakeven(
                *("distill", "evaluate", out / "data/eval.jsonl", "--out", out / "eval", "--scorer", "row"),
                *("--student-url", student.base_url, "--student-model", "support", "--max-tokens", "64", *_PRICES),
            )
        outcomes = out / "eval/outcomes.jsonl"
        with _timed(seconds, "router"):
            _breakeven("train", outcomes, "--out", out / "router")
            tuned = json.loads(
                _breakeven(
                    *("tune", outcomes, "--config", _config(out, student.base_url, "http://127.0.0.1:9/v1", 0.5)),
                    *("--artifact", out / "router", "--teacher-share", _TEACHER_SHARE, "--json"),
                    *("--plot", out / "tune.png"),
                )
            )
        threshold = _threshold(tuned)
        with replay(out) as teacher_url, _timed(seconds, "gateway"):
            routed = _routed(out, _config(out, student.base_url, teacher_url, threshold), outcomes, known)
    report = json.loads((out / "eval/report.json").read_text(encoding="utf-8"))
    training = json.loads((out / "model/training.json").read_text(encoding="utf-8"))
    return {
        "cases": options.cases,
        "training": {**training["rows"], **training["stages"][0]},
        "alone": {"all": report["overall"], **_grouped(outcomes)},
        "student": report["student"],
        "threshold": threshold,
        "routed": routed,
        "seconds": {name: round(value, 1) for name, value in seconds.items()},
    }


def table(result: dict[str, Any]) -> str:
    """The figures as a Markdown table."""
    alone, routed = result["alone"], result["routed"]
    lines = [
        "| | all | common | unusual |",
        "| --- | --- | --- | --- |",
        f"| student alone, held-out prompts | {alone['all']['student']:.1%} | {alone['common']['student']:.1%} | "
        f"{alone['unusual']['student']:.1%} |",
        f"| routed, test prompts | {routed['all']:.1%} | {routed['common']:.1%} | {routed['unusual']:.1%} |",
        f"| student alone, the same test prompts | {routed['student_alone']:.1%} | | |",
        "",
        f"Teacher share {routed['teacher_share']:.1%}; teacher spend {routed['teacher_usd']:.4f} USD against "
        f"{routed['baseline_usd']:.4f} USD for all to the teacher. At {_HOSTING_USD_PER_HOUR} USD an hour for the "
        f"student's machine, it breaks even at {routed['break_even_requests_per_hour']:.0f} requests an hour. "
        f"Seconds: {result['seconds']}.",
    ]
    return "\n".join(lines)


def _write_inputs(out: Path, known: Sequence[Case]) -> None:
    prompts = [
        {"id": f"case-{i}", "prompt": c.prompt, "category": c.kind, "checker": c.checker, "reference": reference_of(c)}
        for i, c in enumerate(known, 1)
    ]
    answers = []
    for case in known:
        prompt, output = _tokens(case)
        answers.append({"prompt": case.prompt, "answer": case.answer, "prompt_tokens": prompt, "output_tokens": output})
    for name, rows in (("prompts", prompts), ("answers", answers)):
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (out / f"{name}.jsonl").write_text(text, encoding="utf-8")
    (out / "system.txt").write_text(SYSTEM, encoding="utf-8")


def _tokens(case: Case) -> tuple[int, int]:
    """Of the teacher's prompt and answer: four characters each."""
    return -(-(len(SYSTEM) + len(case.prompt)) // 4), -(-len(case.answer) // 4)


def _bill(case: Case) -> float:
    """What the teacher charges for this case, USD."""
    prompt, output = _tokens(case)
    return (_INPUT_USD * prompt + _OUTPUT_USD * output) / 1e6


def _grouped(outcomes: Path) -> dict[str, dict[str, float]]:
    rows = _read(outcomes)
    groups = {"common": True, "unusual": False}
    found = {}
    for name, common in groups.items():
        scores = [row["student_score"] for row in rows if is_common(row["category"]) is common]
        found[name] = {"rows": len(scores), "student": sum(scores) / max(len(scores), 1)}
    return found


def _routed(out: Path, config: Path, outcomes: Path, known: Sequence[Case]) -> dict[str, Any]:
    """Send the test rows through the gateway; the scores of its answers, and the spending in its ledger."""
    by_prompt = {case.prompt: case for case in known}
    rows = [row for row in _read(outcomes) if row["split"] == "test"]
    port = free_port()
    # The ledger must hold only this run.
    shutil.rmtree(out / "ledger", ignore_errors=True)
    (out / "ledger").mkdir()
    log = (out / "gateway.log").open("wb")
    line = [sys.executable, "-P", "-m", "breakeven.gateway.cli", "serve", "--config", str(config), "--port", str(port)]
    with log, process(line, log, lambda: alive(f"http://127.0.0.1:{port}/healthz")):
        scored = []
        for row in rows:
            case = by_prompt[row["messages"][-1]["content"]]
            answer, route = _ask(f"http://127.0.0.1:{port}/v1", row["messages"])
            scored.append((case, checkers.score(case.checker, reference_of(case), answer), route))
    report = json.loads(_breakeven("report", "--json", "--config", config))
    # Nothing was compared, but the teacher is a program: what it would have charged for these prompts is known.
    bills = [_bill(case) for case, _, _ in scored]
    (out / "report.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")

    def mean(common: bool | None) -> float:
        chosen = [score for case, score, _ in scored if common is None or is_common(case.kind) is common]
        return sum(chosen) / max(len(chosen), 1)

    return {
        "rows": len(rows),
        "all": mean(None),
        "common": mean(True),
        "unusual": mean(False),
        "student_alone": sum(row["student_score"] for row in rows) / len(rows),
        "teacher_share": sum(route == "teacher" for _, _, route in scored) / len(scored),
        "teacher_usd": float(report["teacher_spend_usd"]),
        "baseline_usd": sum(bills),
        "break_even_requests_per_hour": _HOSTING_USD_PER_HOUR
        * len(rows)
        / (sum(bills) - float(report["teacher_spend_usd"])),
    }


def _ask(base_url: str, messages: list[dict[str, str]]) -> tuple[str, str]:
    body = {"model": "auto", "messages": messages, "max_tokens": 64, "temperature": 0}
    request = urllib.request.Request(  # noqa: S310
        f"{base_url}/chat/completions", json.dumps(body).encode(), {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310
        content = json.load(answer)["choices"][0]["message"]["content"]
        return content or "", answer.headers["x-breakeven-route"]


def _config(out: Path, student: str, teacher: str, threshold: float) -> Path:
    prices = {"input": _INPUT_USD, "cached_input": 1.5, "output": _OUTPUT_USD}
    config = {
        "student": {"base_url": student, "model": "support", "hosting_usd_per_hour": _HOSTING_USD_PER_HOUR},
        "teacher": {"base_url": teacher, "model": "oracle", "usd_per_million": prices},
        "routing": {"artifact": "router", "threshold": threshold, "novelty_threshold": 1.0, "sticky": False},
        # Each answer is known to be right or wrong: nothing need be compared.
        "road": {"sample": 0},
        "ledger": {"url": "sqlite:///ledger/ledger.db"},
    }
    (out / "ledger").mkdir(exist_ok=True)
    path = out / "breakeven.yaml"
    path.write_text(json.dumps(config), encoding="utf-8")  # JSON is YAML.
    return path


def _threshold(tuned: dict[str, Any]) -> float:
    point = tuned.get("point", tuned)
    return float(point["threshold"])


def _breakeven(*arguments: object, python: str = sys.executable) -> str:
    """Run a command of `breakeven` and return its stdout; its stderr goes to the terminal.

    Raises SystemExit on failure.
    """
    line = [python, "-P", "-m", "breakeven.gateway.cli", *map(str, arguments)]
    done = subprocess.run(line, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"breakeven {arguments[0]} {arguments[1]} ended with code {done.returncode}")
    return done.stdout


@contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    start = time.monotonic()
    yield
    seconds[name] = time.monotonic() - start


def _read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


if __name__ == "__main__":
    main()
