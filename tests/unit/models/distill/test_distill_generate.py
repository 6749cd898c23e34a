"""`breakeven distill generate` from outside, against a scripted teacher."""

from __future__ import annotations

import itertools
import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from starlette.responses import JSONResponse, PlainTextResponse, Response

from tests.processes import ROOT, make_config
from tests.unit.models.distill.teacher import Teacher, completion, error, serve

KEY = "sk-secret-value"


def prompts(folder: Path, count: int) -> Path:
    path = folder / "prompts.jsonl"
    rows = [{"prompt": f"question {i}", "category": "even" if i % 2 == 0 else "odd"} for i in range(count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def command(teacher: Teacher, file: Path, out: Path, *options: str, max_usd: str = "1") -> list[str]:
    base = [sys.executable, "-m", "gateway.cli", "distill", "generate", str(file), "--out", str(out)]
    base += ["--base-url", teacher.url, "--model", "big", "--api-key-env", "TEACHER_KEY", "--max-usd", max_usd]
    return [*base, "--input-usd", "10", "--output-usd", "20", "--i-may-train-on-these-outputs", *options]


def environment() -> dict[str, str]:
    return {**os.environ, "TEACHER_KEY": KEY, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def run(teacher: Teacher, file: Path, out: Path, *options: str, **more: Any) -> subprocess.CompletedProcess[str]:
    line = command(teacher, file, out, *options, **more)
    return subprocess.run(line, capture_output=True, text=True, env=environment(), timeout=100, check=False)


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def facts(out: Path) -> dict[str, Any]:
    return json.loads((out / "card.json").read_text())


def answer(body: dict[str, Any]) -> str:
    return f"answer to {body['messages'][-1]['content']}"


def test_a_dataset_is_made_and_a_rerun_pays_nothing(tmp_path: Path) -> None:
    file, out = prompts(tmp_path, 40), tmp_path / "data"
    with serve(answer, delay=0.02) as teacher:
        done = run(teacher, file, out, "--eval-share", "0.25", "--concurrency", "8")
        assert done.returncode == 0, done.stderr
        train, held_out = rows(out / "train.jsonl"), rows(out / "eval.jsonl")
        assert len(train) + len(held_out) == 40
        assert 2 <= len(held_out) <= 20
        row = train[0]
        assert row["messages"][-1] == {"role": "assistant", "content": f"answer to {row['messages'][0]['content']}"}
        assert row["category"] in ("even", "odd")
        assert 4 <= teacher.most_at_once <= 8
        # 40 answers of 10 prompt tokens at 10 USD and 5 output tokens at 20 USD per million.
        assert facts(out)["cost"] == {
            "usd": "0.008",
            "possibly_usd": "0",
            "calls_cut_off_by_a_kill": 0,
            "replies": 40,
        }
        assert "cost: 0.008 USD for 40 replies" in done.stdout
        assert "breakeven invest data:data 0.008" in done.stdout
        assert teacher.bodies[0]["_key"] == f"Bearer {KEY}"
        card = (out / "README.md").read_text()
        assert "| cost, USD | 0.008 |" in card
        assert yaml.safe_load(card.split("---")[1])["configs"][0]["data_files"][0]["path"] == "train.jsonl"
        before = {name: (out / name).read_bytes() for name in ("train.jsonl", "eval.jsonl", "card.json")}
        again = run(teacher, file, out, "--eval-share", "0.25")
        assert again.returncode == 0, again.stderr
        assert sum(teacher.answered.values()) == 40
        after = {name: (out / name).read_bytes() for name in before}
        assert json.loads(after.pop("card.json"))["cost"] == json.loads(before.pop("card.json"))["cost"]
        assert after == before
    everything = "".join(path.read_text() for path in out.iterdir()) + done.stdout + done.stderr
    assert KEY not in everything


def test_consent_is_wanted_once_for_a_dataset(tmp_path: Path) -> None:
    file, out = prompts(tmp_path, 3), tmp_path / "data"
    with serve(answer) as teacher:
        line = [part for part in command(teacher, file, out) if part != "--i-may-train-on-these-outputs"]
        refused = subprocess.run(line, capture_output=True, text=True, env=environment(), timeout=60, check=False)
        assert refused.returncode == 2
        assert "forbid training" in refused.stderr
        assert teacher.bodies == []
        assert run(teacher, file, out).returncode == 0
        again = subprocess.run(line, capture_output=True, text=True, env=environment(), timeout=60, check=False)
        assert again.returncode == 0, again.stderr
        other = run(teacher, file, out, "--temperature", "0.5")
        assert other.returncode == 2
        assert "another --out" in other.stderr


def test_refused_truncated_and_empty_answers_are_left_out_and_truncated_ones_asked_again(tmp_path: Path) -> None:
    special = {
        "question 0": completion("I'm sorry, but I can't help with that."),
        "question 1": completion(None, refusal="no"),
        "question 2": completion("half an ans", "length"),
        "question 3": completion(""),
    }
    special["question 1"]["choices"][0]["message"]["refusal"] = "I must not."

    def script(body: dict[str, Any]) -> Response | str:
        text = body["messages"][-1]["content"]
        if text in special and not (text == "question 2" and body["max_tokens"] > 100):
            return JSONResponse(special[text])
        return answer(body)

    file, out = prompts(tmp_path, 8), tmp_path / "data"
    with serve(script) as teacher:
        done = run(teacher, file, out, "--max-tokens", "100")
        assert done.returncode == 0, done.stderr
        assert facts(out)["answers"] == {"refused": 2, "truncated": 1, "empty": 1, "ok": 4}
        assert {row["reason"] for row in rows(out / "rejected.jsonl")} == {"refused", "truncated", "empty"}
        assert "--max-tokens asks for those again" in done.stdout
        asked = len(teacher.bodies)
        assert run(teacher, file, out, "--max-tokens", "200").returncode == 0
        assert [body["messages"][-1]["content"] for body in teacher.bodies[asked:]] == ["question 2"]
        assert facts(out)["answers"] == {"refused": 2, "empty": 1, "ok": 5}
        assert facts(out)["cost"]["replies"] == 9
        assert run(teacher, file, out, "--keep-refusals").returncode == 0
        kept = [row["messages"][-1]["content"] for row in rows(out / "train.jsonl") + rows(out / "eval.jsonl")]
        assert "I'm sorry, but I can't help with that." in kept


def test_the_budget_is_never_passed_and_a_higher_one_goes_on(tmp_path: Path) -> None:
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


def test_429_5xx_and_lost_answers_are_tried_again(tmp_path: Path) -> None:
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
        (lambda: error(429, "slow down", retry_after="30"), "429: slow down; no answer for 1 s of patience"),
        (lambda: error(400, "Unsupported parameter: max_tokens"), "400: Unsupported parameter.*20 times"),
        (lambda: PlainTextResponse("<html>login</html>"), "something else than a chat completion; 5 times"),
        (lambda: JSONResponse({"choices": []}), "something else than a chat completion"),
    ],
)
def test_an_api_without_hope_is_a_clear_stop_that_keeps_what_was_paid(tmp_path: Path, response: Any, said: str) -> None:
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
        assert "the same command goes on" in text
        assert len(rows(out / "train.jsonl") + rows(out / "eval.jsonl")) == good
        teacher.script = answer
        assert run(teacher, file, out).returncode == 0
        assert set(teacher.answered.values()) == {1}
        assert len(teacher.answered) == 30


def test_an_api_that_never_takes_a_request_is_a_stop_after_few(tmp_path: Path) -> None:
    with serve(lambda body: error(400, "Unsupported parameter: max_tokens")) as teacher:
        done = run(teacher, prompts(tmp_path, 30), tmp_path / "data")
        assert done.returncode == 3
        assert "5 times" in done.stderr
        assert len(teacher.bodies) <= 9


def test_an_answer_without_usage_counts_its_worst_case_against_the_budget(tmp_path: Path) -> None:
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
        assert "perhaps paid besides" in done.stdout


@pytest.mark.timeout(300)
def test_kills_at_random_points_and_reruns_give_the_same_dataset(tmp_path: Path) -> None:
    count, concurrency = 60, 4
    file, out, whole = prompts(tmp_path, count), tmp_path / "data", tmp_path / "whole"
    chance = random.Random(5)
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
            time.sleep(chance.uniform(0.0, 0.4))
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
        # Only calls that were under way at a SIGKILL can have been answered twice: they are counted.
        lost = facts(out)["cost"]["calls_cut_off_by_a_kill"]
        assert sum(n - 1 for n in teacher.answered.values()) <= lost <= kills * concurrency
        assert facts(out)["cost"]["replies"] == count


def test_new_prompts_are_written_from_seeds_filtered_and_answered(tmp_path: Path) -> None:
    made = iter(range(10_000))

    def script(body: dict[str, Any]) -> Response | str:
        text = body["messages"][-1]["content"]
        if "JSON array" in text:
            words = ["violin", "glacier", "senate", "pepper", "orbit", "tailor", "canyon", "marble"]
            fresh = [f"Tell me about the {words[next(made) % 8]} {hash_word(next(made))}" for _ in range(8)]
            return json.dumps([*fresh, "question 1", "Question  2"])
        return answer(body)

    file, out = prompts(tmp_path, 20), tmp_path / "data"
    with serve(script) as teacher:
        done = run(teacher, file, out, "--synthesize", "12")
        assert done.returncode == 0, done.stderr
        assert facts(out)["prompts"]["synthetic"] == 12
        assert facts(out)["synthesis"]["too_alike"] >= 2
        assert sum(row["synthetic"] for row in facts(out)["synthesis"]["coverage"]) in (0, 12)
        synthetic = [row for row in rows(out / "train.jsonl") if row.get("synthetic")]
        assert len(synthetic) == 12
        assert not any(row.get("synthetic") for row in rows(out / "eval.jsonl"))
        asked = len(teacher.bodies)
        assert run(teacher, file, out, "--synthesize", "12").returncode == 0
        assert len(teacher.bodies) == asked, "a rerun finds its own proposals"


def hash_word(number: int) -> str:
    return "".join(chr(97 + (number * 7919 + i * 104729) // (i + 1) % 26) for i in range(12))


def test_top_logprobs_are_asked_for_and_stored(tmp_path: Path) -> None:
    entry = {"token": "Hi", "logprob": -0.1, "bytes": [72, 105]}
    content = [{**entry, "top_logprobs": [entry, {"token": "Yo", "logprob": -2.5, "bytes": [89, 111]}]}]

    def script(body: dict[str, Any]) -> Response:
        return JSONResponse(completion("Hi", logprobs={"content": content}))

    file, out = prompts(tmp_path, 2), tmp_path / "data"
    with serve(script) as teacher:
        done = run(teacher, file, out, "--top-logprobs", "2", "--eval-share", "0")
        assert done.returncode == 0, done.stderr
        assert (teacher.bodies[0]["logprobs"], teacher.bodies[0]["top_logprobs"]) == (True, 2)
        (token,) = rows(out / "train.jsonl")[0]["teacher_logprobs"]
        assert token["top"] == [["Hi", -0.1, [72, 105]], ["Yo", -2.5, [89, 111]]]


def test_the_cost_goes_into_the_ledger_as_an_investment(tmp_path: Path) -> None:
    file, out = prompts(tmp_path, 5), tmp_path / "support"
    config = tmp_path / "breakeven.yaml"
    config.write_text(yaml.safe_dump(make_config("http://127.0.0.1:9/v1", "http://127.0.0.1:9/v1")))
    with serve(answer) as teacher:
        done = run(teacher, file, out, "--config", str(config))
    assert done.returncode == 0, done.stderr
    line = [sys.executable, "-m", "gateway.cli", "report", "--json", "--config", str(config)]
    report = subprocess.run(line, capture_output=True, text=True, env=environment(), timeout=60, check=False)
    assert report.returncode == 0, report.stderr
    named = {one["name"]: one for one in json.loads(report.stdout)["investments"]}
    assert "0.001" in str(named["data:support"])


def test_what_is_absent_is_named(tmp_path: Path) -> None:
    file = prompts(tmp_path, 2)
    with serve(answer) as teacher:
        line = command(teacher, file, tmp_path / "data")
        bare = {name: value for name, value in environment().items() if name != "TEACHER_KEY"}
        done = subprocess.run(line, capture_output=True, text=True, env=bare, timeout=60, check=False)
        assert done.returncode == 2
        assert "TEACHER_KEY is not set" in done.stderr
        with file.open("a") as more:
            more.write("nonsense\n")
        bad = run(teacher, file, tmp_path / "data")
        assert bad.returncode == 2
        assert "prompts.jsonl: line 3: not JSON" in bad.stderr
        skipped = run(teacher, file, tmp_path / "data", "--skip-bad")
        assert skipped.returncode == 0
        assert "skipped 1 of 3 rows" in skipped.stderr
        assert facts(tmp_path / "data")["prompts"]["bad_rows"] == 1


def test_a_second_signal_cuts_off_calls_under_way_and_counts_them(tmp_path: Path) -> None:
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
        assert process.poll() is None, "the first signal waits for the calls under way"
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
        assert process.returncode == 2
        assert b"interrupted twice" in said
        assert b"Traceback" not in said
        teacher.delay = 0.0
        assert run(teacher, file, out).returncode == 0
        assert facts(out)["cost"]["calls_cut_off_by_a_kill"] == 4


def test_a_prompt_that_the_api_refuses_is_given_up_and_named(tmp_path: Path) -> None:
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


def test_a_full_disk_is_a_clear_stop_and_the_journal_goes_on(tmp_path: Path) -> None:
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
        # What was under way when the disk was full is asked again, and counted.
        again = sum(teacher.answered.values()) - 30
        assert 0 <= again <= facts(out)["cost"]["calls_cut_off_by_a_kill"] <= 17
