"""`breakeven distill generate` as a subprocess: the dataset that it writes."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import yaml
from starlette.responses import JSONResponse, Response

from tests.support.processes import BREAKEVEN, make_config
from tests.unit.models.support.generating import KEY, answer, command, environment, facts, prompts, rows, run
from tests.unit.models.support.teacher import completion, serve


def test_a_dataset_is_written_and_a_rerun_costs_nothing(tmp_path: Path) -> None:
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
            "under_way_usd": "0",
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


def test_consent_is_required_once_per_dataset(tmp_path: Path) -> None:
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


def test_unusable_answers_are_left_out_and_truncated_ones_requested_again(tmp_path: Path) -> None:
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
        assert "--max-tokens to ask for those again" in done.stdout
        asked = len(teacher.bodies)
        assert run(teacher, file, out, "--max-tokens", "200").returncode == 0
        assert [body["messages"][-1]["content"] for body in teacher.bodies[asked:]] == ["question 2"]
        assert facts(out)["answers"] == {"refused": 2, "empty": 1, "ok": 5}
        assert facts(out)["cost"]["replies"] == 9
        assert run(teacher, file, out, "--keep-refusals").returncode == 0
        kept = [row["messages"][-1]["content"] for row in rows(out / "train.jsonl") + rows(out / "eval.jsonl")]
        assert "I'm sorry, but I can't help with that." in kept


def test_new_prompts_are_synthesized_filtered_and_answered(tmp_path: Path) -> None:
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


def test_top_logprobs_are_requested_and_stored(tmp_path: Path) -> None:
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


def test_the_cost_is_added_to_the_ledger_as_an_investment(tmp_path: Path) -> None:
    file, out = prompts(tmp_path, 5), tmp_path / "support"
    config = tmp_path / "breakeven.yaml"
    config.write_text(yaml.safe_dump(make_config("http://127.0.0.1:9/v1", "http://127.0.0.1:9/v1")))
    with serve(answer) as teacher:
        done = run(teacher, file, out, "--config", str(config))
    assert done.returncode == 0, done.stderr
    line = [*BREAKEVEN, "report", "--json", "--config", str(config)]
    report = subprocess.run(line, capture_output=True, text=True, env=environment(), timeout=60, check=False)
    assert report.returncode == 0, report.stderr
    named = {one["name"]: one for one in json.loads(report.stdout)["investments"]}
    assert "0.001" in str(named["data:support"])


def test_missing_keys_and_bad_rows_are_reported(tmp_path: Path) -> None:
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
