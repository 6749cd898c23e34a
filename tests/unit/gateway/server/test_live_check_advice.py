"""What `breakeven check --live` says about the address and the key's header of providers that are known."""

from __future__ import annotations

import pytest

from breakeven.gateway.config.upstream import Upstream
from breakeven.gateway.server.live_check_advice import key_refused, without_version


@pytest.mark.parametrize(
    ("base_url", "header", "wanted"),
    [
        ("https://x.openai.azure.com/openai/v1", "authorization", "this API wants api-key"),
        ("https://x.services.ai.azure.com/models", "authorization", "this API wants api-key"),
        ("https://x.openai.azure.com/openai/v1", "api-key", None),
        ("https://api.anthropic.com/v1", "authorization", "this API wants x-api-key"),
        ("https://api.openai.com/v1", "api-key", "most servers want authorization"),
        ("https://api.openai.com/v1", "authorization", None),
    ],
)
def test_the_header_of_the_key(base_url: str, header: str, wanted: str | None) -> None:
    said = key_refused(Upstream(base_url=base_url, model="m", api_key_env="KEY", auth_header=header), 401)
    assert ("header" in said) == (wanted is not None)
    assert wanted is None or f"{wanted}: set auth_header" in said


@pytest.mark.parametrize(
    ("base_url", "hint"),
    [
        ("http://127.0.0.1:8000", "; base_url has no /v1, which most servers want: http://127.0.0.1:8000/v1"),
        ("http://127.0.0.1:8000/vllm", "; base_url has no /v1, which most servers want: http://127.0.0.1:8000/vllm/v1"),
        ("http://127.0.0.1:8000/v1", ""),
        ("https://generativelanguage.googleapis.com/v1beta/openai", ""),
    ],
)
def test_a_base_url_without_a_version(base_url: str, hint: str) -> None:
    assert without_version(Upstream(base_url=base_url, model="m")) == hint
