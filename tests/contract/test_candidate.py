"""The next student as an experiment, from outside: compared beside the student, promoted, dropped and rolled back."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.contract.client import eventually
from tests.contract.gateway import NEVER_OPEN, TIMEOUTS, TRANSPORT, Gateway, chat, merged, running
from tests.contract.road_rows import enter
from tests.contract.scripted import ScriptedUpstream, answer, completion, error_answer
from tests.support.processes import BREAKEVEN, ROOT

SECONDS = 180.0
ADMIN = {"BREAKEVEN_ADMIN_KEY": "admin"}
ADMIN_KEY = {"authorization": "Bearer admin"}
CONFIG: dict[str, Any] = {
    "routing": {"threshold": None},
    "road": {"sample": 0.02, "scorer": "exact", "floor": 0.8, "labels": 60},
    "ledger": {"store_prompts": True},
}


def section(upstream: ScriptedUpstream, **fields: Any) -> dict[str, Any]:
    return {
        "base_url": upstream.url,
        "model": "tiny",
        "timeouts": TIMEOUTS,
        "breaker": NEVER_OPEN,
        **TRANSPORT,
        **fields,
    }


@pytest.fixture
def third() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream("tiny") as upstream:
        yield upstream


@contextlib.contextmanager
def experiment(folder: Path, third: ScriptedUpstream, changes: dict[str, Any] | None = None) -> Iterator[Gateway]:
    """A gateway whose teacher says Paris, and its student London."""
    config = merged(CONFIG, {"candidate": section(third), **(changes or {})})
    with running(folder, config, environment=ADMIN) as gateway:
        gateway.teacher.default(*answer(completion("Paris")))
        gateway.student.default(*answer(completion("London")))
        yield gateway


def breakeven(gateway: Gateway, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*BREAKEVEN, "candidate", *arguments, "--config", str(gateway.path)],
        capture_output=True, text=True, cwd=ROOT, env=gateway.environment, timeout=120, check=False,
    )  # fmt: skip


def standing(gateway: Gateway) -> dict[str, Any]:
    return dict(gateway.get("/admin/candidate", ADMIN_KEY).json)


def reached(gateway: Gateway, phase: str) -> dict[str, Any]:
    return dict(eventually(lambda: one if (one := standing(gateway))["phase"] == phase else None, seconds=SECONDS))


def workload(gateway: Gateway) -> dict[str, Any]:
    return dict(gateway.get("/admin/road", ADMIN_KEY).json["workloads"][0])


def ask(gateway: Gateway, count: int) -> None:
    for number in range(count):
        assert gateway.post(chat(f"What is the capital of France? {number}")).status == 200
        time.sleep(0.03)  # else the queue of comparisons is full


def answered_by(gateway: Gateway, third: ScriptedUpstream) -> str:
    """Who gets a request for the student."""
    before = len(third.received), len(gateway.student.received)
    assert gateway.post(chat("pinned", model="student")).status == 200
    assert (len(third.received), len(gateway.student.received)) != before
    return "candidate" if len(third.received) > before[0] else "student"


def test_one_that_is_better_is_offered_and_promoted_with_its_comparisons(
    tmp_path: Path, third: ScriptedUpstream
) -> None:
    third.default(*answer(completion("Paris")))
    with experiment(tmp_path, third) as gateway:
        assert not [name for name in gateway.metrics() if name.startswith("breakeven_candidate_phase")]
        early = breakeven(gateway, "promote")
        assert (early.returncode, early.stdout) == (2, "")
        assert "nothing is known of the candidate tiny yet" in early.stderr

        ask(gateway, 90)
        found = reached(gateway, "better")
        assert (found["candidate"], found["student"], found["teacher"]) == ("tiny", "small", "big")
        assert found["difference"]["low"] > 0.0
        eventually(lambda: gateway.metric("candidate_phase", breakeven_candidate_phase="better") == 1)
        assert gateway.metric("candidate_phase") == 1, "it is in one phase only"
        eventually(lambda: 0.0 < gateway.metric("candidate_difference_lower") < gateway.metric("candidate_difference"))
        assert gateway.metric("candidate_difference") <= gateway.metric("candidate_difference_upper")
        assert {json.loads(one.body)["model"] for one in third.received} == {"tiny"}
        # Clients have not seen it, and what is reported is the student's.
        assert not any(record["route"] == "student" for record in gateway.settled() if record["reason"] != "shadow")
        assert workload(gateway)["retention"]["value"] == 0.0
        found = eventually(lambda: one if (one := standing(gateway))["routers"] else None, seconds=SECONDS)
        assert found["routers"][0]["proposal"]["student"] == "tiny"

        done = breakeven(gateway, "promote")
        assert (done.returncode, done.stderr) == (0, "")
        written = yaml.safe_load(done.stdout[done.stdout.index("student:\n") :])
        assert written["student"] == section(third)
        eventually(lambda: answered_by(gateway, third) == "candidate")
        state = eventually(lambda: one if (one := workload(gateway))["student"] == "tiny" else None)
        assert state["comparisons"] >= 60
        assert state["retention"]["value"] == 1.0
        assert state["proposal"]["student"] == "tiny"
        assert breakeven(gateway, "promote").returncode == 2

        # As the command says, and nothing changes.
        gateway.config = {**gateway.config, **written}
        del gateway.config["candidate"]
        gateway.write_config()
        eventually(lambda: "the config was reloaded" in gateway.log.read_text().split("is the student in place")[-1])
        time.sleep(4)
        assert answered_by(gateway, third) == "candidate"
        assert (workload(gateway)["student"], workload(gateway)["proposal"]) == ("tiny", state["proposal"])


def test_one_that_is_worse_is_dropped_with_the_evidence_and_asked_no_longer(
    tmp_path: Path, third: ScriptedUpstream
) -> None:
    third.default(*answer(completion("Rome")))
    with experiment(tmp_path, third) as gateway:
        gateway.student.default(*answer(completion("Paris")))
        ask(gateway, 40)
        found = reached(gateway, "dropped")
        assert found["difference"]["high"] < 0.0
        eventually(lambda: gateway.metric("candidate_phase", breakeven_candidate_phase="dropped") == 1)
        assert "tiny is worse: -100.0 points of quality" in found["why"]
        assert f"the same {found['comparisons']} requests" in found["why"]
        shown = breakeven(gateway, "status")
        assert found["why"] in shown.stdout
        assert found["why"] in gateway.log.read_text()
        events = gateway.get("/admin/road", ADMIN_KEY).json["events"]
        assert [one["text"] for one in events if one["workload"] == "candidate"] == [found["why"]]

        time.sleep(1)
        asked, compared = len(third.received), len(gateway.student.received)
        ask(gateway, 10)
        eventually(lambda: len(gateway.student.received) >= compared + 10)
        assert len(third.received) == asked
        # Another revision is another candidate.
        gateway.write_config({"candidate": {"revision": "2"}})
        eventually(lambda: gateway.log.read_text().count("the config was reloaded") > 0)
        third.default(*answer(completion("Paris")))
        ask(gateway, 5)
        assert reached(gateway, "comparing")["candidate"] == "tiny@2"


def test_router_threshold_and_student_are_switched_and_rolled_back_as_one(
    tmp_path: Path, third: ScriptedUpstream
) -> None:
    with experiment(tmp_path, third, {"road": {**CONFIG["road"], "floor": 0.95, "advance": "auto"}}) as gateway:
        enter(tmp_path, 320, candidate="tiny")
        before = eventually(lambda: one if (one := workload(gateway))["stage"] == "route" else None, seconds=SECONDS)
        assert before["in_force"]["answered"] < 0.8
        found = eventually(lambda: one if (one := standing(gateway))["routers"] else None, seconds=SECONDS)
        offered = found["routers"][0]["proposal"]
        assert offered["answered"] > before["in_force"]["answered"]
        # Nothing goes live by itself.
        assert (found["phase"], workload(gateway)["student"]) == ("better", "small")

        promoted = gateway.post({}, ADMIN_KEY, "/admin/candidate/promote")
        assert (promoted.status, promoted.json["phase"]) == (200, "promoted")
        assert "student:" in promoted.json["config"]
        eventually(lambda: answered_by(gateway, third) == "candidate")
        after = workload(gateway)
        assert (after["student"], after["stage"], after["in_force"]["artifact"]) == (
            "tiny",
            "route",
            offered["artifact"],
        )
        live = eventually(
            lambda: one if (one := gateway.post(chat("hi")).headers)["x-breakeven-stage"] == "route" else None
        )
        assert live["x-breakeven-router"] == offered["artifact"]

        assert gateway.process is not None
        gateway.process.kill()
        gateway.process.wait(10)
        gateway.start()
        assert answered_by(gateway, third) == "candidate"
        time.sleep(4)
        assert (workload(gateway)["student"], workload(gateway)["in_force"]["artifact"]) == (
            "tiny",
            offered["artifact"],
        )

        done = breakeven(gateway, "rollback")
        assert (done.returncode, done.stderr) == (0, "")
        eventually(lambda: answered_by(gateway, third) == "student")
        time.sleep(4)
        again = workload(gateway)
        assert (again["student"], again["in_force"]) == ("small", before["in_force"])
        assert "rolled back" in standing(gateway)["why"]
        assert breakeven(gateway, "rollback").returncode == 2


def test_one_that_fails_decides_nothing_and_leaves_the_student_compared(
    tmp_path: Path, third: ScriptedUpstream
) -> None:
    third.default(*answer(completion("Paris")))
    with experiment(tmp_path, third) as gateway:
        # What it does answer says nothing of what it does not.
        third.on("France? 2", *error_answer(500))
        third.on("France? 1", *error_answer(500))
        ask(gateway, 30)
        eventually(lambda: gateway.metric("candidate_comparisons_total", result="failed") >= 20)
        assert gateway.metric("comparisons_total", result="compared") >= 28
        gateway.stop()  # what keeps it back is looked for once a minute, and at the start
        gateway.start()
        found = eventually(lambda: one if (one := standing(gateway))["waits"] else None, seconds=90)
        assert found["waits"].startswith("many requests are compared without an answer of it")
        assert found["phase"] == "comparing"


def test_one_that_is_as_good_waits_and_goes_by_the_operators_word(tmp_path: Path, third: ScriptedUpstream) -> None:
    third.default(*answer(completion("London")))
    with experiment(tmp_path, third) as gateway:
        ask(gateway, 30)
        found = eventually(lambda: one if (one := standing(gateway))["comparisons"] >= 25 else None, seconds=60)
        assert (found["phase"], found["difference"]["value"]) == ("comparing", 0.0)
        refused = breakeven(gateway, "promote")
        assert (refused.returncode, refused.stdout) == (2, "")
        assert "not shown to be better" in refused.stderr
        assert breakeven(gateway, "promote", "--anyway").returncode == 0
        eventually(lambda: answered_by(gateway, third) == "candidate")
        # Clients that know the old name are served, by the student of now.
        assert gateway.post(chat("x", model="small")).headers["x-breakeven-route"] == "student"
        assert breakeven(gateway, "rollback").returncode == 0
        eventually(lambda: answered_by(gateway, third) == "student")
        assert breakeven(gateway, "drop").stdout.startswith("candidate dropped; dropped by the operator")


def test_each_attempt_says_which_model_was_asked(tmp_path: Path, third: ScriptedUpstream) -> None:
    third.default(*answer(completion("Paris")))
    models = {"object": "list", "data": [{"id": "tiny", "object": "model", "root": "/adapters/2", "parent": "base"}]}
    third.models(*answer(models))
    with experiment(tmp_path, third, {"teacher": {"revision": "2026-11"}}) as gateway:
        ask(gateway, 2)
        gateway.post(chat("x", model="student"))

        def versions() -> set[tuple[Any, ...]]:
            return set(gateway.rows("SELECT upstream, provider, version FROM attempts"))

        whole = {
            ("teacher", "", "big@2026-11"), ("student", "", "small"),
            ("student", "candidate", "tiny (/adapters/2 on base)"),
        }  # fmt: skip
        eventually(lambda: versions() == whole)
        with contextlib.closing(sqlite3.connect(tmp_path / "ledger.db")) as connection:
            found = connection.execute("SELECT DISTINCT source, version FROM outcomes").fetchall()
        assert sorted(found) == [("candidate", "tiny (/adapters/2 on base)"), ("shadow", "small")]


def talk(gateway: Gateway, number: int, turns: int = 3) -> list[tuple[str | None, str]]:
    """One conversation with the student; of each turn the provider that the headers name, and the answer."""
    messages: list[dict[str, str]] = []
    seen = []
    for turn in range(turns):
        messages.append({"role": "user", "content": f"conversation {number}, question {turn}"})
        reply = gateway.post({"model": "auto", "messages": messages})
        assert (reply.status, reply.headers["x-breakeven-route"]) == (200, "student")
        text = reply.json["choices"][0]["message"]["content"]
        seen.append((reply.headers.get("x-breakeven-provider"), text))
        messages.append({"role": "assistant", "content": text})
    return seen


def test_a_share_of_the_conversations_is_answered_by_the_candidate_each_as_a_whole(
    tmp_path: Path, third: ScriptedUpstream
) -> None:
    third.default(*answer(completion("Paris")))
    changes = {
        "routing": {"threshold": 1.0, "sticky": True}, "candidate": {**section(third), "share": 0.3},
        "road": {**CONFIG["road"], "sample": 1.0, "max_queue": 1000},
    }  # fmt: skip
    with experiment(tmp_path, third, changes) as gateway:
        found = [talk(gateway, number) for number in range(60)]
        whole = {tuple(set(one)) for one in found}
        assert whole == {(("candidate", "Paris"),), ((None, "London"),)}
        by_candidate = sum(one[0][0] == "candidate" for one in found)
        assert 8 <= by_candidate <= 30
        # A client's id of a conversation holds it, whatever is said.
        header = {"x-breakeven-conversation": "one"}
        named = {gateway.post(chat(f"{n}"), header).headers.get("x-breakeven-provider") for n in range(8)}
        assert len(named) == 1
        assert answered_by(gateway, third) == "student"

        # Of either kind of conversation all three answers are compared, and each is credited to whoever gave it.
        def scores() -> set[tuple[Any, ...]]:
            return set(
                gateway.rows(
                    "SELECT c.source, c.direction, c.student_version, o.student_score FROM comparisons c "
                    "JOIN outcomes o ON o.request = c.request AND o.source = c.source"
                )
            )

        expected = {("shadow", "student_answered", "small", 0.0), ("candidate", "student_answered", "tiny", 1.0)}
        eventually(lambda: scores() == expected and len(gateway.rows("SELECT 1 FROM comparisons")) >= 300, seconds=60)
        assert reached(gateway, "better")["difference"]["value"] == 1.0

        # It fails: the student answers in its place.
        third.default(*error_answer(500))
        conversation = next(number for number, one in enumerate(found) if one[0][0] == "candidate")
        reply = gateway.post(chat(f"conversation {conversation}, question 0"))
        assert (reply.status, reply.headers["x-breakeven-attempts"]) == (200, "2")
        assert (reply.json["choices"][0]["message"]["content"], reply.headers["x-breakeven-reason"]) == (
            "London",
            "easy",
        )
