"""Fixtures of the tests with a real vLLM or a real browser."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.support import processes
from tests.support.postgres import postgres_server, postgres_url
from tests.support.real import Vllm

KEY = "sk-test"
__all__ = ["postgres_server", "postgres_url"]


@pytest.fixture(scope="module")
def real_gateway(vllm: Vllm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[processes.Gateway]:
    """A gateway whose student and teacher are the same real vLLM, under two model names."""
    config = processes.make_config(vllm.base_url, vllm.base_url)
    with processes.gateway(tmp_path_factory.mktemp("gateway"), config) as running:
        yield running


@pytest.fixture
def sdk() -> Iterator[Callable[..., openai.OpenAI]]:
    """`sdk(base_url)`: the official client with default settings, except for base URL and key."""
    with contextlib.ExitStack() as stack:

        def connect(base_url: str, **options: Any) -> openai.OpenAI:
            return stack.enter_context(openai.OpenAI(base_url=base_url, api_key=KEY, **options))

        yield connect


@pytest.fixture
def client(real_gateway: processes.Gateway, sdk: Callable[..., openai.OpenAI]) -> openai.OpenAI:
    """The official Python client, connected to `real_gateway`."""
    return sdk(real_gateway.base_url)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Raise the timeout: the first test starts vLLM, which takes minutes on a slow machine."""
    for item in items:
        if Path(__file__).parent in item.path.parents and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(900))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium of the machine; skips where it is absent."""
    # Imported here: an interpreter for training, which has no playwright, reads this file as well.
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is absent; install the extra test")
    binary = shutil.which("chromium")
    if binary is None:
        pytest.skip("Chromium is absent; install the Debian package chromium")
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=binary, args=["--no-sandbox"])
        yield launched
        launched.close()
