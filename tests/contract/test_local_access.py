"""Without keys the gateway answers programs on this machine, and no website in its browser; pages may demand a key."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.anthropic_like import error_of
from tests.contract.client import Response, ask
from tests.contract.gateway import Gateway, chat, running
from tests.contract.scripted import ScriptedUpstream

PATHS = ["/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/embeddings"]
PAGES = ["/v1/models", "/metrics", "/readyz", "/console", "/console/main.js", "/docs", "/openapi.json", "/nowhere"]
CONFIG = {"server": {"allowed_hosts": ["gateway.example.com"], "cors_origins": []}}
SIMPLE = {"content-type": "text/plain"}


def post(gateway: Gateway, headers: dict[str, str], path: str = PATHS[0]) -> Response:
    return gateway.post({**chat(), "prompt": "hi", "input": "hi"}, headers, path)


LOCAL = [
    "127.0.0.1", "127.0.0.1:8080", "localhost", "localhost:1", "LOCALHOST:8080", "localhost.", "app.localhost:3000",
    "[::1]", "[::1]:8080", "10.1.2.3:80", "0.0.0.0:8080", "gateway", "gateway:8080", "gateway.example.com",
    "Gateway.Example.com:443", "GATEWAY.example.com.", "localhost.:8080", "localhost:", "[::ffff:127.0.0.1]:80",
    "[::FFFF:7F00:1]", "[2001:db8::1]:8080", "foo.localhost.",
]  # fmt: skip
FOREIGN_HOSTS = [
    "evil.example", "evil.example:8080", "127.0.0.1.evil.example", "localhost.evil.example", "evil.example.",
    "127.0.0.1.nip.io", "other.example.com", "x.gateway.example.com", "127.0.0.1@evil.example", "1.2.3", "999.1.1.1",
    "[evil.example]", "[::1].evil.com", "localhost:80:evil.example", "[gateway]", "localhost evil.example", "...", ".",
    "[::1", "::1", "[::1].", "evil.example:80@localhost", "localhost/evil.example", "gateway.example.com:x",
    "localhost.localdomain", "127.1", "[fe80::1%25eth0]", "local\xe4host",
]  # fmt: skip


@pytest.mark.parametrize("host", LOCAL)
def test_local_hosts_are_answered(gateway: Gateway, host: str) -> None:
    assert post(gateway, {"host": host}).status == 200
    assert gateway.get("/v1/models", {"host": host}).status == 200


@pytest.mark.parametrize("host", FOREIGN_HOSTS)
def test_a_host_that_a_website_may_have_is_refused(gateway: Gateway, student: ScriptedUpstream, host: str) -> None:
    for path in PATHS:
        response = post(gateway, {"host": host}, path)
        assert (response.status, response.error["code"]) == (403, "host_not_allowed")
        assert response.error["type"] == "permission_error"
        assert "server.allowed_hosts" in response.error["message"]
    for path in PAGES:
        response = gateway.get(path, {"host": host})
        assert (response.status, response.error["code"]) == (403, "host_not_allowed")
    assert not student.received


def test_a_rebound_name_is_refused_although_it_is_of_one_origin(gateway: Gateway, student: ScriptedUpstream) -> None:
    headers = {"host": "evil.example:8080", "origin": "http://evil.example:8080", "sec-fetch-site": "same-origin"}
    assert post(gateway, headers).status == 403
    assert not student.received


@pytest.mark.parametrize("path", ["/healthz", "/health", "/ping", "/health/", "//healthz"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_health_is_told_under_any_host(gateway: Gateway, path: str, method: str) -> None:
    for headers in ({"host": "balancer.example"}, {"origin": "https://status.example"}):
        assert ask(gateway.port, path, headers=headers, method=method).status == 200


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "http://evil.example:8080", "null", "http://localhost.evil.example", "http://10.1.2.3",
     "http://127.0.0.1.evil.example:1", "http://other", "file://", "chrome-extension://abc", "", "127.0.0.1",
     "https://gateway.example.com", "http://localhost@evil.example", "http://0.0.0.0:8080", "data:", "null, null",
     "http://localhost, http://evil.example", "http://localhost:80:evil.example", "http://evil.example#localhost",
     "http://localhost\\.evil.example", "http://127.0.0.1:80.evil.example", "vscode-webview://x", "http://[::2]"],
)  # fmt: skip
@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "application/json"])
def test_a_post_from_a_page_of_another_origin_is_refused(
    gateway: Gateway, student: ScriptedUpstream, origin: str, content_type: str
) -> None:
    headers = {"host": f"127.0.0.1:{gateway.port}", "origin": origin, "content-type": content_type}
    for path in PATHS:
        response = post(gateway, headers, path)
        assert (response.status, response.error["code"]) == (403, "origin_not_allowed")
        assert not [name for name in response.headers if name.startswith("access-control")]
    assert not student.received
    settled = gateway.settled()[-1]
    assert (settled["outcome"], settled["status"], settled["attempts"]) == ("rejected", 403, [])


def test_a_post_that_a_browser_calls_foreign_is_refused(gateway: Gateway, student: ScriptedUpstream) -> None:
    assert post(gateway, {**SIMPLE, "sec-fetch-site": "cross-site"}).error["code"] == "origin_not_allowed"
    assert not student.received
    assert gateway.get("/docs", {"sec-fetch-site": "cross-site"}).status == 200  # a link
    assert post(gateway, {**SIMPLE, "sec-fetch-site": "same-origin"}).status == 200


@pytest.mark.parametrize(
    "origin",
    [
        "http://localhost:3000",
        "https://localhost",
        "http://127.0.0.1:1",
        "http://[::1]:3000",
        "http://app.localhost:5173",
    ],
)
def test_pages_of_programs_on_this_machine_may_post(gateway: Gateway, origin: str) -> None:
    assert post(gateway, {"origin": origin, "sec-fetch-site": "same-site"}).status == 200


@pytest.mark.parametrize("host", ["127.0.0.1:{}", "localhost:{}", "[::1]:{}", "gateway.example.com", "Localhost:{}"])
def test_the_gateways_own_pages_may_post(gateway: Gateway, host: str) -> None:
    named = host.format(gateway.port)
    headers = {"host": named, "origin": f"http://{named.lower()}", "sec-fetch-site": "same-origin"}
    assert post(gateway, headers).status == 200
    assert post(gateway, {**headers, "origin": f"https://{named}"}).status == 200
    assert gateway.get("/metrics", headers).status == 200


@pytest.mark.parametrize("origin", ["null", "", "https://evil.example"])
def test_an_empty_host_is_no_origin_of_its_own(gateway: Gateway, student: ScriptedUpstream, origin: str) -> None:
    assert post(gateway, {"host": "", "origin": origin}).error["code"] == "origin_not_allowed"
    body = json.dumps(chat()).encode()
    with gateway.connect() as client:
        head = f"POST /v1/chat/completions HTTP/1.0\r\norigin: {origin}\r\ncontent-length: {len(body)}\r\n\r\n"
        client.send(head.encode() + body)
        assert client.head()[0] == 403
    assert not student.received


CLOSED = [
    ("GET", "/admin/policy"), ("PUT", "/admin/policy"), ("GET", "/admin/report"), ("GET", "/console"),
    ("GET", "/console/session"), ("POST", "/console/session"), ("GET", "/v1/responses/resp_1"),
    ("DELETE", "/v1/responses/resp_1"), ("POST", "/v1/responses/resp_1/cancel"), ("POST", "/v1/responses/input_tokens"),
    ("POST", "/v1/responses/compact"), ("POST", "/v1/feedback"), ("OPTIONS", PATHS[0]), ("POST", f"{PATHS[0]}?a=1"),
    ("POST", "/chat/completions"), ("POST", "//v1/chat/completions/"), ("HEAD", "/metrics"), ("GET", "/version"),
    ("POST", "/openai/deployments/auto/chat/completions"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), CLOSED)
def test_no_path_and_no_spelling_is_open_to_a_website(
    gateway: Gateway, student: ScriptedUpstream, method: str, path: str
) -> None:
    body = chat() if method in ("POST", "PUT") else None
    for headers in ({"host": "evil.example"}, {"origin": "https://evil.example"}):
        assert ask(gateway.port, path, body, {**headers, "authorization": "Bearer x"}, method).status == 403
    assert student.received == gateway.teacher.received == []


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages?beta=true", "/anthropic/v1/messages", "/v1/messages/x"])
def test_refusals_of_anthropics_paths_have_its_shape(gateway: Gateway, path: str) -> None:
    for headers in ({"host": "evil.example"}, {"origin": "https://evil.example"}):
        response = post(gateway, headers, path)
        assert response.status == 403
        error_of(response)


def test_programs_without_these_headers_are_answered(gateway: Gateway) -> None:
    body = json.dumps(chat()).encode()
    with gateway.connect() as client:
        head = f"POST /v1/chat/completions HTTP/1.0\r\ncontent-length: {len(body)}\r\n\r\n"
        client.send(head.encode() + body)
        assert client.head()[0] == 200


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway whose pages demand keys, and which lets one origin in."""
    changes = {
        "server": {"cors_origins": ["https://app.example.com", "app://desktop.example"]},
        "admin": {"metrics_key_env": "T_METRICS_KEY", "console_key_env": "T_CONSOLE_KEY"},
    }
    environment = {"T_METRICS_KEY": "scrape-me", "T_CONSOLE_KEY": "let:me in", "BREAKEVEN_ADMIN_KEY": "admin"}
    with running(tmp_path_factory.mktemp("others"), changes, environment=environment) as gateway:
        yield gateway


@pytest.mark.parametrize("origin", ["https://app.example.com", "app://desktop.example"])
def test_a_listed_origin_may_post(others: Gateway, origin: str) -> None:
    response = post(others, {"origin": origin, "sec-fetch-site": "cross-site"})
    assert response.status == 200
    assert response.headers["access-control-allow-origin"] == origin
    wanted = {"origin": origin, "access-control-request-method": "POST"}
    assert ask(others.port, PATHS[0], headers=wanted, method="OPTIONS").status == 200
    refused = {**wanted, "origin": "https://evil.example"}
    assert ask(others.port, PATHS[0], headers=refused, method="OPTIONS").status == 403
    assert post(others, {"origin": "https://evil.example"}).status == 403
    assert post(others, {"host": "evil.example", "origin": origin}).status == 403


def basic(password: str, user: str = "any") -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


KEYS = {"/metrics": "scrape-me", "/console": "let:me in", "/console/main.js": "let:me in"}


@pytest.mark.parametrize("path", KEYS)
def test_a_page_answers_with_its_key(others: Gateway, path: str) -> None:
    key = KEYS[path]
    for headers in (
        {"authorization": f"Bearer {key}"},
        {"authorization": f"bearer  {key} "},
        basic(key),
        basic(key, ""),
    ):
        assert others.get(path, headers).status == 200


@pytest.mark.parametrize("path", KEYS)
def test_a_page_without_its_key_is_401_and_browsers_ask_for_it(others: Gateway, path: str) -> None:
    wrong = [
        {}, {"authorization": ""}, {"authorization": "Bearer"}, {"authorization": "Bearer wrong"}, basic("wrong"),
        {"authorization": KEYS[path]}, {"authorization": "Basic"}, {"authorization": "Basic !!!"}, basic(""),
        {"authorization": f"Basic {KEYS[path]}"}, {"authorization": "Bearer admin"}, {"authorization": "Bearer \xff"},
        {"authorization": f"Digest {KEYS[path]}"}, {"authorization": "Basic /w=="},
    ]  # fmt: skip
    for headers in wrong:
        response = others.get(path, headers)
        assert (response.status, response.error["code"]) == (401, "invalid_api_key"), headers
        assert response.headers["www-authenticate"].startswith("Basic ")


def test_the_keys_of_pages_open_nothing_else(others: Gateway) -> None:
    for path in ("/healthz", "/readyz", "/docs", "/openapi.json", "/v1/models"):
        assert others.get(path).status == 200
    assert others.get("/admin/policy", {"authorization": "Bearer let:me in"}).status == 401
    assert others.get("/console", {"authorization": "Bearer scrape-me"}).status == 401
    assert others.get("/metrics", {"authorization": "Bearer let:me in"}).status == 401


def test_a_key_of_a_page_must_be_in_the_environment(tmp_path: Path) -> None:
    said = pytest.raises(AssertionError, match=r"admin\.metrics_key_env: the environment variable T_NONE is not set")
    with said, running(tmp_path, {"admin": {"metrics_key_env": "T_NONE"}}):
        pass


def test_with_keys_neither_host_nor_origin_matters(tmp_path: Path) -> None:
    key = {"name": "a", "sha256": hashlib.sha256(b"secret").hexdigest()}
    with running(tmp_path, {"auth": {"keys": [key]}}) as gateway:
        headers = {"host": "evil.example", "origin": "https://evil.example", "authorization": "Bearer secret"}
        assert post(gateway, headers).status == 200
        del headers["authorization"]
        assert post(gateway, headers).status == 401


@pytest.mark.parametrize("host", ["https://a.example", "a.example:80", "*", "*.example.com", "", "a/b"])
def test_allowed_hosts_are_names(tmp_path: Path, host: str) -> None:
    said = pytest.raises(AssertionError, match=r"server\.allowed_hosts: must be exact host names")
    with said, running(tmp_path, {"server": {"allowed_hosts": [host]}}):
        pass
