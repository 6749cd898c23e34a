"""`breakeven distill generate` as a subprocess: reasons to stop early, and that no paid answer is lost."""

from __future__ import annotations

import itertools
import random
import re
import resource
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import JSONResponse, PlainTextResponse, Response

from tests.unit.models.support.generating import KEY, answer, command, environment, facts, prompts, rows, run
from tests.unit.models.support.teacher import completion, error, serve


def test_the_budget_is_never_exceeded_and_a_higher_one_resumes(tmp_path: Path) -> None:
    # An answer costs 0.0002 USD; its worst case 331 * 10 + 100 * 20 = 0.00531 USD.
    file, out = prompts(tmp_path, 30), tmp_path / "data"
    with serve(answer, delay=0.01) as teacher:
        done = run(teacher, file, out, "--max-tokens", "100", max_usd="0.007")
        assert done.returncode == 3
        assert "raise --max-usd" in done.stderr
        first = sum(teacher.answered.values())
        assert 5 <= first <= 10
        assert float(facts(out)["cost"]["usd"]) <= 0.007
        assert facts(out)["prompts"]["unanswered"] == 30 - first
        nothing = run(teacher, file, tmp_path / "none", "--max-tokens", "100", max_usd="0.001")
        assert nothing.returncode == 3
        assert sum(teacher.answered.values()) == first
        assert run(teacher, file, out, "--max-tokens", "100", max_usd="0.02").returncode == 0
        assert set(teacher.answered.values()) == {1}


def test_429_and_5xx_are_retried(tmp_path: Path) -> None:
    failures = [error(429, retry_after="0.3"), error(500), error(529), error(503)]
    times: list[float] = []

    def script(body: dict[str, Any]) -> Response | str:
        times.append(time.monotonic())
        return failures.pop(0) if failures else answer(body)

    file, out = prompts(tmp_path, 12), tmp_path / "data"
    with serve(script) as teacher:
        done = run(teacher, file, out)
        assert done.returncode == 0, done.stderr
        assert len(teacher.answered) == 12
        assert set(teacher.answered.values()) == {1}
        assert facts(out)["failed_attempts_of_last_run"] == {"rate": 1, "server": 3}
        assert any(b - a >= 0.25 for a, b in itertools.pairwise(times)), "Retry-After was not kept"


@pytest.mark.parametrize(
    ("response", "said"),
    [
        (
            lambda: error(401, f"Incorrect API key provided: {KEY}"),
            "answered 401: Incorrect API key provided: .key.: c",
        ),
        (lambda: error(404, "no such model"), "check --base-url"),
        (lambda: error(429, "You exceeded your quota", "insufficient_quota"), "no credit left"),
        (lambda: error(429, "slow down", retry_after="30"), "429: slow down; no answer for 1 s"),
        (lambda: error(400, "Unsupported parameter: messages"), "400: Unsupported parameter.*20 times"),
        (lambda: PlainTextResponse("<html>login</html>"), "but not with a chat completion; 5 times"),
        (lambda: JSONResponse({"choices": []}), "but not with a chat completion"),
    ],
)
def test_a_permanent_failure_stops_the_run_and_keeps_paid_answers(tmp_path: Path, response: Any, said: str) -> None:
    good = 6

    def script(body: dict[str, Any]) -> Response | str:
        return answer(body) if len(teacher.answered) < good else response()

    file, out = prompts(tmp_path, 30), tmp_path / "data"
    with serve(script) as teacher:
        done = run(teacher, file, out, "--patience-seconds", "1", "--concurrency", "2")
        assert done.returncode == 3, done.stderr
        text = " ".join(done.stderr.split())
        assert re.search(said, text), text
        assert KEY not in done.stderr + done.stdout
        assert "run the same command again" in text
        assert len(rows(out / "train.jsonl") + rows(out / "eval.jsonl")) == good
        teacher.script = answer
        assert run(teacher, file, out).returncode == 0
        assert set(teacher.answered.values()) == {1}
        assert len(teacher.answered) == 30


def test_an_api_that_rejects_every_request_stops_the_run_early(tmp_path: Path) -> None:
    with serve(lambda body: error(400, "Unsupported parameter: messages")) as teacher:
        done = run(teacher, prompts(tmp_path, 30), tmp_path / "data")
        assert done.returncode == 3
        assert "5 times" in done.stderr
        assert len(teacher.bodies) <= 9


def test_an_answer_without_usage_counts_with_its_worst_case(tmp_path: Path) -> None:
    def script(body: dict[str, Any]) -> Response:
        made = completion(answer(body))
        del made["usage"]
        return JSONResponse(made)

    file, out = prompts(tmp_path, 2), tmp_path / "data"
    with serve(script) as teacher:
        done = run(teacher, file, out, "--max-tokens", "100")
        assert done.returncode == 0, done.stderr
        cost = facts(out)["cost"]
        assert cost["usd"] == "0"
        assert float(cost["possibly_usd"]) == pytest.approx(2 * (330 * 10 + 100 * 20) / 1e6, rel=0.01)
        assert facts(out)["tokens"]["calls_without_usage"] == 2
        assert "possibly paid in addition" in done.stdout


@pytest.mark.timeout(300)
def test_reruns_after_kills_at_random_times_give_the_same_dataset(tmp_path: Path) -> None:
    # Enough that a machine which pauses has not made all rows before three signals of each kind.
    count, concurrency = 80, 4
    file, out, whole = prompts(tmp_path, count), tmp_path / "data", tmp_path / "whole"
    rng = random.Random(5)
    with serve(answer) as teacher:
        assert run(teacher, file, whole).returncode == 0
    with serve(answer, delay=0.15) as teacher:
        kills = terms = 0
        for attempt in range(20):
            line = command(teacher, file, out, "--concurrency", str(concurrency))
            process = subprocess.Popen(line, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            asked = len(teacher.bodies)
            while len(teacher.bodies) == asked and process.poll() is None:
                time.sleep(0.01)
            time.sleep(rng.uniform(0.0, 0.4))
            hard = attempt % 2 == 0
            process.send_signal(signal.SIGKILL if hard else signal.SIGTERM)
            _, said = process.communicate(timeout=30)
            kills += hard and process.returncode == -signal.SIGKILL
            if process.returncode == 0:
                break
            if not hard:
                terms += 1
                assert process.returncode == 3, said
                assert b"interrupted" in said
        done = run(teacher, file, out)
        assert done.returncode == 0, done.stderr
        assert kills >= 3
        assert terms >= 3
        for name in ("train.jsonl", "eval.jsonl"):
            assert (out / name).read_bytes() == (whole / name).read_bytes()
        # Only calls in flight at a SIGKILL can have been answered twice: they are counted.
        lost = facts(out)["cost"]["calls_cut_off_by_a_kill"]
        assert sum(n - 1 for n in teacher.answered.values()) <= lost <= kills * concurrency
        assert facts(out)["cost"]["replies"] == count


def test_a_second_signal_cancels_calls_in_flight_and_counts_them_as_possibly_paid(tmp_path: Path) -> None:
    file, out = prompts(tmp_path, 4), tmp_path / "data"
    with serve(answer, delay=8.0) as teacher:
        line = command(teacher, file, out)
        process = subprocess.Popen(line, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        for _ in range(1000):
            if len(teacher.bodies) == 4:
                break
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        assert process.poll() is None, "the first signal waits for the calls in flight"
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
        assert process.returncode == 2
        assert b"interrupted twice" in said
        assert b"Traceback" not in said
        teacher.delay = 0.0
        assert run(teacher, file, out).returncode == 0
        assert facts(out)["cost"]["calls_cut_off_by_a_kill"] == 4


def test_a_prompt_that_the_api_rejects_is_given_up_and_reported(tmp_path: Path) -> None:
    def script(body: dict[str, Any]) -> Response | str:
        too_long = body["messages"][-1]["content"] == "question 3"
        return error(400, "maximum context length is 5 tokens") if too_long else answer(body)

    file, out = prompts(tmp_path, 12), tmp_path / "data"
    with serve(script) as teacher:
        done = run(teacher, file, out)
        assert done.returncode == 0, done.stderr
        assert facts(out)["prompts"]["unanswered"] == 1
        assert "given up in this run: 1 calls" in done.stdout
        assert "maximum context length" in done.stdout
        absent = run(teacher, file, out, "--system", str(tmp_path / "absent.txt"))
        assert absent.returncode == 2
        assert "--system" in absent.stderr


def test_a_full_disk_is_reported_and_a_rerun_resumes(tmp_path: Path) -> None:
    def little_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))

    file, out = prompts(tmp_path, 30), tmp_path / "data"
    with serve(answer) as teacher:
        line = command(teacher, file, out)
        done = subprocess.run(
            line, capture_output=True, text=True, env=environment(), timeout=60, check=False, preexec_fn=little_room
        )
        assert done.returncode == 2
        assert "journal.jsonl: cannot be written" in done.stderr
        assert "Traceback" not in done.stderr
        answered = sum(teacher.answered.values())
        assert 0 < answered < 30
        assert run(teacher, file, out).returncode == 0
        assert len(rows(out / "train.jsonl") + rows(out / "eval.jsonl")) == 30
        # Calls in flight when the disk was full are sent again, and counted.
        again = sum(teacher.answered.values()) - 30
        assert 0 <= again <= facts(out)["cost"]["calls_cut_off_by_a_kill"] <= 17
