"""The table of client programs: versions as they are installed, tests and snippets that exist."""

from __future__ import annotations

import pytest

from docs.client_reference import CHECKS, CLIENTS, SNIPPETS, Client, versions
from tests.support.processes import ROOT

ADDRESS = "http://127.0.0.1:8080"


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
def test_each_client_has_versions_a_test_and_a_snippet_that_names_the_gateway_once(client: Client) -> None:
    assert set(client.pins.values()) <= set(versions())
    assert set(client.checks) <= set(CHECKS)
    assert (ROOT / client.test).is_file()
    assert (SNIPPETS / client.snippet).read_text(encoding="utf-8").count(ADDRESS) == 1


def test_every_snippet_is_of_a_client() -> None:
    assert {path.name for path in SNIPPETS.iterdir()} == {client.snippet for client in CLIENTS}


def test_every_version_is_installed() -> None:
    text = (ROOT / "tests/install_real.sh").read_text(encoding="utf-8")
    for client in CLIENTS:
        for package, name in client.pins.items():
            assert any(f"{before}${name}" in text for before in ("=", "@", "openjdk-")), package
