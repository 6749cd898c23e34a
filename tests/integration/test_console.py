"""The console's pages in a real Chromium: the task of each one, on a support desk's week of traffic."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import httpx2
import pytest

from breakeven.gateway.accounting.money import dollars, picodollars
from breakeven.gateway.economics.periods import DAY
from breakeven.gateway.ledger import Ledger
from breakeven.gateway.ledger.hosting import Span
from tests.support import processes
from tests.support.console import KEY, Page
from tests.support.console_traffic import CLIENT_KEYS, HEADERS, SHARE, admin, busy

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is absent; install the extra test")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[processes.Gateway]:
    with busy(tmp_path_factory.mktemp("console"), requests=160) as gateway:
        begin = int(admin(gateway, "series")["points"][0]["at"])
        ledger = Ledger.open(f"sqlite:///{gateway.ledger}", journal=gateway.folder / "observer")
        # Two replicas on the first day, of which one had requests for half of the time.
        ledger.observe_hosting([Span(begin, begin + DAY, 2, 0.5, None)], begin + DAY)
        ledger.close()
        yield gateway


@pytest.fixture
def console(browser: Any, running: processes.Gateway) -> Iterator[Page]:
    """The console, signed in; afterwards it must have had no error, and the policy is removed."""
    page = Page(browser, running.url, viewport={"width": 1280, "height": 900})
    page.sign_in()
    yield page
    page.close()
    httpx2.delete(f"{running.url}/admin/policy", headers=HEADERS, timeout=30.0)


def usd(found: dict[str, Any], name: str) -> str:
    return dollars(picodollars(Decimal(found[name])))


def test_overview_shows_the_report(console: Page, running: processes.Gateway) -> None:
    console.open("overview", range="all")
    page, found = console.page, admin(running, "report")
    headline = page.locator("#headline").inner_text()
    assert usd(found, "savings_usd") in headline
    assert f"95%: {usd(found, 'savings_usd_lower')} to {usd(found, 'savings_usd_upper')}" in headline
    kept = found["quality_retention"]
    assert f"{100 * kept['estimate']:.1f}%" in headline
    assert f"95%: {100 * kept['lower']:.1f}% to {100 * kept['upper']:.1f}%" in headline
    assert f"from {kept['pairs']:,} comparisons" in headline
    assert (found["payback_at"] or "no date")[:10] in headline
    money = page.locator("#money").inner_text()
    for name in ("baseline_usd", "teacher_spend_usd", "hosting_usd", "savings_usd"):
        assert usd(found, name) in money, name
    observed = found["hosting_observed"]
    assert f"{observed['mean_replicas']:.2f} replicas on average, {100 * observed['idle_share']:.1f}% idle" in money
    assert f"from {found['compared_pairs']} compared answers" in page.locator("#money-basis").inner_text()
    assert page.locator("#of-curve canvas").count() == 1
    assert "desk-135m" in page.locator("#upstreams").inner_text()
    assert page.locator("#workloads article").count() == 2
    page.get_by_text("Savings by workload").click()
    rows = [row.split("\t") for row in page.locator("details[open] tbody tr").all_inner_texts()]
    assert [row[0] for row in rows] == [one["workload"] for one in found["by_workload"]]
    assert rows[0][4] == usd(found["by_workload"][0], "savings_usd")


def test_the_time_range_is_in_the_address_and_survives_a_reload(console: Page, running: processes.Gateway) -> None:
    console.open("overview")
    page = console.page
    page.get_by_label("Time range").select_option("24h")
    page.locator("#period-title", has_text="last 24 hours").wait_for()
    since = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=24)
    at = int(since.timestamp()) // 3600 * 3600 * 10**6
    part = admin(running, f"report?since={at}")
    page.locator("#money", has_text=usd(part, "teacher_spend_usd")).wait_for()
    page.reload()
    page.locator("#period-title", has_text="last 24 hours").wait_for()
    page.get_by_role("link", name="Traffic").click()
    page.locator("#requests tbody tr").first.wait_for()
    assert page.get_by_label("Time range").input_value() == "24h"


def test_tune_applies_what_it_shows_and_the_change_is_undone_after_a_reload(
    console: Page, running: processes.Gateway
) -> None:
    console.open("tune", range="all")
    page = console.page
    # By `start: share`, and not by the config's threshold, which decides nothing.
    assert [console.cell("teacher share", column) for column in (0, 1)] == [f"{100 * SHARE:.1f}%"] * 2
    assert console.cell("threshold", 0) == "by workload"
    assert "until 200 requests of a workload were scored" in page.locator("#tune-notes").inner_text()
    slider = page.get_by_role("slider", name="Share of requests for the teacher")
    slider.focus()
    page.keyboard.press("End")  # with the keyboard only
    assert console.cell("teacher share", 1) == "100.0%"
    seen = set()
    for _ in range(12):  # every step of the slider is another share
        page.keyboard.press("ArrowLeft")
        seen.add(console.cell("teacher share", 1))
    assert len(seen) == 12
    assert admin(running, "policy")["decided_by"] == "stages"
    shown = console.cell("threshold", 1)
    point = next(
        one for one in admin(running, "whatif?of=config&shares=51")["points"] if f"{one['threshold']:.4f}" == shown
    )
    kept, (low, high) = point["expected_retention"], point["expected_retention_interval"]
    said = f"{100 * kept:.1f}%\n95%: {100 * low:.1f}% to {100 * high:.1f}%"
    assert console.cell("quality kept", 1) == said
    assert page.locator("#tune-chart canvas").count() == 1
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.locator("#status", has_text="Applied: ").wait_for()
    policy = admin(running, "policy")
    assert (policy["threshold"], policy["source"]) == (pytest.approx(point["threshold"]), "admin")
    assert page.get_by_role("button", name="In force").is_disabled()
    page.reload()
    console.open("changes")
    entry = page.locator("#changes > li").first
    assert "console" in entry.inner_text()
    assert f"all workloads are routed by threshold {point['threshold']:.4g}" in entry.inner_text()
    entry.get_by_role("button", name="Undo").click()
    page.get_by_role("dialog").get_by_role("button", name="Undo").click()
    page.locator("#changes > li").first.get_by_text("the policy was removed").wait_for()
    assert admin(running, "policy")["decided_by"] == "stages"


def test_the_slider_applies_what_it_shows_although_data_comes_meanwhile(
    console: Page, running: processes.Gateway
) -> None:
    """The answers of a reload, and of an older one, arrive while the slider moves."""
    console.open("tune", range="all")
    page = console.page
    slider = page.get_by_role("slider", name="Share of requests for the teacher")
    held: list[Any] = []
    page.route(re.compile("/admin/whatif.*shares="), lambda route: held.append(route))
    page.get_by_role("button", name="Refresh").click()
    console.wait("document.getElementById('app').hasAttribute('aria-busy')")
    slider.fill("80")
    chosen = console.cell("threshold", 1)
    console.eventually(lambda: held)
    # What was recorded has changed: the same shares have other thresholds now.
    answer = held[0].fetch()
    body = answer.json()
    for one in body["points"]:
        one["threshold"] = one["threshold"] / 2
    slider.fill("70")
    assert console.cell("threshold", 1) != chosen

    def all_answered() -> bool:
        while held:
            held.pop().fulfill(response=answer, body=json.dumps(body))
        return bool(page.evaluate("!document.getElementById('app').hasAttribute('aria-busy')"))

    # Another one may come while these are answered.
    console.eventually(all_answered)
    page.unroute_all()
    shown = console.cell("threshold", 1)
    assert shown in {f"{one['threshold']:.4f}" for one in body["points"]}
    share = console.cell("teacher share", 1)
    assert page.locator("#share-value").inner_text() == f"{share} to the teacher"
    page.locator("#apply").click()
    page.locator("#status", has_text="Applied: ").wait_for()
    assert f"{admin(running, 'policy')['threshold']:.4f}" == shown


def test_traffic_is_filtered_and_a_request_is_opened_and_rated(console: Page, running: processes.Gateway) -> None:
    console.open("traffic", range="all")
    page = console.page
    page.get_by_role("combobox", name="reason").select_option("difficult")
    console.wait("!document.getElementById('requests').innerText.includes('easy')")
    page.get_by_role("combobox", name="key", exact=True).select_option("batch")
    page.get_by_role("combobox", name="workload", exact=True).select_option("orders")
    console.wait("location.hash.includes('workload=orders')")
    wanted = admin(running, "decisions?reason=difficult&key=batch&workload=orders&limit=25")["decisions"]
    assert wanted
    console.eventually(lambda: page.locator("#requests tbody tr").count() == len(wanted))
    page.locator("#requests tbody tr").first.get_by_role("button").click()
    sheet = page.get_by_role("dialog", name="Request")
    sheet.wait_for()
    text = sheet.inner_text()
    details = admin(running, f"requests/{wanted[0]['id']}")
    assert details["why"]
    assert details["why"][0] in text
    assert wanted[0]["request_id"] in text
    assert "teacher-model" in sheet.locator("#attempts").inner_text()
    assert dollars(picodollars(Decimal(wanted[0]["cost_usd"]))) in sheet.locator("#attempts").inner_text()
    sheet.get_by_role("button", name="Bad answer").click()
    sheet.get_by_text("Rated 0%.").wait_for()
    assert admin(running, f"requests/{wanted[0]['id']}")["feedback"] == 0
    # The request has an address of its own, and Escape closes it.
    page.reload()
    page.get_by_role("dialog", name="Request").wait_for()
    page.keyboard.press("Escape")
    console.wait("!location.hash.includes('id=')")


def test_older_requests_are_added(console: Page) -> None:
    console.open("traffic", range="all")
    page = console.page
    assert page.locator("#requests tbody tr").count() == 25
    page.get_by_role("button", name="Older").click()
    console.eventually(lambda: page.locator("#requests tbody tr").count() == 50)
    times = page.locator("#requests tbody th").all_inner_texts()
    assert times == sorted(times, reverse=True)
    # Asked for while a refresh runs, they come once, and a refresh leaves them.
    held: list[Any] = []
    page.route(re.compile("/admin/decisions"), lambda route: held.append(route))
    page.get_by_role("button", name="Refresh", exact=True).click()
    console.eventually(lambda: held)
    page.get_by_role("button", name="Older").click()
    page.unroute_all()  # which lets those go on that were held
    console.eventually(lambda: page.locator("#requests tbody tr").count() == 75)
    console.loaded()
    times = page.locator("#requests tbody th").all_inner_texts()
    assert (len(times), len(set(times))) == (75, 75)
    assert times == sorted(times, reverse=True)


def test_older_comparisons_stay_when_one_was_opened(console: Page) -> None:
    console.open("compare")
    page = console.page
    rows = page.locator("#comparisons tbody tr")
    assert rows.count() == 25
    page.get_by_role("button", name="Older").click()
    console.eventually(lambda: rows.count() > 25)
    number = rows.count()
    rows.last.get_by_role("button").click()
    page.get_by_role("dialog", name="Comparison").wait_for()
    page.keyboard.press("Escape")
    console.wait("!location.hash.includes('id=')")
    console.loaded()
    # Others may have been compared meanwhile.
    assert rows.count() >= number


def test_pairs_are_judged_without_knowing_whose_answer_is_whose(console: Page, running: processes.Gateway) -> None:
    console.open("label")
    page = console.page
    before = admin(running, "labels")
    assert page.locator("#label-pair .answer pre").first.inner_text() == before["pair"]["first"]
    assert "student" not in page.locator("#label-pair").inner_text().lower()
    prompt = page.locator("#label-pair .messages pre").first.inner_text()
    page.keyboard.press("s")
    console.eventually(lambda: page.locator("#label-pair .messages pre").first.inner_text() != prompt)
    page.keyboard.press("t")
    page.locator("#verdicts", has_text=f"{before['verdicts'] + 1} verdict").wait_for()
    asked = page.locator("#label-pair .messages pre").first.inner_text()
    page.get_by_role("button", name="A is better").click()
    page.locator("#verdicts", has_text=f"{before['verdicts'] + 2} verdicts").wait_for()
    assert page.locator("#label-pair .messages pre").first.inner_text() != asked
    after = admin(running, "labels")
    assert after["verdicts"] == before["verdicts"] + 2
    # The one that was skipped still waits.
    assert after["pair"]["request"] == before["pair"]["request"]


def test_the_pair_that_is_read_stays_when_another_one_comes_first(console: Page, running: processes.Gateway) -> None:
    """A verdict that is pressed at that moment would be one on a pair that nobody has read."""
    console.open("label")
    page = console.page
    shown = page.locator("#label-pair").inner_text()

    def another(route: Any) -> None:
        body = route.fetch().json()
        body["pair"] |= {"request": "0" * 32, "first": "an answer that came in meanwhile"}
        body["waiting"] += 1000
        route.fulfill(json=body)

    page.route(re.compile("/admin/labels"), another)
    page.get_by_role("button", name="Refresh", exact=True).click()
    page.locator("#verdicts", has_text=re.compile(r"1,\d{3} stored pairs wait")).wait_for()
    assert page.locator("#label-pair").inner_text() == shown
    # It is shown once this one is passed.
    page.keyboard.press("s")
    page.get_by_text("an answer that came in meanwhile").wait_for()
    page.unroute_all()


def test_comparisons_are_listed_and_opened(console: Page, running: processes.Gateway) -> None:
    console.open("compare")
    page = console.page
    page.get_by_role("combobox", name="result").select_option("teacher")
    page.locator("#summary", has_text="equal in 0.").wait_for()
    found = admin(running, "comparisons?result=teacher&limit=1")["comparisons"][0]
    page.locator("#comparisons tbody tr").first.get_by_role("button").click()
    sheet = page.get_by_role("dialog", name="Comparison")
    sheet.wait_for()
    details = admin(running, f"comparisons/{found['request']}")
    assert details["student_answer"] != details["teacher_answer"]
    text = sheet.inner_text()
    for one in (details["messages"][0]["content"], details["student_answer"], details["teacher_answer"]):
        assert one in text
    sheet.get_by_role("link", name="The request").click()
    page.get_by_role("dialog", name="Request").get_by_text(found["request"]).wait_for()


def test_both_models_side_by_side(console: Page, running: processes.Gateway) -> None:
    prompt = admin(running, "labels")["pair"]["messages"][0]["content"]
    console.open("compare")
    page = console.page
    page.get_by_label("Prompt, sent to both").fill(prompt)
    page.get_by_label("Client key").fill(CLIENT_KEYS["app"])
    page.get_by_role("button", name="Send to both").click()
    page.locator("#teacher-facts", has_text="$").wait_for()
    assert "billed hourly" in page.locator("#student-facts").inner_text()
    assert page.locator("#teacher-answer").inner_text()
    decision = page.locator("#decision").inner_text()
    assert re.match(r"Routed to the (student|teacher) \(", decision)
    assert " Why: " in decision
    assert "undefined" not in decision


def test_only_the_page_that_is_open_is_refreshed_by_itself(console: Page) -> None:
    console.open("traffic", range="all")
    page = console.page
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url.partition("/admin/")[2].partition("?")[0]))
    page.get_by_label("Refresh by itself").select_option("10")
    console.eventually(lambda: asked.count("decisions") >= 2)
    assert set(asked) == {"decisions", "series"}


def test_students_shows_versions_and_what_to_do_for_a_candidate(console: Page, running: processes.Gateway) -> None:
    console.open("students")
    page = console.page
    found = next(one for one in admin(running, "students")["versions"] if one["workload"] == "default")
    row = page.get_by_role("row", name=re.compile("desk-135m default in force"))
    kept = found["retention"]
    assert f"{100 * kept['value']:.1f}% 95%: {100 * kept['low']:.1f}%" in row.inner_text()
    assert page.get_by_text("There is no candidate").is_visible()
    assert "candidate:" in page.locator(".empty pre").inner_text()


def test_the_key_is_nowhere_in_the_page(console: Page) -> None:
    console.open("overview")
    stored = console.page.evaluate("JSON.stringify([localStorage, sessionStorage, document.cookie, location.href])")
    assert KEY not in stored
    assert stored.startswith('[{},{},"",')
