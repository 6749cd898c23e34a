"""Passwords of URLs are hidden wherever they stand in a text, and nothing else."""

from __future__ import annotations

import pytest

from breakeven.router.masking import masked


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql+psycopg://u:pw@h:5432/b", "postgresql+psycopg://u:***@h:5432/b"),
        ("postgresql://u:p%40w@h/b?sslmode=require", "postgresql://u:***@h/b?sslmode=require"),
        ("postgresql://u:p@w/x@h/b", "postgresql://u:***@h/b"),
        ("postgresql:///b?host=/run&password=pw&user=u", "postgresql:///b?host=/run&password=***&user=u"),
        ("postgresql://:pw@h/b", "postgresql://:***@h/b"),
        ("http://u:pw@proxy:3128", "http://u:***@proxy:3128"),
        ("https://sk-token@api.example.com/v1", "https://***@api.example.com/v1"),
        (
            "no gateway at http://u:pw@h/x, nor at https://a:b@c",
            "no gateway at http://u:***@h/x, nor at https://a:***@c",
        ),
        ("HTTP://u:pw@h", "HTTP://u:***@h"),
        ("http://h/v1?api_key=pw&x=1", "http://h/v1?api_key=***&x=1"),
        ("socks5://u:pw@h:1", "socks5://u:***@h:1"),
    ],
)
def test_secrets_are_hidden(text: str, shown: str) -> None:
    assert masked(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "http://127.0.0.1:8000/v1 answered 400: write to me@example.com",
        "http://127.0.0.1:8000/x@y",
        "postgresql://user@host/b",
        "sqlite:////var/lib/breakeven.db",
        "token=abc without a URL",
        "http://[::1]:8000/v1/models?limit=3",
    ],
)
def test_the_rest_is_left_as_it_is(text: str) -> None:
    assert masked(text) == text
