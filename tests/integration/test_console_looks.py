"""How the console's pages look in a real Chromium: accessibility, three widths, light and dark; and their pictures.

`python -m tests.bench.pictures` draws the pictures of the documentation with it.
"""

from __future__ import annotations

import datetime
import hashlib
import io
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from PIL import Image

from tests.support import processes, real
from tests.support.console import KEY, PAGES, Page
from tests.support.console_traffic import admin, busy
from tests.support.kept import kept

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is absent; install the extra test")

DRAW = os.environ.get("BREAKEVEN_DRAW")
WIDTHS = (1440, 900, 390)
_RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[processes.Gateway]:
    with busy(tmp_path_factory.mktemp("looks"), requests=420 if DRAW else 120, candidate=True) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[processes.Gateway]:
    """A gateway that no request has come to."""
    config = processes.make_config("http://127.0.0.1:9/v1", "http://127.0.0.1:9/v1")
    with processes.gateway(
        tmp_path_factory.mktemp("quiet"), config, {"BREAKEVEN_ADMIN_KEY": "the-admin-key"}
    ) as gateway:
        yield gateway


def violations(page: Any) -> list[str]:
    """What axe-core finds wrong, with the elements."""
    found = page.evaluate("(rules) => axe.run(document, rules)", _RULES)["violations"]
    return [f"{one['id']}: {node['html'][:160]} {node['any'][:1]}" for one in found for node in one["nodes"]]


def opened(browser: Any, gateway: processes.Gateway, width: int, scheme: str) -> Page:
    page = Page(
        browser, gateway.url, viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce"
    )
    page.sign_in()
    return page


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_is_accessible_to_axe(browser: Any, running: processes.Gateway, scheme: str) -> None:
    # The page's policy lets nobody add a script; its own world beside the page's may be added to.
    script = real.axe().read_text(encoding="utf-8")
    console = opened(browser, running, 1280, scheme)
    found = {}
    for name in PAGES:
        console.open(name, range="all")
        console.page.evaluate(script)
        found[name] = violations(console.page)
    console.open("traffic", range="all", id=admin(running, "decisions?limit=1")["decisions"][0]["id"])
    console.page.get_by_role("dialog", name="Request").wait_for()
    found["request"] = violations(console.page)
    console.close()
    door = Page(browser, running.url, color_scheme=scheme)
    door.page.get_by_label("Admin key").wait_for()
    door.page.evaluate(script)
    found["door"] = violations(door.page)
    door.close()
    assert {name: faults for name, faults in found.items() if faults} == {}


@pytest.mark.parametrize("width", WIDTHS)
def test_no_page_scrolls_sideways(browser: Any, running: processes.Gateway, width: int) -> None:
    console = opened(browser, running, width, "light")
    wide, heights = {}, {}
    for name in PAGES:
        console.open(name, range="all")
        wide[name] = console.page.evaluate("document.documentElement.scrollWidth")
        heights[name] = console.page.evaluate("document.documentElement.scrollHeight")
    console.close()
    assert wide == dict.fromkeys(PAGES, width)
    # Three screens of a phone and a list that says how it goes on, in the place of one column with everything.
    assert max(heights.values()) < 4000, heights


def test_long_names_stay_within_the_page(browser: Any, tmp_path: Path) -> None:
    """Of models, workloads and keys, without a space at which they could wrap; and what they hold is text."""
    name, model = "w" * 64, '<img src="x" onerror="document.title = 1">' + "m" * 60
    rows = [{"prompt": "p", "answer": "a" * 300, "prompt_tokens": 5, "output_tokens": 5}]
    with processes.replay(tmp_path, model, rows) as student, processes.replay(tmp_path, "teacher", rows) as teacher:
        config = processes.make_config(student, teacher, road={"sample": 1.0, "scorer": "exact"})
        config["student"]["model"], config["teacher"]["model"] = model, "teacher"
        config |= {"routing": {"threshold": 0.5}, "workloads": [name], "ledger": {"store_conversations": True}}
        config["auth"] = {"keys": [{"name": "k" * 64, "sha256": hashlib.sha256(b"key").hexdigest()}]}
        with processes.gateway(tmp_path, config, {"BREAKEVEN_ADMIN_KEY": KEY}) as gateway:
            headers = {"authorization": "Bearer key", "x-breakeven-workload": name}
            body = {"model": "auto", "messages": [{"role": "user", "content": "p"}]}
            url = f"{gateway.base_url}/chat/completions"
            assert httpx2.post(url, json=body, headers=headers, timeout=30.0).status_code == 200
            deadline = time.monotonic() + 60
            while not (admin(gateway, "comparisons")["comparisons"] and admin(gateway, "decisions")["decisions"]):
                assert time.monotonic() < deadline
                time.sleep(0.1)
            for width in WIDTHS:
                console = opened(browser, gateway, width, "light")
                wide = {}
                for page in PAGES:
                    console.open(page, range="all", workload=name)
                    wide[page] = console.page.evaluate("document.documentElement.scrollWidth")
                console.open("traffic", range="all")
                list_of = "document.querySelector('#requests .scroll')"
                assert console.page.evaluate(f"{list_of}.scrollWidth - {list_of}.clientWidth") <= 0
                console.page.locator("#requests tbody button").first.click()
                console.page.get_by_role("dialog", name="Request").get_by_text("k" * 64).wait_for()
                assert console.page.evaluate("sheet.scrollWidth - sheet.clientWidth") == 0
                console.page.keyboard.press("Escape")
                console.close()
                assert wide == dict.fromkeys(PAGES, width)


def test_a_request_that_is_not_there_any_more_is_said_beside_the_list(browser: Any, running: processes.Gateway) -> None:
    console = Page(browser, running.url)
    console.sign_in()
    console.open("traffic", range="all", id="0" * 32)
    console.page.locator("#status.error", has_text="There is no request with this id").wait_for()
    assert console.page.locator("#requests tbody tr").count() == 25
    console.context.close()


def test_a_page_without_data_says_what_to_do(browser: Any, quiet: processes.Gateway) -> None:
    console = opened(browser, quiet, 1280, "light")
    script = real.axe().read_text(encoding="utf-8")
    expected = {
        "overview": ("road.sample", "curl "),
        "tune": ("No request was scored by this router yet", "Send traffic"),
        "traffic": ("No requests", f"{quiet.url}/v1"),
        "label": ("ledger.store_conversations: true",),
        "students": ("candidate:", "road.sample"),
        "compare": ("Nothing was compared yet", "road.sample"),
        "changes": ("Nothing has changed yet",),
    }
    for name, texts in expected.items():
        console.open(name)
        shown = console.page.locator("#page").inner_text()
        for text in texts:
            assert text in shown, (name, text)
        console.page.evaluate(script)
        assert violations(console.page) == [], name
    console.close()


def test_every_control_is_reached_and_seen_with_the_keyboard(browser: Any, running: processes.Gateway) -> None:
    console = opened(browser, running, 1280, "light")
    page = console.page
    for name in PAGES:
        console.open(name, range="all")
        # Rows that are replaced meanwhile would be counted twice.
        page.get_by_label("Refresh by itself").select_option("0")
        page.locator("#skip").focus()
        wanted = page.evaluate(
            """() => [...document.querySelectorAll("#app :is(a, button, select, input, textarea, summary)")]
                 .filter((one) => !one.disabled && one.checkVisibility()).length"""
        )
        seen = set()
        for _ in range(wanted + 12):
            page.keyboard.press("Tab")
            ring = page.evaluate(
                """() => { const one = document.activeElement; if (one === document.body) return null;
                     one.dataset.seen ??= String(Math.random());
                     return [one.dataset.seen, getComputedStyle(one).outlineStyle]; }"""
            )
            if ring is None:
                break
            assert ring[1] != "none", (name, page.evaluate("document.activeElement.outerHTML")[:120])
            seen.add(ring[0])
        assert len(seen) >= wanted, name
    # The first stop leads past the navigation.
    page.evaluate("document.activeElement.blur()")
    page.locator("#skip").focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    console.close()


def test_a_page_that_cannot_be_loaded_says_so_and_is_tried_again(browser: Any, quiet: processes.Gateway) -> None:
    console = opened(browser, quiet, 1280, "light")
    page = console.page
    page.get_by_label("Refresh by itself").select_option("0")
    # The figures of one page, and the script of another.
    page.route(re.compile("/admin/changes"), lambda route: route.fulfill(status=503, body="{}"))
    page.route(re.compile("/console/students.js"), lambda route: route.abort())
    for name, why in (("Changes", "status 503"), ("Students", "The gateway cannot be reached.")):
        page.get_by_role("link", name=name, exact=True).click()
        page.get_by_text("This page could not be loaded").wait_for()
        assert why in page.locator("#page").inner_text()
        assert page.locator("#status").inner_text() == ""
        assert page.locator("#updated").inner_text() == ""
    page.unroute_all()
    page.get_by_role("button", name="Try again").click()
    page.get_by_text("There is no candidate").wait_for()
    page.route(re.compile("/admin/changes"), lambda route: route.abort())
    page.get_by_role("link", name="Changes", exact=True).click()
    page.get_by_text("This page could not be loaded").wait_for()
    page.unroute_all()
    page.get_by_role("button", name="Try again").click()
    page.get_by_text("Nothing has changed yet").wait_for()
    console.context.close()


def test_a_refresh_leaves_what_was_scrolled_and_chosen(browser: Any, running: processes.Gateway) -> None:
    console = opened(browser, running, 390, "light")
    page = console.page
    refresh = page.get_by_role("button", name="Refresh", exact=True)
    console.open("overview", range="all")
    page.evaluate("document.getElementById('workloads').scrollLeft = 1000")
    left = page.evaluate("document.getElementById('workloads').scrollLeft")
    assert left > 100
    refresh.click()
    console.loaded()
    assert page.evaluate("document.getElementById('workloads').scrollLeft") == pytest.approx(left, abs=2)
    console.open("traffic", range="all")
    page.get_by_role("combobox", name="reason").focus()
    # A list of choices that was replaced would close.
    page.evaluate("document.activeElement.dataset.mine = 'yes'")
    page.evaluate("document.getElementById('refresh').click()")
    console.loaded()
    assert page.evaluate("document.activeElement.dataset.mine") == "yes"
    console.close()


def in_zone(browser: Any, gateway: processes.Gateway, zone: str) -> tuple[set[str], str]:
    """The times on the axes of the overview in this time zone, and what it says of its last refresh."""
    console = Page(browser, gateway.url, timezone_id=zone)
    console.context.add_init_script(
        """window.drawn = []; const draw = CanvasRenderingContext2D.prototype.fillText;
           CanvasRenderingContext2D.prototype.fillText = function (text, ...rest) {
             window.drawn.push(text); return draw.call(this, text, ...rest); };"""
    )
    console.page.reload()
    console.sign_in()
    console.open("overview", range="all")
    console.eventually(lambda: console.page.locator("#of-period canvas").count() == 1)
    drawn, said = console.page.evaluate("window.drawn"), console.page.locator("#updated").inner_text()
    console.close()
    return {text for text in drawn if re.match(r"\d{1,2} [A-Z][a-z]{2}|\d\d:\d\d|20\d\d", text)}, said


def test_times_are_utc_wherever_the_browser_is(browser: Any, running: processes.Gateway) -> None:
    """The ledger's days are, and the lists' times: the axes of the charts agree with them."""
    (drawn, said), (elsewhere, said_elsewhere) = (in_zone(browser, running, zone) for zone in ("UTC", "Asia/Kolkata"))
    assert drawn == elsewhere
    assert any(re.fullmatch(r"\d{1,2} [A-Z][a-z]{2}", text) for text in drawn)
    now = datetime.datetime.now(datetime.UTC)
    for text in (said, said_elsewhere):
        time = datetime.datetime.strptime(text, "Updated %H:%M:%S UTC")
        apart = (now - time.replace(year=now.year, month=now.month, day=now.day, tzinfo=now.tzinfo)).total_seconds()
        assert min(apart % 86_400, -apart % 86_400) < 600


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pictures(browser: Any, running: processes.Gateway, scheme: str, tmp_path: Path) -> None:
    folder = Path(DRAW) if DRAW else kept(tmp_path)
    for width, size in zip(WIDTHS, ("", "-middle", "-phone"), strict=True):
        console = opened(browser, running, width, scheme)
        for name in PAGES:
            console.open(name)
            drawn = console.page.screenshot()
            # Few colours make small files.
            picture = Image.open(io.BytesIO(drawn)).convert("RGB").quantize(128, dither=Image.Dither.NONE)
            picture.save(folder / f"console-{name}{size}-{scheme}.png", optimize=True)
        console.close()
    drawn_now = [folder / f"console-{name}{size}-{scheme}.png" for name in PAGES for size in ("", "-middle", "-phone")]
    assert min(picture.stat().st_size for picture in drawn_now) > 5_000


def test_the_next_student_is_promoted_and_rolled_back(browser: Any, running: processes.Gateway) -> None:
    """The last one of this file: it changes what the gateway knows."""
    console = opened(browser, running, 1280, "light")
    page = console.page
    console.open("students")
    before = admin(running, "candidate")
    promote = page.get_by_role("button", name=re.compile("^Promote"))
    promote.click()
    dialog = page.get_by_role("dialog", name=re.compile("^Promote.*: desk-135m-v2"))
    dialog.get_by_role("button", name="Cancel").click()
    assert admin(running, "candidate")["phase"] == before["phase"]
    promote.click()
    dialog.get_by_role("button", name=re.compile("^Promote")).click()
    page.locator("#status", has_text="Promoted: desk-135m-v2.").wait_for()
    page.get_by_role("button", name="Roll back").wait_for()
    assert admin(running, "candidate")["phase"] == "promoted"
    page.get_by_role("button", name="Roll back").click()
    page.get_by_role("dialog").get_by_role("button", name="Roll back").click()
    page.locator("#status", has_text="Rolled back: desk-135m-v2.").wait_for()
    assert admin(running, "candidate")["phase"] != "promoted"
    said = [one for one in admin(running, "changes")["changes"] if one["workload"] == "candidate"][:2]
    assert [one["who"] for one in said] == ["console", "console"]
    console.close()
