"""The way to an upstream: proxies, given by the config or by the environment, and TLS with CAs and certificates."""

from __future__ import annotations

import contextlib
import json
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.contract.client import eventually
from tests.contract.forward_proxy import ForwardProxy, TlsFront
from tests.contract.gateway import TIMEOUTS, Gateway, chat
from tests.contract.scripted import (
    DONE,
    End,
    ExpectDisconnect,
    Head,
    ScriptedUpstream,
    Send,
    Sleep,
    delta,
    stream,
    usage_chunk,
)

PASSWORD = "user:proxy canary/%5"
QUOTED = "user:proxy%20canary%2F%255"
NO_VARIABLES = {
    name: "" for part in ("http", "https", "all", "no") for name in (f"{part}_proxy", f"{part.upper()}_PROXY")
}


class Way:
    """A teacher that only a proxy can reach as `teacher.test`, by http and, with `tls`, by https."""

    def __init__(self, folder: Path, stack: contextlib.ExitStack, tls: ssl.SSLContext | None = None) -> None:
        self.folder, self._stack = folder, stack
        self.student = stack.enter_context(ScriptedUpstream("small"))
        self.teacher = stack.enter_context(ScriptedUpstream("big"))
        self.hosts = {"teacher.test:80": self.teacher.port}
        self.front: TlsFront | None = None
        if tls is not None:
            self.front = stack.enter_context(TlsFront(self.teacher.port, tls))
            self.hosts["teacher.test:443"] = self.front.port

    def proxy(self, **options: Any) -> ForwardProxy:
        return self._stack.enter_context(ForwardProxy(self.hosts, **options))

    def gateway(self, teacher: dict[str, Any], environment: dict[str, str] | None = None, **more: Any) -> Gateway:
        changes = {"teacher": {"transport": "auto", **teacher}, "routing": {"fallback": False}, **more}
        variables = {**NO_VARIABLES, **(environment or {})}
        gateway = Gateway(self.folder, self.student, self.teacher, changes, environment=variables)
        self._stack.callback(gateway.stop)
        return gateway.start()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def stack() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as entered:
        yield entered


def server_tls(authority: trustme.CA, *names: str, clients: trustme.CA | None = None) -> ssl.SSLContext:
    """The TLS settings of a server with these names; with `clients` it wants a certificate of that CA."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    if clients is not None:
        clients.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


@pytest.fixture
def plain(tmp_path: Path, stack: contextlib.ExitStack) -> Way:
    return Way(tmp_path, stack)


@pytest.fixture
def secure(tmp_path: Path, stack: contextlib.ExitStack, authority: trustme.CA) -> Way:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return Way(tmp_path, stack, server_tls(authority, "teacher.test"))


HTTP = {"base_url": "http://teacher.test/v1"}
HTTPS = {"base_url": "https://teacher.test/v1", "ca_file": "ca.pem"}


def test_http_goes_through_the_proxy_with_the_whole_url(plain: Way) -> None:
    proxy = plain.proxy()
    gateway = plain.gateway({**HTTP, "proxy": proxy.url, "query": {"v": "1"}})
    opened = 0
    for streamed in (False, True, False):
        response = gateway.post(chat(model="teacher", stream=streamed))
        assert response.status == 200
        opened = opened or plain.teacher.accepted
    assert response.json["choices"][0]["message"]["content"] == "hello"
    assert {asked.target for asked in proxy.asked if asked.method == "POST"} == {
        "http://teacher.test/v1/chat/completions?v=1"
    }
    got = plain.teacher.last
    assert (got.path, got.headers["host"]) == ("/v1/chat/completions?v=1", "teacher.test")
    # Connections are kept.
    assert plain.teacher.accepted == opened
    assert f"through the proxy 127.0.0.1:{proxy.port}" in gateway.log.read_text()


def test_https_goes_through_a_tunnel_that_the_proxy_cannot_read(secure: Way) -> None:
    proxy = secure.proxy()
    gateway = secure.gateway({**HTTPS, "proxy": proxy.url})
    parts = [delta("he"), delta("llo"), delta("", finish="stop")]
    secure.teacher.script(*stream(*parts, usage_chunk(), DONE))
    response = gateway.post(chat(model="teacher", stream=True))
    assert response.body == b"".join(parts) + DONE
    assert gateway.post(chat(model="teacher")).status == 200
    assert {(asked.method, asked.target) for asked in proxy.asked} == {("CONNECT", "teacher.test:443")}
    assert "authorization" not in proxy.asked[0].headers


@pytest.mark.parametrize("base", [HTTP, HTTPS], ids=["http", "https"])
def test_user_and_password_of_a_proxy_come_from_the_environment(secure: Way, base: dict[str, Any]) -> None:
    proxy = secure.proxy(password=PASSWORD)
    url = f"http://{QUOTED}@127.0.0.1:{proxy.port}"
    gateway = secure.gateway({**base, "proxy": {"env": "T_PROXY"}}, {"T_PROXY": url})
    assert gateway.post(chat(model="teacher")).status == 200
    assert "proxy-authorization" not in secure.teacher.last.names
    assert "canary" not in gateway.log.read_text()


@pytest.mark.parametrize("base", [HTTP, HTTPS], ids=["http", "https"])
def test_a_proxy_that_wants_another_password_is_a_502_and_the_log_says_so(secure: Way, base: dict[str, Any]) -> None:
    proxy = secure.proxy(password=PASSWORD)
    url = f"http://user:wrong-canary@127.0.0.1:{proxy.port}"
    gateway = secure.gateway({**base, "proxy": {"env": "T_PROXY"}}, {"T_PROXY": url})
    response = gateway.post(chat(model="teacher"))
    assert (response.status, response.error["code"]) == (502, "upstream_unreachable")
    assert not secure.teacher.received
    log = eventually(lambda: text if "refuses to connect" in (text := gateway.log.read_text()) else "")
    assert f"the proxy 127.0.0.1:{proxy.port} (from T_PROXY) refuses to connect, with status 407" in log
    assert "canary" not in log
    # Nothing was paid for.
    (attempt,) = gateway.record(response)["attempts"]
    assert (attempt.get("usage_missing", False), sum(attempt["cost"].values())) == (False, 0)


def test_a_proxy_that_refuses_a_tunnel_is_a_failure_with_fallback(secure: Way) -> None:
    proxy = secure.proxy(status=403)
    gateway = secure.gateway({**HTTPS, "proxy": proxy.url}, routing={"fallback": True})
    response = gateway.post({**chat(), "model": "auto@0"})
    assert (response.status, response.headers["x-breakeven-reason"]) == (200, "fallback")
    assert response.headers["x-breakeven-route"] == "student"


@pytest.mark.parametrize("base", [HTTP, HTTPS], ids=["http", "https"])
def test_a_proxy_that_is_not_there_is_the_cause(secure: Way, base: dict[str, Any]) -> None:
    gateway = secure.gateway({**base, "proxy": "http://127.0.0.1:9"})
    response = gateway.post(chat(model="teacher"))
    assert (response.status, response.error["code"]) == (502, "upstream_unreachable")
    assert gateway.metric("upstream_failures_total", upstream="teacher", cause="proxy") >= 1
    assert "127.0.0.1:9 (from " in gateway.log.read_text()


@pytest.mark.parametrize("hang", ["proxy", "tls"])
def test_a_proxy_or_tls_that_does_not_answer_is_cut_at_the_connect_timeout(
    plain: Way, stack: contextlib.ExitStack, hang: str
) -> None:
    silent = plain.proxy(silent=True)
    plain.hosts["teacher.test:443"] = silent.port
    proxy = silent if hang == "proxy" else plain.proxy()
    timeouts = {**TIMEOUTS, "connect_seconds": 0.4}
    gateway = plain.gateway({"base_url": "https://teacher.test/v1", "proxy": proxy.url, "timeouts": timeouts})
    begun = time.monotonic()
    response = gateway.post(chat(model="teacher"))
    assert (response.status, response.error["code"]) == (502, "upstream_unreachable")
    assert 0.3 < time.monotonic() - begun < 1.2


@pytest.mark.parametrize("base", [HTTP, HTTPS], ids=["http", "https"])
def test_each_event_passes_a_proxy_at_once_and_a_client_gone_closes_the_upstream(
    secure: Way, base: dict[str, Any]
) -> None:
    gateway = secure.gateway({**base, "proxy": secure.proxy().url})
    head = Head(200, {"content-type": "text/event-stream"})
    secure.teacher.script(head, Send(delta("a")), Sleep(0.3), Send(delta("b")), ExpectDisconnect())
    with gateway.connect() as client:
        client.request("POST", "/v1/chat/completions", json.dumps(chat(model="teacher", stream=True)).encode())
        _, headers = client.head()
        parts = client.segments(headers)
        begun = time.monotonic()
        assert next(parts) == delta("a")
        assert next(parts) == delta("b")
        assert 0.15 < time.monotonic() - begun < 0.9
    assert eventually(lambda: secure.teacher.last.disconnected_after) < 1.5
    assert gateway.next_record(0)["outcome"] == "client_cancelled"


def test_a_tunnel_that_the_other_side_closes_is_opened_again(secure: Way) -> None:
    proxy = secure.proxy()
    gateway = secure.gateway({**HTTPS, "proxy": proxy.url})
    for _ in range(3):
        secure.teacher.script(*stream(delta("a", finish="stop"), DONE)[:-1], End(), ExpectDisconnect(0.05))
        assert gateway.post(chat(model="teacher", stream=True)).status == 200
        time.sleep(0.15)
    assert len(proxy.asked) >= 3
    assert gateway.metric("attempts_total", outcome="upstream_error") == 0


@pytest.mark.parametrize(
    ("variables", "through"),
    [
        ({"HTTP_PROXY": "{url}"}, True),
        ({"http_proxy": "{address}"}, True),
        ({"ALL_PROXY": "{url}"}, True),
        ({"HTTPS_PROXY": "{url}"}, False),
        ({"HTTP_PROXY": "{url}", "NO_PROXY": "localhost,.test"}, False),
    ],
    ids=str,
)
def test_the_usual_variables_give_the_proxy(plain: Way, variables: dict[str, str], through: bool) -> None:
    proxy = plain.proxy()
    address = f"127.0.0.1:{proxy.port}"
    environment = {name: text.format(url=proxy.url, address=address) for name, text in variables.items()}
    for name in tuple(environment):
        # An empty variable in lower case would hide the other.
        environment.setdefault(name.lower(), environment[name])
    gateway = plain.gateway(HTTP, environment)
    assert gateway.post(chat(model="teacher")).status == (200 if through else 502)
    assert len([asked for asked in proxy.asked if asked.method == "POST"]) == (1 if through else 0)
    assert through or not proxy.asked


def test_loopback_and_proxy_direct_never_go_through_a_proxy_of_the_environment(plain: Way) -> None:
    proxy = plain.proxy()
    variables = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), proxy.url)
    gateway = plain.gateway({"transport": "direct"}, variables)
    assert gateway.post(chat()).status == 200
    assert gateway.post(chat(model="teacher")).status == 200
    gateway.stop()
    gateway = plain.gateway({**HTTP, "proxy": "direct"}, variables)
    assert gateway.post(chat(model="teacher")).status == 502
    assert not proxy.asked


def test_a_proxy_may_itself_be_reached_by_tls(secure: Way, authority: trustme.CA) -> None:
    proxy = secure.proxy(tls=server_tls(authority, "127.0.0.1"))
    gateway = secure.gateway({**HTTPS, "proxy": f"https://127.0.0.1:{proxy.port}"})
    assert gateway.post(chat(model="teacher")).status == 200
    assert proxy.asked[0].target == "teacher.test:443"


@pytest.mark.parametrize("transport", ["direct", "httpx2"])
@pytest.mark.parametrize(
    ("trusted", "name", "works"), [(True, "127.0.0.1", True), (False, "127.0.0.1", False), (True, "other.test", False)]
)
def test_a_server_of_an_unknown_ca_or_with_another_name_is_not_spoken_to(
    plain: Way, stack: contextlib.ExitStack, authority: trustme.CA,
    transport: str, trusted: bool, name: str, works: bool,
) -> None:  # fmt: skip
    (authority if trusted else trustme.CA()).cert_pem.write_to_path(str(plain.folder / "ca.pem"))
    front = stack.enter_context(TlsFront(plain.teacher.port, server_tls(authority, name)))
    base = {"base_url": f"https://127.0.0.1:{front.port}/v1", "ca_file": "ca.pem", "transport": transport}
    gateway = plain.gateway(base)
    response = gateway.post(chat(model="teacher"))
    assert response.status == (200 if works else 502)
    assert len(plain.teacher.received) == (1 if works else 0)


@pytest.mark.parametrize("transport", ["direct", "httpx2"])
def test_without_a_ca_file_a_private_ca_is_not_trusted(
    plain: Way, stack: contextlib.ExitStack, authority: trustme.CA, transport: str
) -> None:
    front = stack.enter_context(TlsFront(plain.teacher.port, server_tls(authority, "127.0.0.1")))
    gateway = plain.gateway({"base_url": f"https://127.0.0.1:{front.port}/v1", "transport": transport})
    assert gateway.post(chat(model="teacher")).status == 502
    assert not plain.teacher.received


@pytest.mark.parametrize("transport", ["direct", "httpx2"])
@pytest.mark.parametrize("given", ["one file", "two files", "none", "of another CA"])
def test_a_client_certificate_is_shown_to_a_server_that_wants_one(
    plain: Way, stack: contextlib.ExitStack, authority: trustme.CA, transport: str, given: str
) -> None:
    authority.cert_pem.write_to_path(str(plain.folder / "ca.pem"))
    one = (trustme.CA() if given == "of another CA" else authority).issue_cert("gateway@example.com")
    one.private_key_and_cert_chain_pem.write_to_path(str(plain.folder / "both.pem"))
    one.cert_chain_pems[0].write_to_path(str(plain.folder / "cert.pem"))
    one.private_key_pem.write_to_path(str(plain.folder / "key.pem"))
    shown: dict[str, str] = {"client_cert": "both.pem"}
    if given == "two files":
        shown = {"client_cert": "cert.pem", "client_key": "key.pem"}
    elif given == "none":
        shown = {}
    front = stack.enter_context(TlsFront(plain.teacher.port, server_tls(authority, "127.0.0.1", clients=authority)))
    base = {"base_url": f"https://127.0.0.1:{front.port}/v1", "ca_file": "ca.pem", "transport": transport, **shown}
    gateway = plain.gateway(base)
    works = given in ("one file", "two files")
    for streamed in (False, True):
        assert gateway.post(chat(model="teacher", stream=streamed)).status == (200 if works else 502)
    assert len(plain.teacher.received) == (2 if works else 0)


def test_a_client_certificate_is_shown_through_a_tunnel(
    plain: Way, stack: contextlib.ExitStack, authority: trustme.CA
) -> None:
    authority.cert_pem.write_to_path(str(plain.folder / "ca.pem"))
    issued = authority.issue_cert("gateway@example.com")
    issued.private_key_and_cert_chain_pem.write_to_path(str(plain.folder / "both.pem"))
    tls = server_tls(authority, "teacher.test", clients=authority)
    plain.hosts["teacher.test:443"] = stack.enter_context(TlsFront(plain.teacher.port, tls)).port
    proxy = plain.proxy()
    gateway = plain.gateway({**HTTPS, "client_cert": "both.pem", "proxy": proxy.url})
    assert gateway.post(chat(model="teacher")).status == 200
