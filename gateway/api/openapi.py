"""The published OpenAPI document: what FastAPI knows of its routes, and the relayed OpenAI endpoints, which it does not
serve.

Of a relayed request's fields only those are named that the gateway reads; all others go upstream as they are.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from breakeven.gateway.accounting.record import Endpoint
from breakeven.gateway.api.errors import anthropic_error, error_content
from breakeven.gateway.api.security import OPTIONAL, client_key
from breakeven.gateway.endpoints.base import Adapter
from breakeven.gateway.endpoints.stored_responses import OPERATIONS, RETRIEVE
from breakeven.gateway.wire.headers import HEADERS

_LIMIT = {"type": ["integer", "null"]}
_MODEL = {
    "type": ["string", "null"],
    "description": "auto or none: routed; auto@0.35: with that threshold; student, teacher, a model's name: pinned.",
    "examples": ["auto", "auto@0.35", "student", "teacher"],
}
_STREAM = {
    "stream": {"type": ["boolean", "null"]},
    "stream_options": {"type": ["object", "null"], "properties": {"include_usage": {"type": ["boolean", "null"]}}},
}
_CONVERSATION = {
    "messages": {"type": "array", "minItems": 1, "items": {"type": "object"}},
    "system": {"type": ["string", "array", "null"]},
    "tools": {"type": ["array", "null"], "items": {"type": "object"}},
}
_FIELDS: dict[Endpoint, tuple[str, dict[str, Any], list[str]]] = {
    Endpoint.CHAT_COMPLETIONS: (
        "Answer a conversation.",
        {
            "messages": {"type": "array", "minItems": 1, "items": {"type": "object"}},
            "n": {"type": ["integer", "null"]},
            "max_tokens": _LIMIT,
            "max_completion_tokens": _LIMIT,
            **_STREAM,
        },
        ["messages"],
    ),
    Endpoint.COMPLETIONS: (
        "Continue a prompt.",
        {"prompt": {"type": ["string", "array"]}, "n": {"type": ["integer", "null"]}, "max_tokens": _LIMIT, **_STREAM},
        ["prompt"],
    ),
    Endpoint.RESPONSES: (
        "Answer as the Responses API. A `previous_response_id` goes to the upstream that stores that response.",
        {
            "input": {"type": ["string", "array", "null"], "items": {"type": "object"}},
            "instructions": {"type": ["string", "array", "null"]},
            "previous_response_id": {"type": ["string", "null"]},
            "max_output_tokens": _LIMIT,
            "stream": {"type": ["boolean", "null"]},
        },
        [],
    ),
    Endpoint.COMPACT_RESPONSE: (
        "Have the teacher compact a conversation of the Responses API into an item that only it can read.",
        {
            "input": {"type": ["string", "array", "null"], "items": {"type": "object"}},
            "instructions": {"type": ["string", "array", "null"]},
            "previous_response_id": {"type": ["string", "null"]},
        },
        [],
    ),
    Endpoint.INPUT_TOKENS: (
        "Count the tokens of a request of the Responses API at the upstream that would answer it; "
        "`x-breakeven-token-count` says how.",
        {
            "input": {"type": ["string", "array", "null"], "items": {"type": "object"}},
            "instructions": {"type": ["string", "array", "null"]},
            "previous_response_id": {"type": ["string", "null"]},
        },
        [],
    ),
    Endpoint.EMBEDDINGS: (
        "Embed texts: with the student, unless `model` names the teacher.",
        {"input": {"type": ["string", "array"]}},
        ["input"],
    ),
    Endpoint.MESSAGES: (
        "Answer as Anthropic's Messages API, also where the upstream speaks only chat completions.",
        {**_CONVERSATION, "max_tokens": _LIMIT, "stream": {"type": ["boolean", "null"]}},
        ["messages"],
    ),
    Endpoint.COUNT_TOKENS: (
        "Count the tokens of a prompt at the upstream that would answer it; `x-breakeven-token-count` says how.",
        _CONVERSATION,
        ["messages"],
    ),
}
_FAILED = "An error, the upstream's own as it came, or the gateway's in the same shape."
_TAG = "OpenAI endpoints"
_ANTHROPIC_TAG = "Anthropic endpoints"
_FURTHER_TAG = "further models"
_ANTHROPIC = frozenset({Endpoint.MESSAGES, Endpoint.COUNT_TOKENS})
TAGS = [
    {
        "name": _TAG,
        "description": "Answered by the student or the teacher; their answers are passed on as they come. "
        "Further models of the config answer here by name, too.",
    },
    {"name": _ANTHROPIC_TAG, "description": "The same for Anthropic's clients; translated where an upstream needs it."},
    {"name": _FURTHER_TAG, "description": "Paths that only further models of the config have; never routed."},
    {"name": "status", "description": "Model names, health, readiness and metrics."},
    {"name": "feedback", "description": "What users think of answers."},
    {"name": "admin", "description": "For operators, with the admin key: the policy, decisions and money."},
    {"name": "console", "description": "The operator's page in the browser."},
]


def document(app: FastAPI, adapters: tuple[type[Adapter], ...], further: Collection[str]) -> dict[str, Any]:
    """The OpenAPI 3.1 document of this app, whose relayed endpoints are those of `adapters`. `further`: the paths below
    /v1 that further models have.
    """
    found = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        license_info=app.license_info,
        routes=app.routes,
        tags=TAGS,
    )
    relayed = {f"/v1{adapter.path}": {"post": _operation(adapter)} for adapter in adapters}
    others = {f"/v1{path}": {"post": _further(path)} for path in sorted(further)}
    found["paths"] = others | relayed | _stored_responses() | found["paths"]
    return found


def _further(path: str) -> dict[str, Any]:
    """The operation of a path that only further models have, which judge all but the model's name."""
    model = {"type": "string", "description": "The name of the further model."}
    schema = {"type": "object", "properties": {"model": model}, "required": ["model"]}
    answers = _relayed_answer(error_content(_FAILED), streams=False)
    answers["responses"]["200"]["content"] = {"*/*": {}}
    return {
        "tags": [_FURTHER_TAG],
        "summary": path.strip("/").replace("/", " ").replace("_", " ").title(),
        "description": "Passed on to the further model as it comes, and its answer back.",
        "operationId": f"further{path.replace('/', '_')}",
        "requestBody": {
            "required": True,
            "content": {kind: {"schema": schema} for kind in ("application/json", "multipart/form-data")},
        },
        **answers,
    }


def relayed_body(*endpoints: Endpoint) -> dict[str, Any]:
    """The `requestBody` of an operation that takes what one of these endpoints takes."""
    schemas = [_body(endpoint) for endpoint in endpoints]
    # The first field tells the endpoints apart, also where it may be left out at the endpoint itself.
    several = [
        schema | {"required": [next(iter(_FIELDS[one][1]))]} for one, schema in zip(endpoints, schemas, strict=True)
    ]
    schema = schemas[0] if len(schemas) == 1 else {"anyOf": several}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def _body(endpoint: Endpoint) -> dict[str, Any]:
    _, fields, required = _FIELDS[endpoint]
    schema = {"type": "object", "properties": {"model": _MODEL, **fields}}
    return {**schema, "required": required} if required else schema


def _stored_responses() -> dict[str, dict[str, Any]]:
    """The paths below /v1/responses, whose query parameters go upstream as they are."""
    found: dict[str, dict[str, Any]] = {}
    for one in OPERATIONS:
        parameters = [_parameter("id", "string", "path", "The response's id.")]
        if one is RETRIEVE:
            parameters.append(_parameter("stream", "boolean", "query", "Whether to send the response's events."))
            parameters.append(_parameter("starting_after", "integer", "query", "With stream: the last event received."))
        found.setdefault(f"/v1/responses/{{id}}{one.below}", {})[one.method.lower()] = {
            "tags": [_TAG],
            "summary": one.name.replace("_", " ").title(),
            "description": f"{one.summary} From the upstream that stores it.",
            "operationId": one.name,
            "parameters": parameters,
            **_relayed_answer(error_content(_FAILED), streams=one is RETRIEVE),
        }
    return found


def _parameter(name: str, type: str, place: str, description: str) -> dict[str, Any]:
    required = place == "path"
    return {"name": name, "in": place, "required": required, "description": description, "schema": {"type": type}}


def _operation(adapter: type[Adapter]) -> dict[str, Any]:
    anthropic = adapter.endpoint in _ANTHROPIC
    return {
        "tags": [_ANTHROPIC_TAG if anthropic else _TAG],
        "summary": adapter.endpoint.value.replace("_", " ").title(),
        "description": _FIELDS[adapter.endpoint][0],
        "operationId": adapter.endpoint.value,
        **relayed_body(adapter.endpoint),
        **_relayed_answer(anthropic_error() if anthropic else error_content(_FAILED), streams=adapter.streams),
    }


def _relayed_answer(error: dict[str, Any], *, streams: bool) -> dict[str, Any]:
    """The `responses` and the `security` of an operation whose answer is an upstream's."""
    answers: dict[str, Any] = {"application/json": {"schema": {"type": "object"}}}
    if streams:
        answers["text/event-stream"] = {}
    headers = {name: {"description": meaning, "schema": {"type": "string"}} for name, meaning in HEADERS}
    return {
        "responses": {
            "200": {"description": "The upstream's answer, as it came.", "headers": headers, "content": answers},
            "default": error,
        },
        "security": [{client_key.scheme_name: []}, *OPTIONAL["security"]],
    }
