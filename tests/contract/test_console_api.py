"""What the console asks, from outside: single requests, filters, comparisons, labels, and the history with undo."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.client import eventually
from tests.contract.gateway import Gateway, chat, running
from tests.contract.scripted import answer, completion, error_answer

ADMIN = {"authorization": "Bearer admin"}
CONFIG: dict[str, Any] = {
    "road": {"sample": 1.0, "scorer": "exact"},
    "ledger": {"store_prompts": True, "store_conversations": True},
    "workloads": ["search"],
}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """Six requests, of two workloads, of which the student answers the half; all are compared."""
    environment = {"BREAKEVEN_ADMIN_KEY": "admin"}
    with running(tmp_path_factory.mktemp("console-api"), CONFIG, environment=environment) as gateway:
        gateway.student.default(*answer(completion("London")))
        gateway.teacher.default(*answer(completion("Paris")))
        for number in range(6):
            headers = {"x-breakeven-workload": "search"} if number % 3 == 0 else {}
            model = "auto@0" if number % 2 else "auto@1"
            assert gateway.post(chat(f"What is the capital of country {number}?", model=model), headers).status == 200
        eventually(lambda: len(read(gateway, "comparisons")["comparisons"]) == 6, seconds=60)
        yield gateway


def read(gateway: Gateway, path: str) -> dict[str, Any]:
    found = gateway.get(f"/admin/{path}", ADMIN)
    assert found.status == 200, found.body
    return dict(found.json)


def post(gateway: Gateway, path: str, body: object = None) -> Any:
    return gateway.post({} if body is None else body, ADMIN, f"/admin/{path}")


def test_requests_are_filtered_and_read_on(served: Gateway) -> None:
    whole = read(served, "decisions")
    assert (len(whole["decisions"]), whole["next_before"]) == (6, None)
    for query, count in (
        ("route=student", 3), ("route=student&workload=search", 1), ("reason=difficult", 3), ("key=nobody", 0),
        ("key=", 6), ("outcome=ok", 6), ("outcome=truncated", 0),
    ):  # fmt: skip
        assert len(read(served, f"decisions?{query}")["decisions"]) == count, query
    ids, before = [], ""
    for _ in range(3):
        found = read(served, f"decisions?limit=2{before}")
        ids += [one["id"] for one in found["decisions"]]
        before = f"&before={found['next_before']}"
    assert ids == [one["id"] for one in whole["decisions"]]
    middle = whole["decisions"][2]["at"]
    assert len(read(served, f"decisions?since={middle}")["decisions"]) == 3


def test_a_rare_value_makes_nobody_read_a_large_ledger(served: Gateway) -> None:
    """Of 60,000 requests the newest 50,000 are searched, and the answer says where to go on."""
    newest = read(served, "decisions?limit=1")["decisions"][0]
    with sqlite3.connect(served.folder / "ledger.db") as ledger:
        for table, key in (("requests", "id"), ("attempts", "request")):
            names = [row[1] for row in ledger.execute(f"PRAGMA table_info({table})")]
            values = {key: "printf('%032d', n)"}
            if table == "requests":
                values |= {
                    "at": f"{newest['at']} - 10000000 - n",
                    "reason": "'easy'",
                    "key": "iif(n > 55000, 'rare', '')",
                }
            wanted = ", ".join(values.get(name, f'"{name}"') for name in names)
            columns = ", ".join(f'"{name}"' for name in names)
            ledger.execute(
                "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 60000) "
                f"INSERT INTO {table} ({columns}) SELECT {wanted} FROM {table}, c WHERE {key} = ?",
                (newest["id"],),
            )
    found = read(served, "decisions?key=rare")
    assert found["decisions"] == []
    further = read(served, f"decisions?key=rare&limit=5&before={found['next_before']}")
    assert len(further["decisions"]) == 5
    with sqlite3.connect(served.folder / "ledger.db") as ledger:
        ledger.execute("DELETE FROM attempts WHERE request LIKE '000%'")
        ledger.execute("DELETE FROM requests WHERE id LIKE '000%'")


def test_one_request_with_its_attempts(served: Gateway) -> None:
    one = read(served, "decisions?route=teacher&limit=1")["decisions"][0]
    by_ledger, by_client = read(served, f"requests/{one['id']}"), read(served, f"requests/{one['request_id']}")
    assert by_ledger == by_client
    assert by_ledger["request"] == one
    assert by_ledger["why"]
    assert by_ledger["compared"] is True
    (attempt,) = by_ledger["attempts"]
    assert (attempt["upstream"], attempt["version"], attempt["status"]) == ("teacher", "big", 200)
    assert attempt["cost_usd"] == one["cost_usd"] == "0.000160000000"
    assert served.get("/admin/requests/nobody", ADMIN).error["code"] == "request_not_found"


def test_failed_attempts_say_why(tmp_path: Path) -> None:
    with running(tmp_path, {}, environment={"BREAKEVEN_ADMIN_KEY": "admin"}) as gateway:
        gateway.student.default(*error_answer(500, "no"))
        gateway.teacher.default(*answer(completion("Paris")))
        gateway.post(chat("hello"))
        found = read(gateway, f"requests/{read(gateway, 'decisions')['decisions'][0]['id']}")
        assert [one["outcome"] for one in found["attempts"]] == ["upstream_error", "ok"]
        assert found["attempts"][0]["cause"]
        assert found["attempts"][0]["meaning"]
        assert found["why"] == []


def test_an_operator_rates_an_answer(served: Gateway) -> None:
    one = read(served, "decisions?limit=1")["decisions"][0]
    before = served.metric("feedback_total", route=one["route"])
    for score in (0.0, 1.0):
        assert post(served, f"requests/{one['id']}/feedback", {"score": score}).json["feedback"] == score
    assert served.metric("feedback_total", route=one["route"]) == before + 2
    assert post(served, f"requests/{one['id']}/feedback", {"score": 2}).error["code"] == "invalid_feedback"
    assert post(served, "requests/nobody/feedback", {"score": 1}).status == 404


def test_requests_over_time(served: Gateway) -> None:
    found = read(served, "series")
    assert sum(one["student"] for one in found["points"]) == 3
    assert sum(one["teacher"] for one in found["points"]) == 3
    assert (found["keys"], found["workloads"]) == ([""], ["default", "search"])
    # The teacher was also paid for the comparisons.
    assert sum(one["teacher_usd"] for one in found["points"]) == pytest.approx(6 * 0.00016)


def test_comparisons_with_their_texts(served: Gateway) -> None:
    found = read(served, "comparisons?workload=search")["comparisons"]
    assert len(found) == 2
    assert read(served, "comparisons?result=student")["comparisons"] == []
    assert len(read(served, "comparisons?result=teacher&limit=4")["comparisons"]) == 4
    one = read(served, f"comparisons/{found[0]['request']}")
    assert one["comparison"] == found[0]
    assert (one["student_answer"], one["teacher_answer"]) == ("London", "Paris")
    assert one["messages"][0]["content"].startswith("What is the capital of country")
    assert served.get("/admin/comparisons/nobody", ADMIN).error["code"] == "comparison_not_found"


def test_labels_are_stored_only_for_the_pair_that_comes_next(served: Gateway) -> None:
    first = read(served, "labels")
    shown = first["pair"]
    assert {shown["first"], shown["second"]} == {"London", "Paris"}
    skipped = read(served, f"labels?after={shown['request']}")["pair"]
    assert skipped["request"] != shown["request"]
    # Without having skipped the first one, another one cannot be judged: its probability would not be known.
    refused = post(served, f"labels/{skipped['request']}", {"better": "first", "after": None})
    assert (refused.status, refused.error["code"]) == (409, "not_the_next_pair")
    better = "first" if shown["first"] == "Paris" else "second"
    after = post(served, f"labels/{shown['request']}", {"better": better, "after": None}).json
    assert (after["verdicts"], after["waiting"]) == (first["verdicts"] + 1, first["waiting"] - 1)
    ((verdict,),) = served.rows(f"SELECT verdict FROM audits WHERE request = '{shown['request']}'")
    assert verdict == "teacher"
    assert read(served, f"comparisons/{shown['request']}")["comparison"]["verdict"] == "teacher"
    ((chosen,),) = served.rows(
        f"SELECT document FROM conversations WHERE request = '{shown['request']}' AND kind = 'chosen'"
    )
    assert 0.0 < float(chosen) <= 1.0
    repeated = post(served, f"labels/{shown['request']}", {"better": better, "after": None})
    assert repeated.status == 409
    assert "store_conversations" not in str(after["hint"])


def test_versions_of_the_student(served: Gateway) -> None:
    found = read(served, "students")["versions"]
    assert {(one["workload"], one["version"], one["in_force"], one["comparisons"]) for one in found} == {
        ("default", "small", True, 4), ("search", "small", True, 2),
    }  # fmt: skip


def put(gateway: Gateway, threshold: float) -> Any:
    return gateway._ask("/admin/policy", {"threshold": threshold}, ADMIN, "PUT")


def test_policy_changes_are_undone_one_after_the_other(tmp_path: Path) -> None:
    with running(tmp_path, {}, environment={"BREAKEVEN_ADMIN_KEY": "admin"}) as gateway:
        for threshold in (0.3, 0.6):
            assert put(gateway, threshold).status == 200
        newest, first = read(gateway, "changes")["changes"]
        assert (newest["who"], newest["workload"], newest["stage"]) == ("api", "", "policy")
        assert newest["text"] == "all workloads are routed by threshold 0.6, before: 0.3"
        # Only the last one can be undone.
        assert first["undo"] is None
        assert post(gateway, f"changes/{first['id']}/undo").error["code"] == "nothing_to_undo"
        gateway.stop()
        gateway.start()
        undone = post(gateway, f"changes/{newest['id']}/undo")
        assert (undone.status, undone.json["text"]) == (200, "all workloads are routed by threshold 0.3, before: 0.6")
        assert read(gateway, "policy")["threshold"] == 0.3
        # Undoing that is to do it again.
        assert post(gateway, f"changes/{undone.json['id']}/undo").status == 200
        assert read(gateway, "policy")["threshold"] == 0.6
        assert gateway._ask("/admin/policy", None, ADMIN, "DELETE").status == 200
        assert read(gateway, "changes?limit=1")["changes"][0]["text"] == "the policy was removed; the config decides"
        assert post(gateway, "changes/99999/undo").error["code"] == "change_not_found"


def test_the_history_of_a_policy_says_the_same_to_the_command(tmp_path: Path) -> None:
    with running(tmp_path, {}, environment={"BREAKEVEN_ADMIN_KEY": "admin"}) as gateway:
        assert put(gateway, 0.3).status == 200
        events = read(gateway, "road")["events"]
        assert [(one["workload"], one["stage"], one["who"]) for one in events] == [("", "policy", "api")]
