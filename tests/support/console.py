"""The console, open in a browser."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

KEY = "the-admin-key"


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
