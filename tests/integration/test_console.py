"""The console in a real Chromium: what it shows, applying and undoing a threshold, and no requests to other hosts."""

from __future__ import annotations

import datetime
import os
import shutil
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

from breakeven.gateway.accounting.money import dollars, dollars_of_float, picodollars
from breakeven.gateway.economics.periods import HOURS_A_MONTH
from breakeven.models import recorded
from tests.support import processes
from tests.support.clock import Clock

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is absent; install the extra test")

KEY = "the-admin-key"
QUESTIONS = [f"What is {n} plus {n}?" for n in range(12)]
PROMPT = "Prove that there are infinitely many primes, and give the history of the proof."


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[processes.Gateway]:
    """A gateway with six days of traffic in its ledger: easy and hard prompts of the recorded set."""
    folder = tmp_path_factory.mktemp("console")
    now = datetime.datetime.now(datetime.UTC)
    begin = now - datetime.timedelta(days=6)
    clock = Clock(folder, begin)
    asked = [row.prompt for row in recorded.load()[::8]]
    rows = [
        {"prompt": q, "answer": "It is <b>some</b> number.", "prompt_tokens": 40_000, "output_tokens": 5_000}
        for q in (*QUESTIONS, PROMPT, *asked)
    ]
    with (
        processes.replay(folder, "student", rows, "--speed", "inf") as student,
        processes.replay(folder, "teacher-model", rows, "--speed", "inf") as teacher,
    ):
        config = processes.make_config(
            student,
            teacher,
            economics={"investment_usd": 60, "hosting_since": begin.isoformat()},
            routing={"novelty_threshold": 1.0, "sticky": False},
        )
        config["student"]["hosting_usd_per_hour"] = 0.1
        (folder / "gateway").mkdir()
        with processes.gateway(folder / "gateway", config, {**clock.env, "BREAKEVEN_ADMIN_KEY": KEY}) as gateway:
            for number, prompt in enumerate(asked):
                clock.set(begin + (now - begin) * (number + 1) / (len(asked) + 1))
                assert ask(gateway, prompt).status_code == 200
            clock.set(now)
            yield gateway


def ask(gateway: processes.Gateway, text: str) -> httpx2.Response:
    body = {"model": "auto", "messages": [{"role": "user", "content": text}]}
    return httpx2.post(f"{gateway.base_url}/chat/completions", json=body, timeout=20.0)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    binary = shutil.which("chromium")
    if binary is None:
        pytest.skip("Chromium is absent; install the Debian package chromium")
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=binary, args=["--no-sandbox"])
        yield launched
        launched.close()


class Page:
    """An open console, with its JavaScript errors and the hosts that it sent requests to."""

    def __init__(self, browser: Any, url: str, **options: Any) -> None:
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.errors: list[str] = []
        self.hosts: set[str] = set()
        self.page.on("console", lambda entry: self.errors.append(entry.text) if entry.type == "error" else None)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self.hosts.add(urlsplit(request.url).netloc))
        self.page.goto(f"{url}/console")

    def sign_in(self, key: str = KEY) -> None:
        self.page.get_by_label("Admin key").fill(key)
        self.page.get_by_role("button", name="Open").click()

    def cell(self, name: str, column: int) -> str:
        row = self.page.locator("#figures tbody tr", has_text=name)
        return str(row.locator("td").nth(column).inner_text())


@pytest.fixture
def console(browser: Any, running: processes.Gateway) -> Iterator[Page]:
    opened = Page(browser, running.url, viewport={"width": 1200, "height": 900})
    opened.sign_in()
    opened.page.locator("#content").wait_for(state="visible")
    opened.page.locator("#figures tbody tr").first.wait_for()
    yield opened
    errors, hosts = opened.errors, opened.hosts
    opened.context.close()
    assert errors == []
    assert hosts == {urlsplit(running.url).netloc}


def policy(gateway: processes.Gateway) -> dict[str, Any]:
    headers = {"authorization": f"Bearer {KEY}"}
    answer: dict[str, Any] = httpx2.get(f"{gateway.url}/admin/policy", headers=headers, timeout=10.0).json()
    return answer


def test_only_applying_a_threshold_changes_the_next_request(console: Page, running: processes.Gateway) -> None:
    page = console.page
    assert ask(running, QUESTIONS[0]).headers["x-breakeven-route"] == "student"
    slider = page.get_by_role("slider", name="Threshold")
    slider.focus()
    page.keyboard.press("Home")  # with the keyboard only: to 0, where every request is difficult
    page.locator("#figures tbody tr", has_text="teacher share").locator("td", has_text="100.0 %").wait_for()
    assert console.cell("threshold", 0) == "0.50"
    assert console.cell("threshold", 1) == "0.00"
    assert policy(running)["threshold"] == 0.5
    assert ask(running, QUESTIONS[0]).headers["x-breakeven-route"] == "student"
    page.get_by_role("button", name="Apply").click()
    page.get_by_text("Applied: threshold 0.00 is in use").wait_for()
    assert policy(running)["threshold"] == 0.0
    changed = ask(running, QUESTIONS[0])
    assert (changed.headers["x-breakeven-route"], changed.headers["x-breakeven-reason"]) == ("teacher", "difficult")
    page.get_by_role("button", name="Undo").click()
    page.get_by_text("Undone.").wait_for()
    assert policy(running)["threshold"] == 0.5
    assert policy(running)["source"] == "config"
    assert ask(running, QUESTIONS[0]).headers["x-breakeven-route"] == "student"
    assert page.get_by_role("button", name="Undo").is_disabled()


def test_the_figures_are_those_of_the_admin_api(console: Page, running: processes.Gateway) -> None:
    headers = {"authorization": f"Bearer {KEY}"}
    report = httpx2.get(f"{running.url}/admin/report", headers=headers, timeout=10.0).json()
    shown = console.page.locator("#money").inner_text()
    for name in ("savings_usd", "investment_usd", "baseline_usd", "teacher_spend_usd", "hosting_usd"):
        assert dollars(picodollars(Decimal(report[name]))) in shown, name
    per_million = dollars_of_float(report["student_usd_per_million_tokens"])
    assert per_million in shown
    assert "savings to date" in shown
    point = httpx2.get(f"{running.url}/admin/whatif?threshold=0.5", headers=headers, timeout=10.0).json()["points"][0]
    assert console.cell("teacher share", 0) == f"{100 * point['teacher_share']:.1f} %"
    assert f"{100 * point['expected_worse_interval'][1]:.1f} %" in console.cell("expected to be worse", 0)
    assert float(point["monthly_cost_usd"]) > 0
    assert console.cell("monthly cost", 0) == dollars_of_float(point["monthly_cost_usd"])
    # The rest of the investment at the monthly savings of this threshold.
    rest = float(report["investment_usd"]) - float(report["savings_usd"])
    days = rest / float(point["monthly_savings_usd"]) * HOURS_A_MONTH / 24
    expected = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days)
    shown_date = datetime.date.fromisoformat(console.cell("break-even at this threshold", 0))
    assert abs((shown_date - expected.date()).days) <= 1
    for chart in ("#quality-chart", "#money-chart"):
        assert console.page.locator(f"{chart} canvas").count() == 1
        assert console.page.locator(chart).get_attribute("aria-label")


def test_decisions_show_their_reason(console: Page) -> None:
    rows = console.page.locator("#decisions tbody tr")
    assert rows.count() == 25
    text = rows.first.inner_text()
    assert "easy: score" in text or "difficult: score" in text
    assert "40,000 + 5,000" in text


def test_both_models_side_by_side(console: Page) -> None:
    page = console.page
    page.get_by_label("Prompt, sent to both").fill(PROMPT)
    page.get_by_role("button", name="Send to both").click()
    page.locator("#teacher-facts", has_text="$").wait_for()
    for side in ("student", "teacher"):
        # HTML in an answer is shown as text.
        assert page.locator(f"#{side}-answer").inner_text() == "It is <b>some</b> number."
        assert "40,000 + 5,000 tokens" in page.locator(f"#{side}-facts").inner_text()
    assert "billed hourly" in page.locator("#student-facts").inner_text()
    assert "$0.90" in page.locator("#teacher-facts").inner_text()
    decision = page.locator("#decision").inner_text()
    assert decision.startswith("Routed to the ")
    assert "Largest feature contributions: " in decision
    assert "undefined" not in decision


def test_a_wrong_key_shows_no_content(browser: Any, running: processes.Gateway) -> None:
    opened = Page(browser, running.url)
    opened.sign_in("wrong")
    opened.page.get_by_text("Send the admin key").wait_for()
    assert opened.page.locator("#content").is_hidden()
    assert opened.page.evaluate("Object.keys(localStorage).length + Object.keys(sessionStorage).length") == 0
    opened.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_screen_and_both_color_schemes(browser: Any, running: processes.Gateway, scheme: str) -> None:
    opened = Page(
        browser, running.url, viewport={"width": 360, "height": 740}, color_scheme=scheme, device_scale_factor=1
    )
    opened.sign_in()
    opened.page.locator("#quality-chart canvas").wait_for()
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= 360
    if folder := os.environ.get("BREAKEVEN_DRAW"):
        opened.page.screenshot(path=str(Path(folder) / f"console-phone-{scheme}.png"))
        opened.page.get_by_role("slider", name="Threshold").fill("0.2")
        opened.page.set_viewport_size({"width": 1100, "height": 1560})
        opened.page.wait_for_timeout(500)
        opened.page.screenshot(path=str(Path(folder) / f"console-{scheme}.png"))
    opened.context.close()
    assert opened.errors == []


def test_every_control_has_a_name(console: Page) -> None:
    nameless = console.page.evaluate(
        """() => [...document.querySelectorAll("input, textarea, button")].filter((element) =>
             !(element.labels?.length || element.textContent.trim() || element.ariaLabel)).map((e) => e.outerHTML)"""
    )
    assert nameless == []


def test_the_files_are_served_with_a_strict_policy(running: processes.Gateway) -> None:
    for path in (
        "/console",
        "/console/main.js",
        "/console/uplot.esm.js",
        "/console/console.css",
        "/console/uplot.LICENSE.txt",
    ):
        answer = httpx2.get(running.url + path, timeout=10.0)
        assert answer.status_code == 200
        rules = answer.headers["content-security-policy"]
        assert "default-src 'none'" in rules
        assert "unsafe" not in rules
        assert answer.headers["x-content-type-options"] == "nosniff"
    for path in ("/console/", "/console/__init__.py", "/console/..%2f__init__.py", "/console/nothing.js"):
        assert httpx2.get(running.url + path, timeout=10.0).status_code == 404
