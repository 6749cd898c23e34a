"""One gateway for each module; each test begins with clean upstreams."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contract.gateway import Gateway, running
from tests.contract.scripted import ScriptedUpstream


@pytest.fixture(scope="module")
def shared_gateway(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A module may name changes to the config in `CONFIG`."""
    with running(tmp_path_factory.mktemp("gateway"), getattr(request.module, "CONFIG", None)) as gateway:
        yield gateway


@pytest.fixture
def gateway(shared_gateway: Gateway) -> Gateway:
    shared_gateway.student.clear()
    shared_gateway.teacher.clear()
    return shared_gateway


@pytest.fixture
def student(gateway: Gateway) -> ScriptedUpstream:
    return gateway.student


@pytest.fixture
def teacher(gateway: Gateway) -> ScriptedUpstream:
    return gateway.teacher
