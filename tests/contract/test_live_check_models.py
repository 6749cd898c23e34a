"""`breakeven check --live` on further models, and its hints on the address and the header of the key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.contract.further import MODEL_KEY, model
from tests.contract.scripted import ScriptedUpstream, answer, completion, error_answer
from tests.contract.test_live_check import Upstreams, line, listing
from tests.contract.test_live_check import upstreams as upstreams
from tests.support.tls import unused_port

VECTOR = {
    "object": "list",
    "data": [{"index": 0, "embedding": [0.1]}],
    "usage": {"prompt_tokens": 1, "total_tokens": 1},
}


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("T_MODEL_KEY", MODEL_KEY)


def about(lines: list[str], name: str) -> list[str]:
    return [one for one in lines if f" model {name}: " in one]


def test_each_is_asked_in_its_own_way(upstreams: Upstreams) -> None:
    with ScriptedUpstream("embed") as further:
        models = [
            model(further, "embed", usd_per_million={"input": 1}),
            model(further, "ranks", model="embed", paths=["/audio/speech", "/rerank"]),
            model(further, "chats", model="embed", paths=["/chat/completions"]),
            model(further, "hears", model="embed", paths=["/audio/transcriptions", "/audio/translations"]),
        ]
        further.on('"input"', *answer(VECTOR))
        further.on('"query"', *answer({"results": []}))
        further.on('"max_tokens"', *error_answer(400, "'max_tokens' is not supported"))
        further.on('"messages"', *answer(completion()))
        code, lines = upstreams.check({"models": models})
        assert code == 0, lines
        line(lines, r"ok    model embed: embed answers at /embeddings in \d+\.\d s")
        line(lines, r"ok    model ranks: embed answers at /rerank in .*")
        line(lines, r"ok    model chats: embed answers at /chat/completions in .*")
        line(lines, r"ok    model hears: it lists embed")
        line(lines, r"note  model hears: not asked: a request to /audio/transcriptions, /audio/translations needs .*")
        asked = [(one.path, one.json.get("input")) for one in further.received]
        assert asked.count(("/v1/embeddings", "yes")) == 1
        assert {path for path, _ in asked} == {"/v1/embeddings", "/v1/rerank", "/v1/chat/completions"}
        limits = [
            set(one.json) & {"max_tokens", "max_completion_tokens"} for one in further.received if "chat" in one.path
        ]
        assert limits == [{"max_tokens"}, {"max_completion_tokens"}]
        assert {one.headers["authorization"] for one in further.received} == {f"Bearer {MODEL_KEY}"}
        assert MODEL_KEY not in "".join(lines)


@pytest.mark.parametrize("paths", [["/embeddings"], ["/images/generations"]])
def test_what_one_may_lack(upstreams: Upstreams, paths: list[str]) -> None:
    with ScriptedUpstream("embed") as further, unused_port() as port:

        def check(**fields: Any) -> tuple[int, list[str]]:
            code, lines = upstreams.check({"models": [model(further, "embed", paths=paths, **fields)]})
            return code, about(lines, "embed")

        refused = error_answer(401)
        further.models(*refused)
        further.default(*refused)
        code, lines = check()
        assert code == 1
        line(lines, r"FAIL  model embed: it refuses the key \(status 401\); check the variable T_MODEL_KEY, .*")
        code, lines = check(api_key_env=None)
        assert code == 1
        line(lines, r"FAIL  model embed: it wants a key \(status 401\), and none is sent; .*")
        further.models(*listing("other"))
        further.default(*error_answer(404, "no such model"))
        code, lines = check()
        assert code == 1
        line(lines, r"FAIL  model embed: it does not serve embed; correct model: it serves other")
        code, lines = check(base_url=f"http://127.0.0.1:{port}/v1")
        assert code == 1
        line(lines, r"FAIL  model embed: not reached at http://127.*; refused: .*")


def test_no_usage_of_one_that_is_paid_by_the_token(upstreams: Upstreams) -> None:
    with ScriptedUpstream("embed") as further:
        further.default(*answer({**VECTOR, "usage": None}))
        code, lines = upstreams.check({"models": [model(further, "embed", usd_per_million={"input": 1})]})
        assert code == 0
        line(lines, r"note  model embed: it reports no usage: .*")


@pytest.mark.parametrize(
    "answered", [error_answer(404, "Not Found"), answer(b"<html>Welcome</html>")], ids=["404", "page"]
)
def test_a_base_url_without_v1(upstreams: Upstreams, answered: Any) -> None:
    upstreams.student.models(*answered)
    upstreams.student.default(*answered)
    root = upstreams.student.url.removesuffix("/v1")
    code, lines = upstreams.check({"student": {"base_url": root}})
    assert code == 1
    line(lines, rf"FAIL  student: .*; base_url has no /v1, which most servers want: {root}/v1.*")
    code, lines = upstreams.check()
    assert not [one for one in lines if "has no /v1" in one]


def test_a_key_in_the_wrong_header(upstreams: Upstreams, tmp_path: Path) -> None:
    refused = error_answer(401)
    for upstream in (upstreams.student, upstreams.teacher):
        upstream.models(*refused)
        upstream.default(*refused)
    code, lines = upstreams.check({"teacher": {"auth_header": "api-key"}})
    assert code == 1
    line(
        lines,
        r"FAIL  teacher: .*; it is sent in the header api-key, and most servers want authorization: set auth_header",
    )
    assert "header" not in line(lines, r"FAIL  student: .*")
