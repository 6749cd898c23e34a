"""Which proxy an upstream is reached through, by config and environment."""

from __future__ import annotations

import pytest

from breakeven.gateway.config.outbound import Outbound
from breakeven.gateway.config.proxies import proxy_of

P = "http://proxy.example.com:3128"


@pytest.mark.parametrize(
    ("base_url", "variables", "url", "given_by"),
    [
        ("https://api.example.com/v1", {"HTTPS_PROXY": P}, P, "HTTPS_PROXY"),
        ("https://api.example.com/v1", {"https_proxy": P, "HTTPS_PROXY": "http://no"}, P, "https_proxy"),
        ("https://api.example.com/v1", {"HTTP_PROXY": P}, None, None),
        ("http://api.example.com/v1", {"HTTP_PROXY": P}, P, "HTTP_PROXY"),
        ("http://api.example.com/v1", {"ALL_PROXY": P}, P, "ALL_PROXY"),
        ("https://api.example.com/v1", {"HTTPS_PROXY": "", "ALL_PROXY": P}, P, "ALL_PROXY"),
        ("https://api.example.com/v1", {"HTTPS_PROXY": "proxy:3128"}, "http://proxy:3128", "HTTPS_PROXY"),
        ("https://api.example.com/v1", {}, None, None),
        # Loopback is never behind a proxy of the environment.
        ("http://127.0.0.1:8000/v1", {"HTTP_PROXY": P}, None, None),
        ("http://127.8.9.1/v1", {"HTTP_PROXY": P}, None, None),
        ("http://localhost:8000/v1", {"ALL_PROXY": P}, None, None),
        ("http://vllm.localhost:8000/v1", {"ALL_PROXY": P}, None, None),
        ("http://[::1]:8000/v1", {"ALL_PROXY": P}, None, None),
    ],
)
def test_the_variables_of_the_scheme_then_of_all(
    base_url: str, variables: dict[str, str], url: str | None, given_by: str | None
) -> None:
    found = proxy_of(Outbound(base_url=base_url), variables)
    assert (found.url if found else None, found.given_by if found else None) == (url, given_by)


@pytest.mark.parametrize(
    ("no_proxy", "host", "excepted"),
    [
        ("*", "api.example.com", True),
        ("api.example.com", "api.example.com", True),
        ("example.com", "api.example.com", True),
        (".example.com", "api.example.com", True),
        ("*.example.com", "api.example.com", True),
        (" other.com , EXAMPLE.com", "api.example.com", True),
        ("ample.com", "api.example.com", False),
        ("api.example.com", "example.com", False),
        ("example.com:443", "api.example.com", True),
        ("example.com:8443", "api.example.com", False),
        ("example.com:8443", "api.example.com:8443", True),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("fd00::/8", "[fd00::1]", True),
        ("[fd00::1]:443", "[fd00::1]", True),
        ("fd00::2", "[fd00::1]", False),
        ("", "api.example.com", False),
        (",.,//", "api.example.com", False),
        ("localhost example.com\tother.com", "api.example.com", True),
        (" * ", "api.example.com", True),
    ],
)
def test_no_proxy(no_proxy: str, host: str, excepted: bool) -> None:
    section = Outbound(base_url=f"https://{host}/v1")
    for name in ("no_proxy", "NO_PROXY"):
        assert (proxy_of(section, {"HTTPS_PROXY": P, name: no_proxy}) is None) == excepted


def test_the_config_goes_before_the_environment() -> None:
    variables = {"HTTPS_PROXY": P, "NO_PROXY": "*", "MINE": "http://user:canary@mine:1"}
    base = {"base_url": "https://api.example.com/v1"}
    assert proxy_of(Outbound.model_validate({**base, "proxy": "direct"}), {"HTTPS_PROXY": P}) is None
    mine = proxy_of(Outbound.model_validate({**base, "proxy": {"env": "MINE"}}), variables)
    assert mine == ("http://user:canary@mine:1", "MINE")
    assert mine is not None
    assert mine.address == "mine:1"
    written = proxy_of(Outbound.model_validate({**base, "proxy": "http://written:2"}), variables)
    assert written == ("http://written:2", "proxy")


@pytest.mark.parametrize("url", ["socks5://u:canary@p:1", "http://", "http://p:99999", "ftp://p", "http://p/path"])
def test_a_variable_that_is_no_http_proxy_is_refused_without_its_value(url: str) -> None:
    with pytest.raises(ValueError, match="the environment variable ALL_PROXY must be the URL") as caught:
        proxy_of(Outbound(base_url="https://api.example.com/v1"), {"ALL_PROXY": url})
    assert "canary" not in str(caught.value)


def test_the_direct_transport_refuses_a_proxy_rather_than_go_around_it() -> None:
    section = Outbound(base_url="https://api.example.com/v1", transport="direct")
    with pytest.raises(ValueError, match="transport: direct cannot use the proxy of HTTPS_PROXY"):
        proxy_of(section, {"HTTPS_PROXY": P})
    assert proxy_of(section, {"HTTPS_PROXY": P, "NO_PROXY": "example.com"}) is None
