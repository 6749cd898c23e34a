"""How an upstream is reached: what the config accepts, where secrets stand, and what is checked before the start."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml

from breakeven.gateway.config.load import check_environment, load_config
from breakeven.gateway.config.schema import Config
from breakeven.gateway.errors import ConfigError


def loaded(folder: Path, **teacher: Any) -> Config:
    value = {
        "student": {"base_url": "http://127.0.0.1:8000/v1", "model": "small"},
        "teacher": {
            "base_url": "https://api.example.com/v1",
            "model": "big",
            "usd_per_million": {"input": 1, "output": 2},
            **teacher,
        },
    }
    path = folder / "breakeven.yaml"
    path.write_text(yaml.safe_dump(value))
    return load_config(path)


@pytest.mark.parametrize(
    ("teacher", "fault"),
    [
        ({"headers": {"api-key": "k"}}, "teacher.headers: api-key is a secret; put it into an environment variable"),
        ({"headers": {"X-Auth": "k"}}, "teacher.headers: x-auth is a secret"),
        ({"headers": {"ocp-apim-subscription-key": "k"}}, "is a secret"),
        ({"query": {"key": "k"}}, "teacher.query: key is a secret"),
        ({"headers": {"host": "h"}}, "teacher.headers: host is set by the gateway; remove it"),
        ({"headers": {"Content-Type": "h"}}, "teacher.headers: content-type is set by the gateway"),
        ({"headers": {"x y": "h"}}, "teacher.headers: has a name that is no name of a header"),
        ({"headers": {"x-a": "1", "X-A": "2"}}, "teacher.headers: x-a is given twice"),
        ({"headers": {"x-a": "a\r\nx-b: c"}}, "teacher.headers: x-a must be one line of ASCII"),
        ({"headers": {"x-a": ""}}, "teacher.headers: x-a must be one line of ASCII"),
        ({"headers": {"x-a": 7}}, "teacher.headers.x-a: must be text, or {env: NAME}; put quotes around it"),
        ({"headers": {"x-a": {"env": "sk-1 2"}}}, "teacher.headers.x-a: must be text, or {env: NAME} with the name"),
        ({"headers": {"x-a": {"file": "A"}}}, "teacher.headers.x-a: must be text, or {env: NAME} with the name"),
        ({"headers": {"authorization": {"env": "A"}}}, "teacher: authorization is both in headers and auth_header"),
        ({"auth_header": "host"}, "teacher.auth_header: must be the name of a header"),
        ({"auth_header": "api key"}, "teacher.auth_header: must be the name of a header"),
        ({"pass_headers": ["Authorization"]}, "teacher.pass_headers: authorization is never passed to an upstream"),
        ({"pass_headers": ["x-breakeven-workload"]}, "teacher.pass_headers: x-breakeven-workload is never passed"),
        ({"pass_headers": ["x-*y z"]}, "teacher.pass_headers: has an entry that is no name of a header"),
        ({"proxy": "http://u:canary@p:3128"}, "teacher.proxy: holds a password; put the URL into an environment"),
        ({"proxy": "socks5://p:1080"}, "teacher.proxy: must be the URL of an HTTP proxy"),
        ({"proxy": "proxy:3128"}, "teacher.proxy: must be the URL of an HTTP proxy"),
        ({"proxy": "http://p:3128", "transport": "direct"}, "teacher: transport: direct cannot use a proxy"),
        ({"client_key": "k.pem"}, "teacher: client_key needs client_cert"),
        ({"ca_file": "c.pem", "base_url": "http://h/v1"}, "teacher: ca_file needs a base_url that starts with https"),
        ({"transport": "http2"}, "teacher.transport: "),
    ],
)
def test_what_is_wrong_is_named_with_its_key_and_without_the_value(
    tmp_path: Path, teacher: dict[str, Any], fault: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, **teacher)
    (line,) = caught.value.faults
    assert fault in line
    assert "canary" not in line
    assert "sk-1" not in line


def test_headers_key_and_query_of_a_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("T_KEY", "secret")
    monkeypatch.setenv("T_SIG", "a/b c")
    section = loaded(
        tmp_path,
        api_key_env="T_KEY",
        auth_header="Api-Key",
        headers={"OpenAI-Project": "p", "x-gate": {"env": "T_SIG"}},
        # An unquoted version of Azure's API is a date in YAML.
        query={"api-version": datetime.date(2024, 10, 21), "sig": {"env": "T_SIG"}},
    ).teacher
    assert section.request_headers() == {"openai-project": "p", "x-gate": "a/b c", "api-key": "secret"}
    assert section.query_string() == "api-version=2024-10-21&sig=a%2Fb%20c"
    assert "a/b c" not in repr(section)
    assert section.model_dump(mode="json")["headers"] == {"openai-project": "p", "x-gate": {"env": "T_SIG"}}
    assert {"secret", "a/b c", "a%2Fb%20c"} <= set(section.secrets())
    plain = loaded(tmp_path, api_key_env="T_KEY").teacher
    assert (plain.request_headers(), plain.query_string()) == ({"authorization": "Bearer secret"}, "")


def test_headers_of_the_client_that_are_passed(tmp_path: Path) -> None:
    config = loaded(tmp_path, headers={"openai-beta": "x"})
    assert config.teacher.passed_headers() == ("idempotency-key", "traceparent", "tracestate")
    assert config.student is not None
    assert config.student.passed_headers() == (
        "idempotency-key", "openai-beta", "traceparent", "tracestate", "baggage", "x-session-id",
        "x-data-parallel-rank",
    )  # fmt: skip
    assert loaded(tmp_path, pass_headers=["X-One", "x-one"]).teacher.passed_headers() == ("x-one",)


def faults(config: Config) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        check_environment(config)
    return caught.value.faults


def test_every_variable_is_checked_before_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("T_BROKEN", "canary\n")
    for name in ("T_GONE", "T_PROXY"):
        monkeypatch.delenv(name, raising=False)
    config = loaded(
        tmp_path,
        api_key_env="T_BROKEN",
        headers={"x-a": {"env": "T_GONE"}},
        query={"sig": {"env": "T_GONE"}},
        proxy={"env": "T_PROXY"},
    )
    assert faults(config) == [
        "teacher.api_key_env: the environment variable T_BROKEN must hold one line of ASCII without spaces around it",
        "teacher.headers.x-a: the environment variable T_GONE is not set; export it",
        "teacher.query.sig: the environment variable T_GONE is not set; export it",
        "teacher.proxy: the environment variable T_PROXY is not set; export it",
    ]
    monkeypatch.setenv("T_PROXY", "socks5://u:canary@p")
    (fault,) = faults(loaded(tmp_path, proxy={"env": "T_PROXY"}))
    assert fault.startswith("teacher.proxy: the environment variable T_PROXY must be the URL of an HTTP proxy")
    assert "canary" not in fault


def test_certificates_are_read_before_the_start_relative_to_the_file(tmp_path: Path) -> None:
    authority, other = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    issued = authority.issue_cert("gateway@example.com")
    issued.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "both.pem"))
    other.issue_cert("a@example.com").private_key_pem.write_to_path(str(tmp_path / "other.pem"))
    (tmp_path / "text.pem").write_text("no certificate")
    config = loaded(tmp_path, ca_file="ca.pem", client_cert="both.pem")
    check_environment(config)
    assert config.teacher.ca_file == str(tmp_path / "ca.pem")
    cases: list[tuple[dict[str, str], str]] = [
        ({"ca_file": "gone.pem"}, "teacher.ca_file: cannot be read (No such file or directory); give a PEM file"),
        ({"ca_file": "text.pem"}, "teacher.ca_file: cannot be used (no certificate or crl found); give a PEM file"),
        ({"client_cert": "gone.pem"}, "teacher.client_cert: cannot be read (No such file or directory)"),
        ({"client_cert": "ca.pem"}, "teacher.client_cert: cannot be used ("),
        ({"client_cert": "both.pem", "client_key": "other.pem"}, "cannot be used (key values mismatch)"),
    ]
    for given, fault in cases:
        (line,) = faults(loaded(tmp_path, **given))
        assert fault in line
