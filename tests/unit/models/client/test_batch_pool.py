"""`breakeven distill generate --batch` as a subprocess, with a scripted batch API over HTTP."""

from __future__ import annotations

import json
import random
import re
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import JSONResponse, Response

from tests.unit.models.support.batches import Batches, serve_batches
from tests.unit.models.support.generating import KEY, answer, command, environment, facts, prompts, rows, run
from tests.unit.models.support.teacher import completion, error, serve

BATCH = ("--batch", "--poll-seconds", "0.05")


def dataset(out: Path) -> list[bytes]:
    return [(out / name).read_bytes() for name in ("train.jsonl", "eval.jsonl", "rejected.jsonl")]


def test_batches_give_the_same_dataset_at_half_the_price(tmp_path: Path) -> None:
    file, out, plain = prompts(tmp_path, 40), tmp_path / "data", tmp_path / "plain"
    with serve_batches(answer) as api:
        assert run(api.teacher, file, plain).returncode == 0
        api.teacher.answered.clear()
        done = run(api.teacher, file, out, *BATCH, "--batch-rows", "15", "--top-logprobs", "0")
        assert done.returncode == 0, done.stderr
        assert dataset(out) == dataset(plain)
        assert api.steps["create"] == 3
        assert set(api.teacher.answered.values()) == {1}
        assert facts(out)["cost"]["usd"] == "0.004"
        assert facts(out)["cost"]["under_way_usd"] == "0"
        assert "$0.0040 so far" in done.stderr
        steps = dict(api.steps)
        again = run(api.teacher, file, out, *BATCH)
        assert again.returncode == 0
        assert dict(api.steps) == steps, "a rerun sends no requests"
        third = run(api.teacher, file, tmp_path / "third", *BATCH, "--batch-discount", "0.25")
        assert third.returncode == 0
        assert facts(tmp_path / "third")["cost"]["usd"] == "0.006"
        assert run(api.teacher, file, tmp_path / "none", *BATCH, "--batch-discount", "1").returncode == 2


@pytest.mark.timeout(400)
def test_kills_between_any_two_steps_never_pay_for_a_row_twice(tmp_path: Path) -> None:
    def script(body: dict[str, Any]) -> Response | str:
        text = body["messages"][-1]["content"]
        return error(400, "too long") if text in ("question 3", "question 17") else answer(body)

    file, out, whole = prompts(tmp_path, 24), tmp_path / "data", tmp_path / "whole"
    points = ["upload", "upload!", "create", "create!", "look", "look!", "content", "content!"]
    rng = random.Random(3)
    delays = [None] * len(points) + [rng.uniform(0.0, 0.15) for _ in range(8)]
    points += ["create!", "content!"] * 4
    kills = 0
    with serve(script) as teacher:
        assert run(teacher, file, whole).returncode == 0
    with serve_batches(script) as api:
        for point, delay in zip(points, delays, strict=True):
            line = command(api.teacher, file, out, *BATCH, "--batch-rows", "5")
            process = subprocess.Popen(line, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            kill_at(api, process, point, delay)
            process.wait(60)
            kills += process.returncode == -signal.SIGKILL
            api.at = lambda step: None
            api.holding.clear()
        done = run(api.teacher, file, out, *BATCH, "--batch-rows", "5")
        assert done.returncode == 0, done.stderr
        assert dataset(out) == dataset(whole)
        assert set(api.teacher.answered.values()) == {1}
        assert len(api.teacher.answered) == 22
        cost = facts(out)["cost"]
        assert (cost["usd"], cost["possibly_usd"]) == ("0.0022", "0")
        assert kills >= len(set(points))


def kill_at(api: Batches, process: subprocess.Popen[bytes], point: str, delay: float | None) -> None:
    """Kill the process when the API reaches a step: before it responds, or after `delay` seconds."""

    def hook(step: str) -> None:
        if step != point:
            return
        if delay is None:
            process.kill()
            api.holding.add(step)
        else:
            threading.Timer(delay, process.kill).start()

    api.at = hook


def test_answers_of_an_expired_batch_are_kept_and_the_other_rows_sent_again(tmp_path: Path) -> None:
    file, out = prompts(tmp_path, 20), tmp_path / "data"
    with serve_batches(answer) as api:
        api.row_limit = 6
        done = run(api.teacher, file, out, *BATCH)
        assert done.returncode == 0, done.stderr
        assert [one["status"] for one in api.made.values()] == ["expired", "expired", "expired", "completed"]
        assert set(api.teacher.answered.values()) == {1}
        assert len(rows(out / "train.jsonl") + rows(out / "eval.jsonl")) == 20
        assert facts(out)["cost"]["possibly_usd"] == "0"
        api.row_limit = 0
        none = run(api.teacher, file, tmp_path / "none", *BATCH)
        assert none.returncode == 3
        assert "ended as expired; 2 without an answer" in " ".join(none.stderr.split())


def test_failed_rows_are_retried_or_given_up_and_refusals_left_out(tmp_path: Path) -> None:
    transient = {"question 2", "question 5"}

    def script(body: dict[str, Any]) -> Response | str:
        text = body["messages"][-1]["content"]
        if text in transient:
            transient.remove(text)
            return error(500 if text == "question 2" else 429)
        special = {
            "question 0": completion("I'm sorry, but I can't help with that."),
            "question 1": completion("half an ans", "length"),
            "question 4": {"choices": []},
        }
        if text == "question 3":
            return error(400, "maximum context length is 5 tokens")
        return JSONResponse(special[text]) if text in special else answer(body)

    file, out = prompts(tmp_path, 12), tmp_path / "data"
    with serve_batches(script) as api:
        done = run(api.teacher, file, out, *BATCH)
        assert done.returncode == 0, done.stderr
        assert facts(out)["answers"] == {"refused": 1, "truncated": 1, "ok": 8}
        assert facts(out)["failed_attempts_of_last_run"] == {"server": 1, "rate": 1, "bad": 1, "nonsense": 3}
        assert "given up in this run: 1 calls" in done.stdout
        assert "maximum context length" in done.stdout
        # Three invalid answers may have been paid for: 331 bytes and 1024 tokens at half price each.
        assert float(facts(out)["cost"]["possibly_usd"]) == pytest.approx(3 * (330 * 5 + 1024 * 10) / 1e6, rel=0.01)


@pytest.mark.parametrize(
    ("step", "response", "said"),
    [
        ("upload", lambda: error(401, f"Incorrect key {KEY}"), r"answered 401: Incorrect key \[key\]: check the key"),
        (
            "upload",
            lambda: error(404, "no such path"),
            "404: no such path: this API does not seem to support batches",
        ),
        (
            "create",
            lambda: error(404, "no such path"),
            "404: no such path: this API does not seem to support batches",
        ),
        ("create", lambda: error(429, "slow", retry_after="30"), "429: slow; all answers so far are kept"),
        ("create", lambda: error(400, "bad window"), "400: bad window; all"),
        ("look", lambda: JSONResponse(["no"]), "but not with a JSON object"),
        ("look", lambda: error(404, "gone"), "404: gone; if it no longer exists, --forget-batches"),
        ("content", lambda: error(404, "gone"), "404: gone; if it no longer exists, --forget-batches"),
    ],
)
def test_a_permanent_failure_stops_the_run(tmp_path: Path, step: str, response: Any, said: str) -> None:
    file, out = prompts(tmp_path, 6), tmp_path / "data"
    with serve_batches(answer) as api:
        api.at = lambda taken: response() if taken == step else None
        done = run(api.teacher, file, out, *BATCH, "--patience-seconds", "1")
        assert done.returncode == 3, done.stderr
        text = " ".join(done.stderr.split())
        assert re.search(said, text), text
        assert KEY not in done.stderr + done.stdout
        api.at = lambda taken: None
        again = run(api.teacher, file, out, *BATCH)
        assert again.returncode == 0, again.stderr
        assert set(api.teacher.answered.values()) == {1}
        assert facts(out)["cost"]["usd"] == "0.0006"


def test_a_batch_whose_creation_was_not_confirmed_is_found(tmp_path: Path) -> None:
    file, out = prompts(tmp_path, 12), tmp_path / "data"
    with serve_batches(answer) as api:
        api.at = lambda step: error(500, "after the fact") if step == "create!" else None
        done = run(api.teacher, file, out, *BATCH, "--batch-rows", "3")
        assert done.returncode == 0, done.stderr
        assert api.steps["create"] == len(api.made) == 4
        assert set(api.teacher.answered.values()) == {1}


def test_a_batch_is_limited_to_a_worst_case_within_the_budget(tmp_path: Path) -> None:
    # At half price an answer costs 0.0001 USD; its worst case 331 * 5 + 100 * 10 = 0.002655 USD.
    file, out = prompts(tmp_path, 40), tmp_path / "data"
    with serve_batches(answer) as api:
        done = run(api.teacher, file, out, *BATCH, "--max-tokens", "100", max_usd="0.0055")
        assert done.returncode == 3
        assert "raise --max-usd" in done.stderr
        sizes = [one["request_counts"]["total"] for one in api.made.values()]
        assert sizes[0] == 2, "no more rows than the budget allows in the worst case"
        assert len(sizes) > 5, "the unused reservation of a batch is available to the next"
        assert float(facts(out)["cost"]["usd"]) <= 0.0055
        assert run(api.teacher, file, out, *BATCH, "--max-tokens", "100", max_usd="0.1").returncode == 0
        assert set(api.teacher.answered.values()) == {1}


def test_a_batch_in_progress_is_left_fetched_or_discarded(tmp_path: Path) -> None:
    file, out = prompts(tmp_path, 8), tmp_path / "data"
    with serve_batches(answer, looks=10**6) as api:
        line = command(api.teacher, file, out, *BATCH)
        process = subprocess.Popen(line, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        deadline = time.monotonic() + 60
        while api.steps["look"] < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        said, shown = process.communicate(timeout=30)
        assert process.returncode == 3, shown
        assert b"interrupted" in shown
        assert b"in batches in progress, at most:" in said
        plain = run(api.teacher, file, out)
        assert plain.returncode == 2
        assert "fetch its answers with --batch" in plain.stderr
        # With another output limit the rows in progress still belong to the same prompts.
        api.looks = 0
        fetched = run(api.teacher, file, out, *BATCH, "--max-tokens", "2000")
        assert fetched.returncode == 0, fetched.stderr
        assert set(api.teacher.answered.values()) == {1}
        api.looks = 10**6
        other = tmp_path / "other"
        process = subprocess.Popen(command(api.teacher, file, other, *BATCH), env=environment())
        looked = api.steps["look"]
        while api.steps["look"] == looked and time.monotonic() < deadline + 60:
            time.sleep(0.02)
        process.kill()
        process.wait(10)
        forgot = run(api.teacher, file, other, "--forget-batches")
        assert forgot.returncode == 0, forgot.stderr
        assert facts(other)["cost"]["usd"] == "0.0016"
        assert float(facts(other)["cost"]["possibly_usd"]) > 0


def test_a_batch_over_the_enqueued_limit_waits_and_one_never_accepted_stops_the_run(tmp_path: Path) -> None:
    def at(step: str) -> None:
        running = [one for one in api.made.values() if one["status"] == "in_progress"]
        if step == "look" and len(running) > most:
            failed = {"code": "token_limit_exceeded", "message": "Enqueued token limit reached"}
            running[-1] |= {"status": "failed", "errors": {"data": [failed]}}

    file, most = prompts(tmp_path, 12), 1
    with serve_batches(answer) as api:
        api.at = at
        done = run(api.teacher, file, tmp_path / "data", *BATCH, "--batch-rows", "4")
        assert done.returncode == 0, done.stderr
        assert set(api.teacher.answered.values()) == {1}
        most = 0
        never = run(api.teacher, file, tmp_path / "never", *BATCH)
        assert never.returncode == 3
        text = " ".join(never.stderr.split())
        assert "was not accepted: Enqueued token limit reached; try a smaller --batch-rows" in text


def test_new_prompts_are_synthesized_directly_and_answered_in_batches(tmp_path: Path) -> None:
    rng = random.Random(1)

    def script(body: dict[str, Any]) -> Response | str:
        if "JSON array" in body["messages"][-1]["content"]:
            return json.dumps(["".join(rng.choices("abcdefghijklmnop ", k=30)) for _ in range(8)])
        return answer(body)

    file, out = prompts(tmp_path, 10), tmp_path / "data"
    with serve_batches(script) as api:
        done = run(api.teacher, file, out, *BATCH, "--synthesize", "5")
        assert done.returncode == 0, done.stderr
        assert facts(out)["prompts"]["synthetic"] == 5
        (batch,) = api.made.values()
        assert batch["request_counts"]["total"] == 15
