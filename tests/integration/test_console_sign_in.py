"""Signing in to the console: the cookie, what it may do and what not, signing out, and the page's strict policy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support import processes
from tests.support.console import KEY, PAGES, Page
from tests.support.console_traffic import admin

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is absent; install the extra test")

STATIC = Path(__file__).parents[2] / "gateway/api/console/static"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[processes.Gateway]:
    config = processes.make_config("http://127.0.0.1:9/v1", "http://127.0.0.1:9/v1")
    with processes.gateway(tmp_path_factory.mktemp("door"), config, {"BREAKEVEN_ADMIN_KEY": KEY}) as gateway:
        yield gateway


def signed_in(gateway: processes.Gateway) -> str:
    """The cookie's name and value."""
    answer = httpx2.post(f"{gateway.url}/console/session", json={"key": KEY}, timeout=30.0)
    assert answer.status_code == 200
    return answer.headers["set-cookie"].partition(";")[0]


def put(gateway: processes.Gateway, headers: dict[str, str]) -> httpx2.Response:
    return httpx2.put(f"{gateway.url}/admin/policy", json={"threshold": 0.4}, headers=headers, timeout=30.0)


def test_signing_in_lasts_over_a_reload_until_signing_out(browser: Any, running: processes.Gateway) -> None:
    console = Page(browser, running.url)
    console.sign_in()
    page = console.page
    page.reload()
    console.loaded()
    (cookie,) = console.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Strict", "/")
    assert cookie["name"] == f"breakeven_session_{running.port}"
    assert KEY not in cookie["value"]
    assert page.evaluate("document.cookie") == ""
    page.get_by_role("button", name="Sign out").click()
    page.get_by_label("Admin key").wait_for()
    assert console.context.cookies() == []
    page.reload()
    page.get_by_label("Admin key").wait_for()
    assert page.locator("#app").is_hidden()
    console.close()


def test_a_wrong_key_shows_no_page(browser: Any, running: processes.Gateway) -> None:
    console = Page(browser, running.url)
    console.sign_in("wrong")
    console.page.get_by_text("That is not the admin key.").wait_for()
    assert console.page.locator("#app").is_hidden()
    assert console.context.cookies() == []
    console.context.close()


def test_a_session_that_ends_asks_for_the_key_again(browser: Any, running: processes.Gateway) -> None:
    console = Page(browser, running.url)
    console.sign_in()
    (cookie,) = console.context.cookies()
    # Another signature, as of a gateway with another key.
    cookie["value"] = cookie["value"][:-1] + ("0" if cookie["value"][-1] != "0" else "1")
    console.context.add_cookies([cookie])
    console.page.get_by_role("button", name="Refresh").click()
    console.page.get_by_text("Your session has ended; sign in again.").wait_for()
    assert console.page.locator("#app").is_hidden()
    console.context.close()


def test_a_session_that_ends_before_a_change_asks_for_the_key_again(browser: Any, running: processes.Gateway) -> None:
    headers = {"authorization": f"Bearer {KEY}"}
    assert put(running, headers).status_code == 200
    console = Page(browser, running.url)
    console.sign_in()
    console.open("tune")
    console.page.get_by_label("Refresh by itself").select_option("0")
    console.context.clear_cookies()
    console.page.get_by_role("button", name="Remove the policy").click()
    console.page.get_by_text("Your session has ended; sign in again.").wait_for()
    assert console.page.locator("#app").is_hidden()
    assert admin(running, "policy")["threshold"] == 0.4
    console.context.close()
    assert httpx2.delete(f"{running.url}/admin/policy", headers=headers, timeout=30.0).status_code == 200


def test_a_change_with_the_cookie_needs_the_pages_own_header(running: processes.Gateway) -> None:
    cookie = {"cookie": signed_in(running)}
    before = admin(running, "policy")["threshold"]
    assert httpx2.get(f"{running.url}/admin/policy", headers=cookie, timeout=30.0).status_code == 200
    refused = put(running, cookie)
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "change_refused")
    ours = {**cookie, "x-breakeven-console": "1"}
    for site in ("cross-site", "same-site"):
        assert put(running, {**ours, "sec-fetch-site": site}).status_code == 403
    for path in ("admin/policy", "console/session"):
        assert httpx2.delete(f"{running.url}/{path}", headers=cookie, timeout=30.0).status_code == 403
    assert admin(running, "policy")["threshold"] == before
    assert put(running, {**ours, "sec-fetch-site": "same-origin"}).status_code == 200
    assert httpx2.delete(f"{running.url}/admin/policy", headers=ours, timeout=30.0).status_code == 200
    assert [one["who"] for one in admin(running, "changes")["changes"][:2]] == ["console", "console"]


def test_forged_and_foreign_cookies_are_nothing(running: processes.Gateway) -> None:
    name, _, token = signed_in(running).partition("=")
    end, nonce, signature = token.split(".")
    others = ["", "x", "..", f"{int(end) + 1}.{nonce}.{signature}", f"{end}.{nonce}.{'0' * 64}", f"{end}.{nonce}.\xe9"]
    for one in others:
        cookie = {"cookie": f"{name}={one}".encode("latin-1")}
        assert httpx2.get(f"{running.url}/admin/policy", headers=cookie, timeout=30.0).status_code == 401
    # A wrong key is wrong, whatever the cookie says, and the cookie is no key of a client.
    both = {"cookie": f"{name}={token}", "authorization": "Bearer wrong"}
    assert httpx2.get(f"{running.url}/admin/policy", headers=both, timeout=30.0).status_code == 401


def test_a_page_of_another_origin_changes_nothing(browser: Any, running: processes.Gateway, tmp_path: Path) -> None:
    """Another port of the same host is the same site, so that the cookie is sent: the header is what protects."""
    context = browser.new_context()
    mine = context.new_page()
    mine.goto(f"{running.url}/console")
    mine.get_by_label("Admin key").fill(KEY)
    mine.get_by_role("button", name="Sign in").click()
    mine.locator("#app").wait_for()
    config = processes.make_config("http://127.0.0.1:9/v1", "http://127.0.0.1:9/v1")
    before = admin(running, "policy")
    with processes.gateway(tmp_path, config) as other:
        foreign = context.new_page()
        foreign.goto(f"{other.url}/healthz")
        said = foreign.evaluate(
            """async (url) => {
              const tell = (given) =>
                fetch(url, { credentials: "include", body: JSON.stringify({ threshold: 0.01 }), ...given })
                  .then((answer) => answer.status, (error) => error.name);
              const headers = { "x-breakeven-console": "1" };
              return [await tell({ method: "PUT", headers }), await tell({ method: "POST", mode: "no-cors" })];
            }""",
            f"{running.url}/admin/policy",
        )
    context.close()
    assert said[0] == "TypeError"
    assert admin(running, "policy") == before


def test_the_files_are_served_with_a_strict_policy(running: processes.Gateway) -> None:
    for name in ("", *(f"/{file.name}" for file in STATIC.iterdir())):
        answer = httpx2.get(f"{running.url}/console{name}", timeout=10.0)
        assert answer.status_code == 200, name
        rules = answer.headers["content-security-policy"]
        assert "default-src 'none'" in rules
        assert "unsafe" not in rules
        assert answer.headers["x-content-type-options"] == "nosniff"
    for path in ("/console/", "/console/__init__.py", "/console/..%2f__init__.py", "/console/nothing.js"):
        assert httpx2.get(running.url + path, timeout=10.0).status_code == 404
    assert all((STATIC / f"{name}.js").is_file() for name in PAGES)


def test_files_are_short_enough_to_be_read() -> None:
    own = [file for file in STATIC.iterdir() if file.suffix in (".js", ".css", ".html") and "uplot" not in file.name]
    long = {file.name: lines for file in own if (lines := len(file.read_text().splitlines())) > 300}
    assert long == {}
