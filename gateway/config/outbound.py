"""How an upstream is reached: address, key, further headers and query, transport, proxy and certificates.

A value that may be secret is read from the environment when it is needed, so that no dump of the config holds it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from datetime import date, datetime
from typing import Annotated, Any, Literal
from urllib.parse import quote, urlencode, urlsplit

from pydantic import BeforeValidator, Field, field_validator, model_validator

from breakeven.gateway.config.types import Section, api_url

_VARIABLE = r"[A-Za-z_][A-Za-z0-9_]*"
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# One line of ASCII without spaces around it, which HTTP carries unchanged.
_LINE = re.compile(r"[!-~]([ -~]*[!-~])?")
# Names whose values are secret wherever they are used, such as ocp-apim-subscription-key.
_SECRET_NAME = re.compile(
    r"(.*[-_])?(authorization|auth|key|apikey|token|secret|password|signature|sig|cookie)", re.IGNORECASE
)
# Set by the gateway itself, or by the connection.
_OWN_HEADERS = frozenset({
    "accept", "accept-encoding", "connection", "content-encoding", "content-length", "content-type", "expect", "host",
    "keep-alive", "proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
    "x-request-id",
})  # fmt: skip
# A client sends these to the gateway; an upstream would learn the client's key or session from them.
_OF_THE_CLIENT = frozenset(("authorization", "cookie", "api-key", "x-api-key", "user-agent"))
PASSED = ["idempotency-key", "openai-beta", "traceparent", "tracestate"]


class FromEnvironment(Section):
    """A value that stands in an environment variable."""

    env: str = Field(pattern=f"^{_VARIABLE}$")

    def value(self) -> str:
        """The value. Raises KeyError if the variable is not set, which `check_environment` rules out at startup."""
        return os.environ[self.env]


def _text_or_variable(value: Any) -> Any:
    if isinstance(value, dict):
        name = value.get("env")
        if set(value) != {"env"} or not isinstance(name, str) or not re.fullmatch(_VARIABLE, name):
            raise ValueError("must be text, or {env: NAME} with the name of an environment variable")
        return FromEnvironment(env=name)
    # YAML reads 2024-10-21, a version of Azure's API, as a date.
    if isinstance(value, date) and not isinstance(value, datetime):
        return value.isoformat()
    if not isinstance(value, str | FromEnvironment):
        raise ValueError("must be text, or {env: NAME}; put quotes around it")
    return value


Value = Annotated[str | FromEnvironment, BeforeValidator(_text_or_variable)]


class Outbound(Section):
    """Where requests to an upstream go, and what goes with each of them."""

    base_url: str = Field(description="Base URL of the OpenAI-compatible API, including /v1.")
    api_key_env: str | None = Field(
        None, description="Name of the environment variable with the API key; null: no key is sent."
    )
    auth_header: str = Field(
        "authorization",
        description="Header for the API key: `authorization` holds `Bearer` and the key, any other, such as Azure's "
        "`api-key`, the key alone.",
    )
    headers: dict[str, Value] = Field(
        {}, description="Headers of every request; a secret stands in the environment: `{env: NAME}`."
    )
    query: dict[str, Value] = Field(
        {}, description="Query parameters of every request, such as Azure's `api-version`; values as in `headers`."
    )
    pass_headers: list[str] = Field(
        PASSED, description="Client headers that are passed to this upstream; all others are not. Replaces the default."
    )
    proxy: Value | None = Field(
        None,
        description="URL of the HTTP proxy, or `{env: NAME}` where it holds a password; `direct`: none; null: from "
        "`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`.",
    )
    ca_file: str | None = Field(
        None,
        description="PEM file of the only CAs that are trusted here, relative to this file; null: the system's.",
    )
    client_cert: str | None = Field(
        None, description="PEM file of the client certificate for mutual TLS, with its chain, relative to this file."
    )
    client_key: str | None = Field(
        None, description="PEM file of the unencrypted key of `client_cert`; null: it is in the same file."
    )
    transport: Literal["auto", "direct", "httpx2"] = Field(
        "auto", description="HTTP client: `auto` takes `httpx2` where there is a proxy, else `direct`, which is faster."
    )

    _is_http = field_validator("base_url")(api_url)

    @field_validator("api_key_env")
    @classmethod
    def _is_variable_name(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(_VARIABLE, value):
            raise ValueError("must be the name of an environment variable, never the key itself")
        return value

    @field_validator("auth_header")
    @classmethod
    def _is_a_header(cls, value: str) -> str:
        name = value.lower()
        if not _HEADER_NAME.fullmatch(name) or name in _OWN_HEADERS:
            raise ValueError("must be the name of a header, such as authorization or api-key")
        return name

    @field_validator("headers")
    @classmethod
    def _known_headers(cls, value: dict[str, str | FromEnvironment]) -> dict[str, str | FromEnvironment]:
        found: dict[str, str | FromEnvironment] = {}
        for given, text in value.items():
            name = given.lower()
            if not _HEADER_NAME.fullmatch(name):
                raise ValueError("has a name that is no name of a header; use letters, digits and dashes")
            if name in found:
                raise ValueError(f"{name} is given twice; remove one")
            if name in _OWN_HEADERS:
                raise ValueError(f"{name} is set by the gateway; remove it")
            _check_literal(name, text)
            found[name] = text
        return found

    @field_validator("query")
    @classmethod
    def _known_parameters(cls, value: dict[str, str | FromEnvironment]) -> dict[str, str | FromEnvironment]:
        for name, text in value.items():
            if not _LINE.fullmatch(name):
                raise ValueError("has a name that is empty or not ASCII")
            _check_literal(name, text)
        return value

    @field_validator("pass_headers")
    @classmethod
    def _passable(cls, value: list[str]) -> list[str]:
        names = list(dict.fromkeys(name.lower() for name in value))
        for name in names:
            if not _HEADER_NAME.fullmatch(name):
                raise ValueError("has an entry that is no name of a header; patterns are not supported")
            if name in _OWN_HEADERS | _OF_THE_CLIENT or name.startswith("x-breakeven-"):
                raise ValueError(f"{name} is never passed to an upstream; remove it")
        return names

    @field_validator("proxy")
    @classmethod
    def _proxy_url(cls, value: str | FromEnvironment | None) -> str | FromEnvironment | None:
        if isinstance(value, str) and value != "direct":
            if "@" in value:
                raise ValueError("holds a password; put the URL into an environment variable and write {env: NAME}")
            check_proxy(value)
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Outbound:
        if self.auth_header in self.headers:
            raise ValueError(f"{self.auth_header} is both in headers and auth_header; keep one, with api_key_env")
        if self.client_key is not None and self.client_cert is None:
            raise ValueError("client_key needs client_cert")
        for name in ("ca_file", "client_cert"):
            if getattr(self, name) is not None and not self.base_url.startswith("https://"):
                raise ValueError(f"{name} needs a base_url that starts with https://")
        if self.transport == "direct" and self.proxy not in (None, "direct"):
            raise ValueError("transport: direct cannot use a proxy; set it to auto")
        return self

    def api_key(self) -> str | None:
        """The API key from the environment, None if no variable is configured.

        Raises KeyError if the variable is not set, which `check_environment` rules out at startup.
        """
        return os.environ[self.api_key_env] if self.api_key_env else None

    def variables(self) -> Iterator[tuple[str, str]]:
        """(key of the config, name of the environment variable) of all values that stand in the environment."""
        if self.api_key_env is not None:
            yield "api_key_env", self.api_key_env
        for section, values in (("headers", self.headers), ("query", self.query), ("", {"proxy": self.proxy})):
            for name, value in values.items():
                if isinstance(value, FromEnvironment):
                    yield f"{section}.{name}".lstrip("."), value.env

    def request_headers(self) -> dict[str, str]:
        """The key's header and the configured ones, names in lower case. Raises KeyError as `api_key` does."""
        found = {name: _resolved(value) for name, value in self.headers.items()}
        key = self.api_key()
        if key is not None:
            found[self.auth_header] = f"Bearer {key}" if self.auth_header == "authorization" else key
        return found

    def query_string(self) -> str:
        """The query of every request, percent-encoded, without its question mark. Raises KeyError as `api_key` does."""
        return urlencode({name: _resolved(value) for name, value in self.query.items()}, quote_via=quote)

    def passed_headers(self) -> tuple[str, ...]:
        """Names of the client headers that are passed: what the config sets itself is not taken from a client."""
        return tuple(name for name in self.pass_headers if name not in self.headers and name != self.auth_header)

    def secrets(self) -> Iterator[str]:
        """What no message may contain: values from the environment, as they are and percent-encoded."""
        for _, variable in self.variables():
            value = os.environ.get(variable)
            if value:
                yield value
                yield quote(value, safe="")


def check_proxy(url: str) -> None:
    """Raise ValueError, without the URL in its text, for one that is no http:// or https:// URL of a proxy."""
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid or parts.path.strip("/") or parts.query or parts.fragment or not _LINE.fullmatch(url):
        raise ValueError("must be the URL of an HTTP proxy, such as http://proxy.example.com:3128, and not of SOCKS")


def _check_literal(name: str, value: str | FromEnvironment) -> None:
    if isinstance(value, FromEnvironment):
        return
    if _SECRET_NAME.fullmatch(name):
        raise ValueError(f"{name} is a secret; put it into an environment variable and write {name}: {{env: NAME}}")
    if not _LINE.fullmatch(value):
        raise ValueError(f"{name} must be one line of ASCII that is not empty, without spaces around it")


def fault_of_variable(name: str) -> str | None:
    """What is wrong with the value of an environment variable that is sent in a header; None: nothing."""
    value = os.environ.get(name)
    if not value:
        return f"the environment variable {name} is not set; export it"
    if not _LINE.fullmatch(value):
        return f"the environment variable {name} must hold one line of ASCII without spaces around it"
    return None


def _resolved(value: str | FromEnvironment) -> str:
    return value.value() if isinstance(value, FromEnvironment) else value
