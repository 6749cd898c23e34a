"""/admin from outside: who may, what it shows, what it changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support.processes import Gateway, replay

KEY = "the-admin-key"
PROMPTS = [f"how much is {n} plus {n}" for n in range(8)]


@pytest.fixture
def served(tmp_path: Path, gateway: Callable[..., Gateway]) -> Iterator[Gateway]:
    rows = [{"prompt": prompt, "answer": "The same.", "prompt_tokens": 20, "output_tokens": 3} for prompt in PROMPTS]
    with replay(tmp_path, "student", rows) as student, replay(tmp_path, "teacher-model", rows) as teacher:
        yield gateway(student, teacher, env={"BREAKEVEN_ADMIN_KEY": KEY}, routing={"novelty_threshold": 1.0})


def call(served: Gateway, method: str, path: str, key: str | None = KEY, **more: Any) -> httpx2.Response:
    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    return httpx2.request(method, f"{served.url}/admin/{path}", headers=headers, timeout=30.0, **more)


def ask(served: Gateway, prompt: str) -> httpx2.Response:
    body = {"model": "auto", "messages": [{"role": "user", "content": prompt}]}
    return httpx2.post(f"{served.base_url}/chat/completions", json=body, timeout=30.0)


def test_policy(served: Gateway) -> None:
    for key in (None, "wrong", KEY + "x", KEY[:-1]):
        refused = call(served, "GET", "policy", key)
        assert refused.status_code == 401
        assert refused.json()["error"]["code"] == "invalid_api_key"
    before = call(served, "GET", "policy").json()
    assert (before["threshold"], before["source"], before["decided_by"]) == (0.5, "config", "config")
    score = float(ask(served, PROMPTS[0]).headers["x-breakeven-score"])

    put = call(served, "PUT", "policy", json={"threshold": 0.0, "artifact": before["artifact"]})
    assert put.status_code == 200, put.text
    answered = ask(served, PROMPTS[0])
    assert answered.headers["x-breakeven-route"] == "teacher"
    assert answered.headers["x-breakeven-threshold"] == "0"
    served.stop()
    served.start()
    assert call(served, "GET", "policy").json() == put.json()
    assert ask(served, PROMPTS[0]).headers["x-breakeven-route"] == "teacher"

    call(served, "PUT", "policy", json={"threshold": min(1.0, score + 0.01)})
    assert ask(served, PROMPTS[0]).headers["x-breakeven-route"] == "student"
    assert call(served, "DELETE", "policy").json()["source"] == "config"


def test_where_stages_decide_a_threshold_routes_and_its_removal_ends_that(
    tmp_path: Path, gateway: Callable[..., Gateway]
) -> None:
    rows = [{"prompt": PROMPTS[0], "answer": "The same.", "prompt_tokens": 20, "output_tokens": 3}]
    with replay(tmp_path, "student", rows) as student, replay(tmp_path, "teacher-model", rows) as teacher:
        served = gateway(student, teacher, env={"BREAKEVEN_ADMIN_KEY": KEY}, routing={"threshold": None})
        before = call(served, "GET", "policy").json()
        assert (before["decided_by"], before["threshold"], before["source"]) == ("stages", 0.0, "config")
        assert ask(served, PROMPTS[0]).headers["x-breakeven-reason"] == "observe"
        refused = call(served, "PUT", "policy", json={"novelty_threshold": 0.9})
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, "threshold")
        assert call(served, "GET", "policy").json() == before
        assert call(served, "PUT", "policy", json={"threshold": 1.0}).json()["decided_by"] == "admin"
        assert ask(served, PROMPTS[0]).headers["x-breakeven-reason"] == "easy"
        assert call(served, "DELETE", "policy").json() == before
        assert ask(served, PROMPTS[0]).headers["x-breakeven-reason"] == "observe"


@pytest.mark.parametrize(
    ("update", "status", "said"),
    [
        ({"threshold": 1.5}, 400, "threshold"),
        ({"thresold": 0.5}, 400, "thresold"),
        ({"threshold": "high"}, 400, "threshold"),
        ({"threshold": 0.1, "artifact": "0" * 12}, 409, "tune again"),
    ],
)
def test_a_wrong_update_changes_nothing(served: Gateway, update: dict[str, Any], status: int, said: str) -> None:
    before = call(served, "GET", "policy").json()
    response = call(served, "PUT", "policy", json=update)
    assert response.status_code == status
    assert said in response.json()["error"]["message"]
    assert set(response.json()["error"]) == {"message", "type", "param", "code"}
    assert call(served, "GET", "policy").json() == before


def test_a_decision_without_a_call(served: Gateway) -> None:
    body = {"model": "auto@0.0", "messages": [{"role": "user", "content": PROMPTS[0]}]}
    found = call(served, "POST", "route", json=body).json()
    assert (found["route"], found["reason"], found["threshold"]) == ("teacher", "difficult", 0.0)
    assert 0 <= found["score"] <= 1
    assert 0 <= found["novelty"] <= 1
    assert len(found["pushes"]) == 8
    assert found["difficulty"]["among"] == "reference_prompts"
    assert found["difficulty"]["probability"] is None
    assert found["why"]
    assert found["explanation"] == "; ".join([*found["why"], found["difficulty"]["text"]])
    assert call(served, "POST", "route", json={"model": "no", "messages": body["messages"]}).status_code == 404
    assert served.sql("SELECT count(*) FROM requests") == [(0,)]


def test_a_decision_without_a_call_says_what_holds_the_conversation(served: Gateway) -> None:
    def explained(body: dict[str, Any], **headers: str) -> tuple[str, str, Any]:
        named = {"authorization": f"Bearer {KEY}", **headers}
        found = httpx2.post(f"{served.url}/admin/route", json=body, headers=named, timeout=30.0).json()
        return found["route"], found["reason"], found["hold"]

    turns = [{"role": "user", "content": PROMPTS[0]}]
    assert explained({"model": "auto@0", "messages": turns}) == ("teacher", "difficult", None)
    sent = {"json": {"model": "auto@0", "messages": turns}, "headers": {"session_id": "s"}, "timeout": 30.0}
    httpx2.post(f"{served.base_url}/chat/completions", **sent)
    body = {"model": "auto@1", "messages": turns}
    assert explained(body) == ("student", "easy", None)
    route, reason, hold = explained(body, session_id="s")
    assert (route, reason, hold["why"]) == ("teacher", "sticky", "difficult")
    assert hold["until"].endswith("Z")
    # As long as the body has its earlier turns, a decision that follows from them has no end.
    more = [*turns, {"role": "assistant", "content": "4"}, {"role": "user", "content": "Thanks!"}]
    assert explained({"model": "auto@0", "input": more}) == ("teacher", "sticky", {"why": "difficult", "until": None})


def test_decisions_report_and_what_if(served: Gateway) -> None:
    scores = [float(ask(served, prompt).headers["x-breakeven-score"]) for prompt in PROMPTS]
    decisions = call(served, "GET", "decisions?limit=5").json()["decisions"]
    assert len(decisions) == 5
    assert [row["score"] for row in decisions] == pytest.approx(scores[:2:-1], abs=1e-6)
    assert PROMPTS[0] not in str(decisions)
    assert [row["difficulty"]["harder_than"] for row in decisions] == [row["score"] for row in decisions]
    assert (
        call(served, "GET", f"decisions?before={decisions[-1]['at']}").json()["decisions"][0]["at"]
        < decisions[-1]["at"]
    )

    report = call(served, "GET", "report").json()
    assert report["requests"] == len(PROMPTS)
    middle = sorted(scores)[4]
    found = call(served, "GET", f"whatif?threshold={middle}").json()["points"]
    share = sum(score >= middle - 1e-6 for score in scores) / len(scores)
    assert found[0]["teacher_share"] == pytest.approx(share, abs=1 / len(scores))
    answered = call(served, "GET", "whatif").json()
    every = answered["points"]
    assert [point["teacher_share"] for point in every] == sorted((p["teacher_share"] for p in every), reverse=True)
    # Nothing is known of this student.
    assert {point["expected_retention"] for point in every} == {None}
    assert (answered["comparisons"], answered["comparisons_needed"]) == (0, 30)
    # Nothing was compared, and some answers are the student's: their cost at the teacher is not known.
    assert (answered["compared_pairs"], answered["compared_pairs_needed"]) == (0, 50)
    assert {(point["teacher_usd"], point["monthly_cost_usd"]) for point in every} == {(None, None)}
    assert (report["savings_usd"], report["compared_pairs_needed"]) == (None, 50)
    assert float(report["baseline_upper_bound_usd"]) > 0
    assert call(served, "GET", "whatif?threshold=2").json()["error"]["param"] == "threshold"


def test_without_a_key_in_the_environment_it_is_not_there(gateway: Callable[..., Gateway]) -> None:
    bare = gateway("http://127.0.0.1:9/v1", "http://127.0.0.1:9/v1", env={"BREAKEVEN_ADMIN_KEY": ""})
    assert call(bare, "GET", "policy").status_code == 404
