"""/docs in a real Chromium: it shows the API, tries a call, and asks no other host."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

from tests.support import processes

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is absent; install the extra test")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[processes.Gateway]:
    config = processes.make_config("http://127.0.0.1:9/v1", "http://127.0.0.1:9/v1")
    with processes.gateway(tmp_path_factory.mktemp("docs"), config, {"BREAKEVEN_ADMIN_KEY": "admin"}) as gateway:
        yield gateway


@pytest.fixture
def page(browser: Any, running: processes.Gateway) -> Iterator[Any]:
    """The open page. At its end nothing went wrong in it, its policy was never broken, and one host was asked."""
    context = browser.new_context(viewport={"width": 1200, "height": 1400})
    opened = context.new_page()
    faults: list[str] = []
    hosts: set[str] = set()
    opened.on("console", lambda said: faults.append(said.text) if said.type in ("error", "warning") else None)
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
    opened.goto(f"{running.url}/docs")
    opened.locator(".opblock").first.wait_for()
    yield opened
    context.close()
    assert faults == []
    assert hosts - {""} == {urlsplit(running.url).netloc}  # data: has no host


def test_every_operation_is_shown(page: Any, running: processes.Gateway) -> None:
    paths = httpx2.get(f"{running.url}/openapi.json", timeout=10.0).json()["paths"]
    expected = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    shown = page.evaluate(
        """() => [...document.querySelectorAll(".opblock-summary")].map((row) => [
             row.querySelector(".opblock-summary-method").textContent,
             row.querySelector(".opblock-summary-path").dataset.path])"""
    )
    assert {(method, path) for method, path in shown} == expected
    if folder := os.environ.get("BREAKEVEN_DRAW"):
        page.screenshot(path=str(Path(folder) / "docs.png"))


def test_an_operation_is_described_and_can_be_tried(page: Any, running: processes.Gateway) -> None:
    page.get_by_role("button", name="Authorize").click()
    form = page.locator(".auth-container", has_text="admin_key")
    form.get_by_label("Value").fill("admin")
    form.get_by_role("button", name="Apply credentials").click()
    form.get_by_role("button", name="Close", exact=True).click()

    block = page.locator("#operations-admin-put_policy")
    block.locator(".opblock-summary").click()
    block.get_by_text("Route all workloads by this policy").wait_for()
    block.get_by_role("button", name="Try it out").click()
    block.locator("textarea").fill('{"threshold": 0.25}')
    block.get_by_role("button", name="Execute").click()
    block.locator(".live-responses-table .response-col_status", has_text="200").wait_for()
    assert '"threshold": 0.25' in block.locator(".live-responses-table").inner_text()
    if folder := os.environ.get("BREAKEVEN_DRAW"):
        block.screenshot(path=str(Path(folder) / "docs-try.png"))
    key = {"authorization": "Bearer admin"}
    assert httpx2.get(f"{running.url}/admin/policy", headers=key, timeout=10.0).json()["threshold"] == 0.25


def test_the_files_are_served_with_a_strict_policy(running: processes.Gateway) -> None:
    for name in ("", "/docs.js", "/swagger-ui-bundle.js", "/swagger-ui.css", "/swagger-ui.LICENSE.txt"):
        answer = httpx2.get(f"{running.url}/docs{name}", timeout=10.0)
        assert answer.status_code == 200
        rules = answer.headers["content-security-policy"]
        assert "default-src 'none'" in rules
        assert "unsafe" not in rules
    assert httpx2.get(f"{running.url}/docs/", timeout=10.0).status_code == 404
