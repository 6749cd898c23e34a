"""Retry-After headers and the bound on prompt tokens."""

from __future__ import annotations

import time

from breakeven.models.client.chat import Call, retry_after


def test_retry_after_is_read_in_seconds_milliseconds_and_as_a_date() -> None:
    assert retry_after({"retry-after": "2.5"}) == 2.5
    assert retry_after({"retry-after-ms": "250", "retry-after": "9"}) == 0.25
    assert retry_after({"retry-after": "Thu, 01 Jan 1970 00:00:00 GMT"}) == 0.0
    later = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 30))
    assert 25 < (retry_after({"retry-after": later}) or 0) <= 31
    for nothing in ({}, {"retry-after": "soon"}, {"retry-after": "inf"}):
        assert retry_after(nothing) is None


def test_the_bound_on_prompt_tokens_is_at_least_one_token_per_byte() -> None:
    call = Call("k", [{"role": "user", "content": "äß" * 100}], 5)
    assert call.prompt_bound() >= 400
