"""The published OpenAPI document, and requests made from it: no 500, and answers as documented."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.contract.gateway import Gateway, running

EXAMPLES = 40 if os.environ.get("BREAKEVEN_CI") == "1" else 15
CHECKS = (not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance)
OPERATIONS = [
    ("POST", "/v1/chat/completions"), ("POST", "/v1/completions"), ("POST", "/v1/responses"),
    ("POST", "/v1/embeddings"), ("POST", "/v1/messages"), ("POST", "/v1/messages/count_tokens"),
    ("POST", "/v1/feedback"), ("POST", "/v1/responses/compact"), ("POST", "/v1/responses/input_tokens"),
    ("GET", "/v1/responses/{id}"), ("DELETE", "/v1/responses/{id}"), ("POST", "/v1/responses/{id}/cancel"),
    ("GET", "/v1/responses/{id}/input_items"),
    ("GET", "/v1/models"), ("GET", "/v1/models/{name}"), ("GET", "/healthz"),
    ("GET", "/health"), ("GET", "/ping"), ("GET", "/version"), ("GET", "/readyz"), ("GET", "/metrics"),
    ("GET", "/admin/upstreams"), ("GET", "/admin/road"), ("GET", "/admin/candidate"),
    ("POST", "/admin/candidate/promote"), ("POST", "/admin/candidate/drop"), ("POST", "/admin/candidate/rollback"),
    ("POST", "/admin/road/{workload}/apply"), ("POST", "/admin/road/{workload}/rollback"),
    ("GET", "/admin/policy"), ("PUT", "/admin/policy"), ("DELETE", "/admin/policy"), ("POST", "/admin/route"),
    ("GET", "/admin/report"), ("GET", "/admin/decisions"), ("GET", "/admin/whatif"), ("GET", "/admin/requests/{id}"),
    ("POST", "/admin/requests/{id}/feedback"), ("GET", "/admin/series"), ("GET", "/admin/comparisons"),
    ("GET", "/admin/comparisons/{request}"), ("GET", "/admin/labels"), ("POST", "/admin/labels/{request}"),
    ("GET", "/admin/changes"), ("POST", "/admin/changes/{id}/undo"), ("GET", "/admin/students"),
]  # fmt: skip
# The others take nothing, or any text.
CAN_BE_WRONG = [*OPERATIONS[:9], *OPERATIONS[23:]]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gateway, Any, requests.Session]]:
    environment = {"BREAKEVEN_ADMIN_KEY": "admin"}
    folder = tmp_path_factory.mktemp("schema")
    with running(folder, environment=environment, log_level="error") as gateway, requests.Session() as session:
        session.headers["authorization"] = "Bearer admin"
        url = f"http://127.0.0.1:{gateway.port}"
        document = session.get(f"{url}/openapi.json", timeout=10).json()
        schema = schemathesis.openapi.from_dict(document)
        schema.config.update(base_url=url)
        yield gateway, schema, session


def test_every_route_is_in_the_published_document(published: tuple[Gateway, Any, requests.Session]) -> None:
    gateway, _, _ = published
    document = gateway.get("/openapi.json").json
    found = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert {operation for operation in found if not operation[1].startswith("/console")} == set(OPERATIONS)


@pytest.mark.parametrize(
    ("method", "path", "mode"),
    [(*operation, GenerationMode.POSITIVE) for operation in OPERATIONS]
    + [(*operation, GenerationMode.NEGATIVE) for operation in CAN_BE_WRONG],
)
def test_requests_made_from_the_schema_get_documented_answers_and_no_500(
    published: tuple[Gateway, Any, requests.Session], method: str, path: str, mode: GenerationMode
) -> None:
    _, schema, session = published
    operation = schema[path][method]

    @settings(
        max_examples=EXAMPLES, deadline=None, database=None, phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=operation.as_strategy(generation_mode=mode))
    def check(case: Any) -> None:
        case.call_and_validate(session=session, checks=CHECKS, timeout=10)

    check()
