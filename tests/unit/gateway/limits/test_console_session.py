"""Tokens of the console: whose they are, when they end, and that they cannot be made without the key."""

from __future__ import annotations

import pytest

from breakeven.gateway.errors import RequestError
from breakeven.gateway.limits.console_session import (
    CHANGE_HEADER,
    SESSION_SECONDS,
    check_change,
    cookie_name,
    expires,
    issue,
)

NOW = 1_800_000_000.7


def test_a_token_is_good_for_its_key_until_it_ends() -> None:
    token = issue("secret", NOW)
    end = int(NOW) + SESSION_SECONDS
    assert expires("secret", token, NOW) == end
    assert expires("secret", token, end - 1) == end
    assert expires("secret", token, end) is None
    assert expires("other", token, NOW) is None
    assert "secret" not in token
    assert issue("secret", NOW) != token


def test_every_changed_token_is_refused() -> None:
    token = issue("secret", NOW)
    changed = [
        token[:place] + ("0" if token[place] != "0" else "1") + token[place + 1 :] for place in range(len(token))
    ]
    for one in [*changed, token[:-1], token + "0", "", ".", "..", "a.b.c", "\udcff.x.y", None]:
        assert expires("secret", one, NOW) is None


def test_reading_needs_no_header_and_changing_does() -> None:
    for method in ("GET", "HEAD", "OPTIONS"):
        check_change(method, {})
    check_change("PUT", {CHANGE_HEADER: "1"})
    check_change("DELETE", {CHANGE_HEADER: "1", "sec-fetch-site": "same-origin"})
    for headers in (
        {},
        {"sec-fetch-site": "same-origin"},
        {CHANGE_HEADER: "1", "sec-fetch-site": "same-site"},
        {CHANGE_HEADER: "1", "sec-fetch-site": "cross-site"},
    ):
        with pytest.raises(RequestError) as refused:
            check_change("POST", headers)
        assert (refused.value.status, refused.value.code) == (403, "change_refused")


def test_gateways_on_other_ports_have_other_cookies() -> None:
    assert len({cookie_name(port) for port in (None, 80, 8080)}) == 3
