"""Causes of failures at every endpoint and of every kind of upstream, in all places that name them; and of TLS that
refuses the gateway's own certificate.
"""

from __future__ import annotations

import contextlib
import datetime
import itertools
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.contract.client import Response
from tests.contract.further import model
from tests.contract.gateway import TEACHER_KEY, Gateway, chat
from tests.contract.scripted import (
    Close,
    ExpectDisconnect,
    Head,
    Raw,
    Reset,
    ScriptedUpstream,
    Sleep,
    Step,
    answer,
    error_answer,
)
from tests.contract.test_upstream_failures import ADMIN, QUICK, said
from tests.support.tls import breaking, refusing

ADMIN_KEY = {"authorization": "Bearer the-admin-key"}
CHAT, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/responses", "/v1/messages"
TALK = {"messages": [{"role": "user", "content": "hi"}]}
BODIES: dict[str, dict[str, Any]] = {
    CHAT: TALK, "/v1/completions": {"prompt": "hi"}, RESPONSES: {"input": "hi"}, MESSAGES: {**TALK, "max_tokens": 9},
    "/v1/embeddings": {"input": "hi"}, "/v1/rerank": {"query": "q", "documents": ["a"]},
}  # fmt: skip
HEAD = Head(200, {"content-type": "text/event-stream"})
CAUSES: dict[str, list[Step]] = {
    "closed": [Close()],
    "reset": [Sleep(0.05), Reset()],
    "protocol": [Raw(b"nonsense\r\n\r\n"), Close()],
    "key_refused": error_answer(401, "no"),
    "quota_spent": error_answer(402, "no"),
    "overloaded": error_answer(529, "no"),
    "server_error": error_answer(500, "no"),
    "redirect": error_answer(308, "no"),
}
# What the other endpoints have; the bodies of a further model are passed on unread.
OF_ANSWERS: dict[str, list[Step]] = {
    "invalid_answer": answer(b"<html>"),
    "error_event": answer({"error": {"message": "the engine died"}}),
}


@pytest.fixture(scope="module")
def every(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway whose teacher has a fallback `eu`, and a further model `ranks`; the two scripted upstreams are all."""
    with ScriptedUpstream("small") as student, ScriptedUpstream("big") as teacher:
        gateway = Gateway(
            tmp_path_factory.mktemp("every"), student, teacher,
            {"student": {"timeouts": QUICK, "messages": "native"}, "teacher": {"timeouts": QUICK}},
            environment={**ADMIN, "T_MODEL_KEY": "sk-model"},
        )  # fmt: skip
        common = {name: gateway.config["teacher"][name] for name in ("timeouts", "breaker", "usd_per_million")}
        eu = {"name": "eu", "base_url": teacher.url, "model": "big-eu", "api_key_env": "T_TEACHER_KEY", **common}
        gateway.config["teacher"]["fallbacks"] = [eu]
        gateway.config["models"] = [model(student, "ranks", paths=["/rerank"], timeouts=QUICK)]
        try:
            yield gateway.start()
        finally:
            gateway.stop()


@pytest.fixture
def gateway(every: Gateway) -> Gateway:
    every.student.clear()
    every.teacher.clear()
    return every


def state(gateway: Gateway, label: str) -> dict[str, Any]:
    """What the admin API says of one upstream, by its label in metrics."""
    every = gateway.get("/admin/upstreams", ADMIN_KEY).json["upstreams"]
    further = {one["provider"]: one for one in every if one["upstream"] == "model"}
    routed = {f"{one['upstream']}:{one['provider']}".rstrip(":"): one for one in every if one["upstream"] != "model"}
    return dict({**further, **routed}[label])


def counted(gateway: Gateway, label: str, cause: str = "") -> float:
    """The failures of an upstream in the metric, which has them at once, unlike what is read from the ledger."""
    found = gateway.metrics().items()
    wanted = f'breakeven_upstream_failures_total{{cause="{cause}' if cause else "breakeven_upstream_failures_total{"
    return sum(value for name, value in found if name.startswith(wanted) and f'upstream="{label}"' in name)


def named_everywhere(gateway: Gateway, label: str, cause: str, before: float) -> None:
    """In the metric, /readyz, the admin API and the log."""
    assert counted(gateway, label, cause) == before + 1
    found = state(gateway, label)
    assert found["last_failure"]["cause"] == cause
    assert found["last_failure"]["remedy"]
    ready = gateway.get("/readyz").json
    if label in ("student", "teacher"):
        assert ready[f"{label}_cause"] == cause
    elif label != "ranks":
        assert {one["name"]: one["cause"] for one in ready["teacher_fallbacks"]} == {label.partition(":")[2]: cause}
    title = "model ranks" if label == "ranks" else label
    prefix = f"a call to the {title} failed: {cause}: "
    assert [line for line in said(gateway, "breakeven.upstream") if line["message"].startswith(prefix)]


def fails(gateway: Gateway, path: str, to: str, cause: str, *, streamed: bool = False) -> Response:
    before = counted(gateway, to, cause)
    body = {"model": to, **BODIES[path], **({"stream": True} if streamed else {})}
    response = gateway.post(body, path=path)
    assert response.status >= 400
    record = gateway.record(response)
    assert record["attempts"][-1]["cause"] == cause
    named_everywhere(gateway, to, cause, before)
    return response


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("path", [path for path in BODIES if path != "/v1/rerank"])
@pytest.mark.parametrize("cause", ["closed", "protocol", "key_refused", "overloaded", "redirect", *OF_ANSWERS])
def test_at_every_endpoint(gateway: Gateway, path: str, cause: str, streamed: bool) -> None:
    gateway.student.default(*{**CAUSES, **OF_ANSWERS}[cause])
    fails(gateway, path, "student", cause, streamed=streamed)


@pytest.mark.parametrize("cause", CAUSES)
def test_of_a_further_model(gateway: Gateway, cause: str) -> None:
    gateway.student.default(*CAUSES[cause])
    fails(gateway, "/v1/rerank", "ranks", cause)


@pytest.mark.parametrize("path", [RESPONSES, MESSAGES])
def test_what_is_slow(gateway: Gateway, path: str) -> None:
    gateway.student.default(ExpectDisconnect(3))
    fails(gateway, path, "student", "first_event_timeout", streamed=True)
    fails(gateway, path, "student", "total_timeout")
    gateway.student.default(Head(200, {"content-length": "9"}), Raw(b"{"), ExpectDisconnect(3))
    fails(gateway, path, "student", "idle_timeout")


@pytest.mark.parametrize("cause", ["closed", "overloaded", "server_error", "redirect"])
def test_of_every_provider(gateway: Gateway, cause: str) -> None:
    labels = ("teacher", "teacher:eu")
    gateway.teacher.default(*CAUSES[cause])
    before = [counted(gateway, label, cause) for label in labels]
    record = gateway.record(gateway.post(chat(model="teacher")))
    # A connection that an earlier test left idle may be found closed first.
    causes = [(one.get("provider", ""), one["cause"]) for one in record["attempts"]]
    assert [one for one in causes if one[1] != "stale_connection"] == [("", cause), ("eu", cause)]
    for label, count in zip(labels, before, strict=True):
        named_everywhere(gateway, label, cause, count)


@pytest.mark.parametrize("path", ["/v1/responses/input_tokens", "/v1/messages/count_tokens"])
def test_of_a_count_that_is_estimated_instead(gateway: Gateway, path: str) -> None:
    body = BODIES[MESSAGES if "messages" in path else RESPONSES]
    for cause in ("overloaded", "key_refused", "closed"):
        gateway.student.default(*CAUSES[cause])
        before = counted(gateway, "student", cause)
        response = gateway.post({"model": "student", **body}, path=path)
        assert (response.status, response.headers["x-breakeven-token-count"]) == (200, "estimated")
        named_everywhere(gateway, "student", cause, before)
    before = counted(gateway, "student")
    gateway.student.default(*error_answer(404, "no such path"))
    assert gateway.post({"model": "student", **body}, path=path).status == 200
    assert counted(gateway, "student") == before


def test_of_a_proxy(tmp_path: Path) -> None:
    with ScriptedUpstream("small") as student, ScriptedUpstream("proxy") as proxy:
        proxy.default(Head(403, {"content-length": "0"}))
        changes: dict[str, Any] = {
            "teacher": {"base_url": "https://teacher.test/v1", "proxy": {"env": "T_PROXY"}, "transport": "auto"}
        }
        url = f"http://user:secret-canary@127.0.0.1:{proxy.port}"
        gateway = Gateway(tmp_path, student, proxy, changes, environment={**ADMIN, "T_PROXY": url})
        try:
            gateway.start()
            for streamed in (False, True):
                response = fails(gateway, CHAT, "teacher", "proxy", streamed=streamed)
                assert (response.status, response.error["code"]) == (502, "upstream_unreachable")
            shown = gateway.log.read_text() + str(state(gateway, "teacher")) + str(gateway.get("/readyz").json)
            assert "canary" not in shown + gateway.get("/metrics").body.decode()
            assert TEACHER_KEY not in shown
        finally:
            gateway.stop()


@contextlib.contextmanager
def wanting_a_certificate(folder: Path, version: ssl.TLSVersion) -> Iterator[tuple[trustme.CA, str]]:
    """The CA of a server that wants a client certificate of it, and gets none; and its base URL."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    context.maximum_version = version
    with refusing(context) as port:
        yield authority, f"https://127.0.0.1:{port}/v1"


@pytest.mark.parametrize(
    ("version", "given"),
    [
        (ssl.TLSVersion.TLSv1_2, "none"),
        (ssl.TLSVersion.TLSv1_3, "none"),
        (ssl.TLSVersion.TLSv1_3, "of another CA"),
        (ssl.TLSVersion.TLSv1_3, "expired"),
    ],
)
def test_of_a_refused_client_certificate(tmp_path: Path, version: ssl.TLSVersion, given: str) -> None:
    with (
        wanting_a_certificate(tmp_path, version) as (authority, url),
        ScriptedUpstream("small") as student,
        ScriptedUpstream("big") as teacher,
    ):
        past = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
        maker = trustme.CA() if given == "of another CA" else authority
        one = maker.issue_cert("gateway@example.com", not_after=past if given == "expired" else None)
        one.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "both.pem"))
        section: dict[str, Any] = {"base_url": url, "ca_file": "ca.pem"}
        if given != "none":
            section["client_cert"] = "both.pem"
        changes = {"student": {**section, "transport": "direct"}, "teacher": {**section, "transport": "httpx2"}}
        gateway = Gateway(tmp_path, student, teacher, changes, environment=ADMIN)
        try:
            gateway.start()
            for to, streamed in itertools.product(("student", "teacher"), (False, True)):
                response = fails(gateway, CHAT, to, "tls", streamed=streamed)
                assert response.status == 502
                (attempt,) = gateway.record(response)["attempts"]
                # It was refused before anything was generated.
                assert (attempt.get("usage_missing", False), sum(attempt["cost"].values())) == (False, 0)
            assert "client_cert" in gateway.log.read_text()
        finally:
            gateway.stop()


def test_what_was_generated_before_tls_broke_is_paid_for(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with breaking(context) as port, ScriptedUpstream("small") as student, ScriptedUpstream("big") as teacher:
        section = {"base_url": f"https://127.0.0.1:{port}/v1", "ca_file": "ca.pem"}
        changes = {"student": {**section, "transport": "direct"}, "teacher": {**section, "transport": "httpx2"}}
        gateway = Gateway(tmp_path, student, teacher, changes, environment=ADMIN)
        try:
            gateway.start()
            for to in ("student", "teacher"):
                (attempt,) = gateway.record(fails(gateway, CHAT, to, "tls"))["attempts"]
                # Whether the answer's head was read before it broke is chance.
                assert attempt["usage_missing"] is True
                assert (attempt.get("cost_estimated", 0) > 0) == (to == "teacher")
        finally:
            gateway.stop()
