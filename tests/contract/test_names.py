"""Model names: aliases, and what a client key may ask for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.client import eventually
from tests.contract.gateway import Gateway, chat, running
from tests.contract.scripted import answer, completion

PATHS = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "hi"}]},
    "/v1/completions": {"prompt": "hi"},
    "/v1/responses": {"input": "hi"},
}
TOOLS = {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]}


def key(name: str, **rules: Any) -> dict[str, Any]:
    return {"name": name, "sha256": hashlib.sha256(f"secret-{name}".encode()).hexdigest(), **rules}


CONFIG = {
    # `auto` goes to the student, with the threshold of 0 to the teacher.
    "routing": {"aliases": {"gpt-4o": "auto", "big": "auto", "best": "teacher", "cautious": "auto@0", "mine": "small"}},
    "student": {"tools": False},
    "auth": {
        "keys": [
            key("free"),
            key("routed", may_pin=False),
            key("plain", may_override=False),
            key("student", teacher=False),
            key("listed", models=["gpt-4o", "auto"]),
        ]
    },
}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with running(tmp_path_factory.mktemp("names"), CONFIG) as gateway:
        yield gateway


@pytest.fixture(autouse=True)
def fresh_scripts(gateway: Gateway) -> None:
    gateway.student.clear()
    gateway.teacher.clear()


def ask(gateway: Gateway, name: str, model: str | None, path: str = "/v1/chat/completions", **fields: Any) -> Any:
    body = {**PATHS[path], **fields} | ({} if model is None else {"model": model})
    return gateway.post(body, {"authorization": f"Bearer secret-{name}"}, path=path)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("model", "route", "pinned"),
    [
        ("gpt-4o", "student", False),
        ("big", "student", False),
        ("best", "teacher", True),
        ("cautious", "teacher", False),
        ("mine", "student", True),
        ("teacher", "teacher", True),
    ],
)
def test_an_alias_means_what_the_operator_says(
    gateway: Gateway, model: str, route: str, pinned: bool, path: str, stream: bool
) -> None:
    response = ask(gateway, "free", model, path, stream=stream)
    assert (response.status, response.headers["x-breakeven-route"]) == (200, route)
    assert (response.headers["x-breakeven-reason"] == "pinned") is pinned
    sent = (gateway.student if route == "student" else gateway.teacher).last.json
    assert sent["model"] == {"student": "small", "teacher": "big"}[route]
    assert gateway.record(response)["pinned"] is pinned


REFUSED = [
    ("routed", "teacher", "pin_not_allowed"),
    ("routed", "small", "pin_not_allowed"),
    ("plain", "auto@0.2", "threshold_not_allowed"),
    ("student", "teacher", "teacher_not_allowed"),
    ("listed", "cautious", "model_not_allowed"),
    ("listed", "teacher", "model_not_allowed"),
    ("listed", "auto@0.1", "model_not_allowed"),
]


@pytest.mark.parametrize("path", [*PATHS, "/v1/embeddings"])
@pytest.mark.parametrize(("name", "model", "code"), REFUSED)
def test_what_a_key_may_not_ask_for_is_403(gateway: Gateway, name: str, model: str, code: str, path: str) -> None:
    body = {**PATHS.get(path, {"input": "hi"}), "model": model}
    response = gateway.post(body, {"authorization": f"Bearer secret-{name}"}, path=path)
    assert (response.status, response.json["error"]["code"]) == (403, code)
    assert response.json["error"]["type"] == "permission_error"
    assert not gateway.student.received
    assert not gateway.teacher.received


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("routed", "auto"), ("routed", None), ("routed", "auto@0.2"), ("routed", "best"), ("plain", "teacher"),
        ("plain", "cautious"), ("student", "auto"), ("student", "gpt-4o"), ("student", "student"),
        ("listed", "gpt-4o"), ("listed", None),
    ],
)  # fmt: skip
def test_what_it_may_ask_for_is_answered(gateway: Gateway, name: str, model: str | None) -> None:
    assert ask(gateway, name, model).status == 200


def test_a_key_without_the_teacher_never_reaches_it(gateway: Gateway) -> None:
    needs_it = ask(gateway, "student", "auto", **TOOLS)
    assert (needs_it.status, needs_it.json["error"]["code"]) == (403, "teacher_not_allowed")
    # Difficult or not, and where the student fails.
    assert ask(gateway, "student", "cautious").headers["x-breakeven-route"] == "student"
    gateway.student.script(*answer({"error": {"message": "no"}}, 500))
    assert ask(gateway, "student", "auto").status == 500
    assert not gateway.teacher.received


def test_its_prompts_are_not_compared_either(tmp_path: Path) -> None:
    with running(tmp_path, {**CONFIG, "road": {"sample": 1.0, "scorer": "exact"}}) as compared:
        assert ask(compared, "student", "auto").status == 200
        assert ask(compared, "free", "auto").status == 200
        eventually(lambda: compared.metric("comparisons_total", result="compared") == 1)
        assert len(compared.teacher.received) == 1


def test_each_key_lists_its_own_names(gateway: Gateway) -> None:
    def names(name: str) -> set[str]:
        found = gateway.get("/v1/models", {"authorization": f"Bearer secret-{name}"})
        return {one["id"] for one in json.loads(found.body)["data"]}

    every = {"auto", "student", "teacher", "small", "big", "gpt-4o", "best", "cautious", "mine"}
    assert names("free") == every
    assert names("routed") == every - {"student", "teacher", "small"}
    assert names("student") == every - {"teacher", "best"}
    assert names("listed") == {"auto", "gpt-4o"}
    one = gateway.get("/v1/models/teacher", {"authorization": "Bearer secret-routed"})
    assert (one.status, one.json["error"]["code"]) == (403, "pin_not_allowed")


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"routing": {"aliases": {"auto": "teacher"}}}, "routing.aliases.auto: this name has a meaning"),
        ({"routing": {"aliases": {"auto@0.5": "teacher"}}}, "routing.aliases.auto@0.5: this name has a meaning"),
        ({"routing": {"aliases": {"a": "b"}}}, "routing.aliases.a: 'b' is no name here; use one of auto, big"),
        ({"routing": {"aliases": {"a": "auto@1.5"}}}, "routing.aliases.a: 'auto@1.5' is no name here"),
        ({"student": None, "routing": {"aliases": {"a": "student"}}}, "routing.aliases.a: 'student' is no name"),
        ({"student": None, "auth": {"keys": [key("a", teacher=False)]}}, "auth.keys[0].teacher: needs a student"),
    ],
)
def test_an_alias_that_means_nothing_is_refused(tmp_path: Path, config: dict[str, Any], said: str) -> None:
    with pytest.raises(AssertionError, match="did not start"), running(tmp_path, config):
        pass
    assert said in (tmp_path / "gateway.log").read_text()


def test_the_answer_keeps_the_upstreams_own_name(gateway: Gateway) -> None:
    gateway.student.script(*answer(completion(model="small-2026-11")))
    assert ask(gateway, "free", "gpt-4o").json["model"] == "small-2026-11"
    assert chat()["model"] == "auto"
