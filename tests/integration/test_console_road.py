"""The console's workloads in a real Chromium: the stages, the operator's word on them, and what is said of errors."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.client import eventually
from tests.contract.gateway import Gateway, running
from tests.contract.road_rows import enter
from tests.support.console import KEY, Page

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is absent; install the extra test")

# No threshold of the operator's, so that stages decide.
CONFIG: dict[str, Any] = {
    "routing": {"threshold": None},
    "road": {"sample": 0.02, "scorer": "exact", "floor": 0.95},
    "ledger": {"store_prompts": True},
    "workloads": ["coding"],
}
ADMIN = {"BREAKEVEN_ADMIN_KEY": KEY}
# Training has a low priority: a busy machine takes its time.
SECONDS = 400.0
WIDE = {"width": 1200, "height": 900}


def state(gateway: Gateway, workload: str = "default") -> dict[str, Any]:
    found = gateway.get("/admin/road", {"authorization": f"Bearer {KEY}"}).json
    return next(dict(one) for one in found["workloads"] if one["workload"] == workload)


def reached(gateway: Gateway, stage: str) -> dict[str, Any]:
    return dict(eventually(lambda: one if (one := state(gateway))["stage"] == stage else None, seconds=SECONDS))


@pytest.fixture
def staged(tmp_path: Path) -> Iterator[Gateway]:
    with running(tmp_path, CONFIG, environment=ADMIN) as gateway:
        yield gateway


def opened(browser: Any, gateway: Gateway, **options: Any) -> Page:
    page = Page(browser, f"http://127.0.0.1:{gateway.port}", **{"viewport": WIDE, **options})
    page.sign_in()
    page.page.locator("#workloads article").first.wait_for()
    return page


def cells(page: Page, workload: str = "default") -> list[str]:
    """Stage, quality, in force, proposal and buttons of a workload."""
    card = page.page.get_by_role("article", name=workload, exact=True)
    facts = [str(text) for text in card.locator("dl > div").all_inner_texts()]
    buttons = [str(text) for text in card.get_by_role("button").all_inner_texts()]
    return [*(text.partition("\n")[2] for text in facts), ", ".join(buttons)]


def stage_of(page: Page, workload: str = "default") -> str:
    return str(page.page.get_by_role("article", name=workload, exact=True).locator("[aria-current]").inner_text())


def draw(page: Page, name: str) -> None:
    if folder := os.environ.get("BREAKEVEN_DRAW"):
        page.page.locator("#workloads-title").scroll_into_view_if_needed()
        page.page.screenshot(path=str(Path(folder) / f"console-road-{name}.png"))


def test_a_proposal_is_put_in_force_and_rolled_back(browser: Any, staged: Gateway) -> None:
    enter(staged.folder, 320)
    found = reached(staged, "propose")
    console = opened(browser, staged)
    page = console.page
    stage, quality, in_force, proposal, _ = cells(console)
    assert stage_of(console) == "propose"
    assert "since 20" in stage
    kept = found["retention"]
    assert f"{100 * kept['value']:.1f}% of the teacher's" in quality
    assert f"95%: {100 * kept['low']:.1f}% to {100 * kept['high']:.1f}%" in quality
    assert f"320 comparisons so far; the next look is at {found['next_look_at']}" in quality
    assert in_force == "nothing: the teacher answers everything"
    promise = f"{100 * found['proposal']['answered']:.0f}% of the requests are answered by the student"
    assert promise in proposal
    assert f"at least {100 * found['proposal']['low']:.1f}%" in proposal
    assert "what it saves is not measured yet" in proposal
    share, value = found["proposal"]["share"], found["proposal"]["threshold"]
    assert (
        f"the hardest {100 * (1 - share):.0f}% of the measured traffic to the teacher (threshold {value:.4f})"
        in proposal
    )
    assert "default, propose" in page.locator("#events li").first.inner_text()
    # Nothing was measured of the other workload, and nothing can be done with it.
    other = state(staged, "coding")
    stage, quality, _, proposal, change = cells(console, "coding")
    assert stage_of(console, "coding") == "observe"
    assert stage == "the teacher answers, and the student is measured beside it"
    assert quality.startswith(f"not measured yet: {other['next_look_at']} more comparisons")
    assert (proposal, change) == ("none", "")
    draw(console, "propose")

    # With the keyboard only; nothing changes before the question is answered.
    page.get_by_role("button", name="Put in force: default").focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Put in force: default")
    assert promise in dialog.inner_text()
    assert "Now the teacher answers everything." in dialog.inner_text()
    draw(console, "question")
    page.keyboard.press("Escape")
    dialog.wait_for(state="hidden")
    assert state(staged)["stage"] == "propose"

    page.get_by_role("button", name="Put in force: default").click()
    dialog.get_by_role("button", name="Put in force").click()
    page.get_by_text("The proposal is in force: default.").wait_for()
    console.eventually(lambda: stage_of(console) == "route")
    _, _, in_force, proposal, change = cells(console)
    assert in_force.startswith(promise)
    assert "since then: not measured yet" in in_force
    assert (proposal, change) == ("none", "Roll back")
    assert state(staged)["in_force"]["artifact"] == found["proposal"]["artifact"]
    assert page.evaluate("document.activeElement.id") == "workloads-title"
    draw(console, "route")

    page.get_by_role("button", name="Roll back: default").click()
    dialog = page.get_by_role("dialog", name="Roll back: default")
    assert "Then the teacher answers everything." in dialog.inner_text()
    dialog.get_by_role("button", name="Roll back").click()
    page.get_by_text("Rolled back: default.").wait_for()
    console.eventually(lambda: stage_of(console) == "propose")
    stage, _, in_force, _, change = cells(console)
    assert "rolled back by the operator" in stage
    # What was in force is a proposal again.
    assert (in_force, change) == ("nothing: the teacher answers everything", "Put in force")
    assert "rolled back by the operator" in page.locator("#events li").first.inner_text()
    # The history says who did it, and the last change can be undone there.
    console.open("changes")
    entry = page.locator("#changes > li").first
    assert "console" in entry.inner_text()
    entry.get_by_role("button", name="Undo").click()
    page.get_by_role("dialog").get_by_role("button", name="Undo").click()
    page.locator("#status", has_text="Undone.").wait_for()
    assert state(staged)["stage"] == "route"
    # The page Tune says of each workload what is in force.
    for parameters, share, threshold in (
        ({"workload": "default"}, 1 - found["proposal"]["answered"], f"router {found['proposal']['artifact']}"),
        ({"workload": "coding"}, 1.0, "none"),
        ({}, None, "by workload"),
    ):
        console.open("tune", **parameters)
        console.eventually(lambda threshold=threshold: console.cell("threshold", 0) == threshold)
        assert console.cell("teacher share", 0) == ("–" if share is None else f"{100 * share:.1f}%")
    assert "What is in force differs by workload: choose one." in page.locator("#tune-notes").inner_text()
    console.close()


def test_what_a_proposal_saves_and_an_error_are_said_in_words(browser: Any, staged: Gateway) -> None:
    enter(staged.folder, 320)
    found = {**reached(staged, "propose"), "proposal_saves_usd_per_month": 1240.0, "held": "the judge fails"}
    console = opened(browser, staged)
    page = console.page
    # The amount needs an hour of traffic: only it is replaced in the answer.
    page.route(
        re.compile("/admin/road\\?"),
        lambda route: route.fulfill(status=200, body=json.dumps({"workloads": [found], "events": []})),
    )
    page.get_by_role("button", name="Refresh", exact=True).click()
    page.get_by_text("it saves $1,240.00 a month").wait_for()
    assert "waits: the judge fails" in cells(console)[0]
    assert page.get_by_text("Nothing yet").is_visible()
    # Another operator rolled back or applied in the meantime.
    page.unroute_all()
    assert staged.post({}, {"authorization": f"Bearer {KEY}"}, "/admin/road/default/apply").status == 200
    page.get_by_role("button", name="Put in force: default").click()
    page.get_by_role("dialog").get_by_role("button", name="Put in force").click()
    page.locator("#status.error", has_text="there is no proposal").wait_for()
    console.eventually(lambda: stage_of(console) == "route")
    console.context.close()


def test_the_operators_routing_is_said_and_has_no_buttons(browser: Any, tmp_path: Path) -> None:
    with running(tmp_path, {**CONFIG, "routing": {"threshold": 0.5}}, environment=ADMIN) as gateway:
        enter(gateway.folder, 40)
        console = opened(browser, gateway)
        assert console.page.get_by_text("The operator says what routes").is_visible()
        stage, quality, in_force, _, change = cells(console)
        assert stage == "routed by the operator"
        assert "40 comparisons so far" in quality
        assert (in_force, change) == ("the operator's artifact or threshold", "")
        console.close()


def test_workloads_on_a_phone(browser: Any, staged: Gateway) -> None:
    enter(staged.folder, 320)
    reached(staged, "propose")
    for scheme in ("light", "dark"):
        phone = opened(browser, staged, viewport={"width": 400, "height": 900}, color_scheme=scheme)
        assert phone.page.evaluate("document.documentElement.scrollWidth") <= 400
        # They lie beside each other, and the one with a proposal is in sight.
        assert phone.page.get_by_role("article").count() == 2
        assert len(cells(phone)) == 5
        button = phone.page.get_by_role("button", name="Put in force: default")
        box = button.bounding_box()
        assert box is not None
        assert box["x"] + box["width"] <= 400
        draw(phone, f"phone-{scheme}")
        button.click()
        phone.page.get_by_role("dialog").wait_for()
        draw(phone, f"phone-question-{scheme}")
        phone.close()
