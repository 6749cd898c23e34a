"""The console in a real Chromium: what it shows, applying and undoing a threshold, and no requests to other hosts."""

from __future__ import annotations

import datetime
import os
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

from breakeven.gateway.accounting.money import dollars, dollars_of_float, picodollars
from breakeven.gateway.economics.periods import DAY, HOURS_A_MONTH
from breakeven.gateway.ledger import Ledger
from breakeven.gateway.ledger.hosting import Span
from breakeven.models import recorded
from tests.support import processes
from tests.support.clock import Clock
from tests.support.console import KEY, Page

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is absent; install the extra test")

QUESTIONS = [f"What is {n} plus {n}?" for n in range(12)]
PROMPT = "Prove that there are infinitely many primes, and give the history of the proof."


@pytest.fixture(scope="module")
def upstreams(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """A student, and a teacher whose answers are shorter, by more or less."""
    folder = tmp_path_factory.mktemp("upstreams")
    asked = (*QUESTIONS, PROMPT, *(row.prompt for row in recorded.load()))
    rows = [{"prompt": q, "answer": "It is <b>some</b> number.", "prompt_tokens": 40_000} for q in asked]
    student_rows = [{**row, "output_tokens": 5_000} for row in rows]
    teacher_rows = [{**row, "output_tokens": 3_000 + 1_000 * (n % 3 - 1)} for n, row in enumerate(rows)]
    with (
        processes.replay(folder, "student", student_rows, "--speed", "inf") as student,
        processes.replay(folder, "teacher-model", teacher_rows, "--speed", "inf") as teacher,
    ):
        yield student, teacher


@pytest.fixture(scope="module")
def running(upstreams: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[processes.Gateway]:
    """A gateway with six days of traffic in its ledger, easy and hard prompts of the recorded set, of which 40% were
    compared.
    """
    folder = tmp_path_factory.mktemp("console")
    now = datetime.datetime.now(datetime.UTC)
    begin = now - datetime.timedelta(days=6)
    clock = Clock(folder, begin)
    asked = [row.prompt for row in recorded.load()[::2]]
    config = processes.make_config(
        *upstreams,
        economics={"investment_usd": 600, "hosting_since": begin.isoformat()},
        routing={"novelty_threshold": 1.0, "sticky": False},
        road={"sample": 0.4, "scorer": "exact", "monthly_budget_usd": 1000},
    )
    config["student"]["hosting_usd_per_hour"] = 0.1
    config["workloads"] = ["search"]
    with processes.gateway(folder, config, {**clock.env, "BREAKEVEN_ADMIN_KEY": KEY}) as gateway:
        for number, prompt in enumerate(asked):
            clock.set(begin + (now - begin) * (number + 1) / (len(asked) + 1))
            assert ask(gateway, prompt, "search" if number % 3 else "").status_code == 200
        clock.set(now)
        deadline = time.monotonic() + 30
        while report(gateway)["savings_usd"] is None:
            assert time.monotonic() < deadline, report(gateway)
            time.sleep(0.2)
        observe(gateway, begin)
        yield gateway


def observe(gateway: processes.Gateway, begin: datetime.datetime) -> None:
    """Two replicas on the first of the six days, of which one had requests for half of the time."""
    since = int(begin.timestamp()) * 10**6
    ledger = Ledger.open(f"sqlite:///{gateway.ledger}", journal=gateway.folder / "observer")
    ledger.observe_hosting([Span(since, since + DAY, 2, 0.5, None)], since + DAY)
    ledger.close()


@pytest.fixture(scope="module")
def unmeasured(upstreams: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[processes.Gateway]:
    """A gateway with three requests, none of which was compared."""
    folder = tmp_path_factory.mktemp("unmeasured")
    with processes.gateway(folder, processes.make_config(*upstreams), {"BREAKEVEN_ADMIN_KEY": KEY}) as gateway:
        for question in QUESTIONS[:3]:
            assert ask(gateway, question).status_code == 200
        yield gateway


def ask(gateway: processes.Gateway, text: str, workload: str = "") -> httpx2.Response:
    body = {"model": "auto", "messages": [{"role": "user", "content": text}]}
    headers = {"x-breakeven-workload": workload}
    return httpx2.post(f"{gateway.base_url}/chat/completions", json=body, headers=headers, timeout=20.0)


def report(gateway: processes.Gateway) -> dict[str, Any]:
    return admin(gateway, "report")


def admin(gateway: processes.Gateway, path: str) -> dict[str, Any]:
    headers = {"authorization": f"Bearer {KEY}"}
    answer: dict[str, Any] = httpx2.get(f"{gateway.url}/admin/{path}", headers=headers, timeout=10.0).json()
    return answer


def opened(browser: Any, gateway: processes.Gateway) -> Iterator[Page]:
    """A console after signing in; afterwards it must have had no error and asked no other host."""
    page = Page(browser, gateway.url, viewport={"width": 1200, "height": 900})
    page.sign_in()
    page.page.locator("#content").wait_for(state="visible")
    page.page.locator("#figures tbody tr").first.wait_for()
    page.page.locator("#money dd").first.wait_for()
    yield page
    errors, hosts = page.errors, page.hosts
    page.context.close()
    assert errors == []
    assert hosts == {urlsplit(gateway.url).netloc}


@pytest.fixture
def console(browser: Any, running: processes.Gateway) -> Iterator[Page]:
    yield from opened(browser, running)


@pytest.fixture
def console_before(browser: Any, unmeasured: processes.Gateway) -> Iterator[Page]:
    yield from opened(browser, unmeasured)


def policy(gateway: processes.Gateway) -> dict[str, Any]:
    return admin(gateway, "policy")


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


def shown_usd(found: dict[str, Any], name: str) -> str:
    return dollars(picodollars(Decimal(found[name])))


def test_the_figures_are_those_of_the_admin_api(console: Page, running: processes.Gateway) -> None:
    found = report(running)
    shown = console.page.locator("#money").inner_text()
    for name in ("savings_usd", "investment_usd", "baseline_usd", "teacher_spend_usd", "hosting_usd"):
        assert shown_usd(found, name) in shown, name
    for name in ("savings_usd", "baseline_usd"):
        assert f"95%: {shown_usd(found, name + '_lower')} to {shown_usd(found, name + '_upper')}" in shown
    assert dollars_of_float(found["student_usd_per_million_tokens"]) in shown
    assert "savings to date, estimated" in shown
    observed = found["hosting_observed"]
    assert (observed["mean_replicas"], observed["idle_share"]) == (pytest.approx(2), pytest.approx(0.75))
    share = f"{100 * observed['share']:.1f} %"
    assert f"{share} of the hours observed: 2.00 replicas on average, 75.0 % idle" in shown
    assert found["payback_at"][:10] in shown
    assert f"90%: {found['projection']['early'][:10]} to {found['projection']['late'][:10]}" in shown
    basis = console.page.locator("#money-basis").inner_text()
    assert basis.startswith(f"The baseline is estimated from {found['compared_pairs']} compared answers")
    point = admin(running, "whatif?threshold=0.5")["points"][0]
    assert console.cell("teacher share", 0) == f"{100 * point['teacher_share']:.1f} %"
    kept, (low, high) = point["expected_retention"], point["expected_retention_interval"]
    expected = f"{100 * kept:.1f} % (95%: {100 * low:.1f} % to {100 * high:.1f} %)"
    assert console.cell("quality expected", 0) == expected
    assert console.page.locator("#quality-chart canvas").count() == 1
    assert f"from {found['quality_retention']['pairs']:,} comparisons" in shown
    assert float(point["monthly_cost_usd"]) > 0
    assert console.cell("monthly cost", 0) == dollars_of_float(point["monthly_cost_usd"])
    assert console.page.locator("#money-chart canvas").count() == 1
    for chart in ("#quality-chart", "#money-chart"):
        assert console.page.locator(chart).get_attribute("aria-label")


def test_the_headline_is_one_in_report_admin_metrics_and_console(console: Page, running: processes.Gateway) -> None:
    """The clock stands still, so that all four read the same moment."""
    printed, answered, exported = running.report(), report(running), running.metrics()
    shown = console.page.locator("#money").inner_text()
    for name in ("savings_usd", "savings_usd_lower", "savings_usd_upper", "baseline_usd"):
        assert printed[name] == answered[name]
        base, end = name.partition("_usd")[0], name.partition("_usd")[2]
        assert exported[f"breakeven_{base}_usd{end}"] == pytest.approx(float(printed[name]), rel=1e-12)
        assert shown_usd(printed, name) in shown
    assert exported["breakeven_payback_ratio"] == printed["payback_ratio"] == answered["payback_ratio"]
    assert printed["payback_at"] == answered["payback_at"]
    at = datetime.datetime.fromisoformat(printed["payback_at"]).timestamp()
    assert exported["breakeven_payback_timestamp_seconds"] == pytest.approx(at, abs=1)


def test_savings_by_workload_are_those_of_the_report(console: Page, running: processes.Gateway) -> None:
    found = report(running)["by_workload"]
    assert {one["workload"] for one in found} == {"default", "search"}
    table = console.page.locator("table", has_text="Savings by workload")
    rows = [row.split("\t") for row in table.locator("tbody tr").all_inner_texts()]
    assert rows == [
        [
            one["workload"],
            f"{one['requests']:,}",
            *(shown_usd(one, name) for name in ("teacher_spend_usd", "hosting_usd", "savings_usd")),
            f"{shown_usd(one, 'savings_usd_lower')} to {shown_usd(one, 'savings_usd_upper')}",
        ]
        for one in found
    ]
    assert console.page.locator("table", has_text="Savings by key").count() == 0


def test_one_break_even_date_and_what_another_threshold_changes_about_it(
    console: Page, running: processes.Gateway
) -> None:
    found = report(running)
    name = "break-even at this threshold"
    assert console.cell(name, 0) == console.cell(name, 1) == found["payback_at"][:10]
    console.page.get_by_role("slider", name="Threshold").fill("0.6")
    console.page.locator("#figures tbody tr", has_text="threshold").locator("td", has_text="0.60").wait_for()
    before, after = (admin(running, f"whatif?threshold={one}")["points"][0] for one in (0.5, 0.6))
    more = (after["monthly_savings_usd"] - before["monthly_savings_usd"]) / HOURS_A_MONTH * 24
    rest = Decimal(found["investment_usd"]) - Decimal(found["savings_usd"])
    days = float(rest) / (float(found["projection"]["savings_usd_per_day"]) + more)
    expected = datetime.datetime.fromisoformat(found["until"]) + datetime.timedelta(days=days)
    shown = datetime.date.fromisoformat(console.cell(name, 1))
    assert abs((shown - expected.date()).days) <= 1
    assert console.cell(name, 0) == found["payback_at"][:10]


def test_until_answers_are_compared_there_are_no_savings(console_before: Page, unmeasured: processes.Gateway) -> None:
    page, found = console_before.page, report(unmeasured)
    assert found["savings_usd"] is None
    at_most = shown_usd(found, "savings_upper_bound_usd")
    assert page.locator("#money-basis").inner_text() == (
        f"At most {at_most}: answer length not measured yet, 50 more comparisons needed (road.sample)."
    )
    shown = page.locator("#money").inner_text()
    assert at_most in shown
    assert shown_usd(found, "baseline_upper_bound_usd") in shown
    assert "savings" not in shown
    assert shown.count("not measured yet") == 4  # the cap, the share paid back, the date, the quality
    assert page.locator("#money-figure").is_hidden()
    assert console_before.cell("monthly savings", 0) == "–"
    assert console_before.cell("quality expected", 0) == "not measured yet"
    assert "not measured yet: 30 more comparisons" in page.locator("#quality-chart").inner_text()
    assert console_before.cell("break-even at this threshold", 0) == "not measured yet"
    assert "50 more comparisons with the teacher's answers are needed" in page.locator("#traffic").inner_text()


def test_decisions_show_their_reason(console: Page) -> None:
    rows = console.page.locator("#decisions tbody tr")
    assert rows.count() == 25
    text = rows.first.inner_text()
    assert "of the reference prompts (score" in text
    assert "40,000 + " in text


def test_both_models_side_by_side(console: Page) -> None:
    page = console.page
    page.get_by_label("Prompt, sent to both").fill(PROMPT)
    page.get_by_role("button", name="Send to both").click()
    page.locator("#teacher-facts", has_text="$").wait_for()
    for side in ("student", "teacher"):
        # HTML in an answer is shown as text.
        assert page.locator(f"#{side}-answer").inner_text() == "It is <b>some</b> number."
        tokens = "5,000" if side == "student" else "2,000"
        assert f"40,000 + {tokens} tokens" in page.locator(f"#{side}-facts").inner_text()
    assert "billed hourly" in page.locator("#student-facts").inner_text()
    assert "$0.72" in page.locator("#teacher-facts").inner_text()
    decision = page.locator("#decision").inner_text()
    assert decision.startswith("Routed to the ")
    assert " Why: " in decision
    assert "of the reference prompts" in decision
    assert "undefined" not in decision


def test_a_wrong_key_shows_no_content(browser: Any, running: processes.Gateway) -> None:
    refused = Page(browser, running.url)
    refused.sign_in("wrong")
    refused.page.get_by_text("Send the admin key").wait_for()
    assert refused.page.locator("#content").is_hidden()
    assert refused.page.evaluate("Object.keys(localStorage).length + Object.keys(sessionStorage).length") == 0
    refused.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_screen_and_both_color_schemes(browser: Any, running: processes.Gateway, scheme: str) -> None:
    phone = Page(
        browser, running.url, viewport={"width": 360, "height": 740}, color_scheme=scheme, device_scale_factor=1
    )
    phone.sign_in()
    phone.page.locator("#money-chart canvas").wait_for()
    assert phone.page.evaluate("document.documentElement.scrollWidth") <= 360
    if folder := os.environ.get("BREAKEVEN_DRAW"):
        phone.page.screenshot(path=str(Path(folder) / f"console-phone-{scheme}.png"))
        phone.page.get_by_role("slider", name="Threshold").fill("0.2")
        phone.page.set_viewport_size({"width": 1100, "height": 1560})
        phone.page.locator("#tune-title").evaluate("(title) => title.scrollIntoView()")
        phone.page.wait_for_timeout(500)
        phone.page.screenshot(path=str(Path(folder) / f"console-{scheme}.png"))
    phone.context.close()
    assert phone.errors == []


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
