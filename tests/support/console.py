"""The console, open in a browser."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode, urlsplit

KEY = "the-admin-key"
PAGES = ("overview", "tune", "traffic", "label", "students", "compare", "changes")
_SECONDS = 60


class Page:
    """An open console, with its JavaScript errors and the hosts that it sent requests to."""

    def __init__(self, browser: Any, url: str, **options: Any) -> None:
        self.url = url
        self.context = browser.new_context(**options)
        self.context.set_default_timeout(1000 * _SECONDS)
        self.page = self.context.new_page()
        self.errors: list[str] = []
        self.hosts: set[str] = set()
        self.page.on("console", lambda entry: self.errors.append(entry.text) if entry.type == "error" else None)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self.hosts.add(urlsplit(request.url).netloc))
        self.page.goto(f"{url}/console")

    def sign_in(self, key: str = KEY) -> None:
        """Enter the key; with the right one the console is then open."""
        self.page.get_by_label("Admin key").fill(key)
        self.page.get_by_role("button", name="Sign in").click()
        if key == KEY:
            self.loaded()

    def open(self, name: str, **parameters: str) -> None:
        """Open a page of the console, and wait for its data."""
        query = f"?{urlencode(parameters)}" if parameters else ""
        self.page.goto(f"{self.url}/console#/{name}{query}")
        self.wait("document.title.split(' ')[0].toLowerCase()", name)
        self.loaded()

    def loaded(self) -> None:
        """Wait until nothing is being loaded."""
        self.wait(
            "!document.getElementById('app').hidden && document.querySelector('#page > div') !== null"
            " && !document.getElementById('app').hasAttribute('aria-busy')"
        )

    def wait(self, expression: str, value: object = True) -> None:
        """Wait until an expression of JavaScript has this value. The page's own policy lets Playwright's functions for
        that evaluate nothing.
        """
        self.eventually(lambda: self.page.evaluate(expression) == value)

    def cell(self, name: str, column: int) -> str:
        """A cell of the table of figures: 0 is in force, 1 the chosen one."""
        row = self.page.locator("#figures tbody tr", has_text=name)
        return str(row.locator("td").nth(column).inner_text())

    def eventually(self, ready: Callable[[], Any]) -> None:
        """Wait until `ready` gives something true. The browser goes on meanwhile."""
        deadline = time.monotonic() + _SECONDS
        while not ready():
            assert time.monotonic() < deadline, "it did not happen"
            self.page.wait_for_timeout(50)

    def close(self) -> None:
        """Close it; it must have had no error, and asked no other host."""
        errors, hosts = self.errors, self.hosts
        self.context.close()
        assert errors == []
        assert hosts == {urlsplit(self.url).netloc}
