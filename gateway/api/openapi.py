"""The published OpenAPI document: FastAPI's own routes and the raw ones of the OpenAI endpoints.

Of a request's fields only those are named that the gateway reads; all others go upstream as they are.
"""

from __future__ import annotations

import copy
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from breakeven.gateway.accounting.record import Endpoint
from breakeven.gateway.endpoints.base import Adapter

_TEXT = {"type": "string"}
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
        "Go on from a prompt.",
        {"prompt": {"type": ["string", "array"]}, "n": {"type": ["integer", "null"]}, "max_tokens": _LIMIT, **_STREAM},
        ["prompt"],
    ),
    Endpoint.RESPONSES: (
        "Answer with typed events; previous_response_id goes to the upstream that keeps that response.",
        {
            "input": {"type": ["string", "array", "null"], "items": {"type": "object"}},
            "instructions": {"type": ["string", "array", "null"]},
            "previous_response_id": {"type": ["string", "null"]},
            "max_output_tokens": _LIMIT,
            "stream": {"type": ["boolean", "null"]},
        },
        [],
    ),
    Endpoint.EMBEDDINGS: (
        "Embed texts, by the student unless named.",
        {"input": {"type": ["string", "array"]}},
        ["input"],
    ),
}
_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": _TEXT,
                "type": _TEXT,
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}
_JSON_OBJECT = {"application/json": {"schema": {"type": "object"}}}
_FAILED = {
    "description": "An error in OpenAI's shape.",
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
}


def document(app: FastAPI, adapters: tuple[type[Adapter], ...]) -> dict[str, Any]:
    """The OpenAPI 3.1 document of this app."""
    found = get_openapi(title=app.title, version="1", routes=app.routes)
    found["paths"] = {f"/v1{adapter.path}": {"post": _operation(adapter)} for adapter in adapters} | found["paths"]
    schemas = found.setdefault("components", {}).setdefault("schemas", {})
    schemas["Error"] = _ERROR
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    for path in found["paths"].values():
        for operation in path.values():
            operation["responses"].pop("422", None)
            operation["responses"]["default"] = copy.deepcopy(_FAILED)
    found["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    found["security"] = [{"key": []}, {}]
    return found


def _operation(adapter: type[Adapter]) -> dict[str, Any]:
    summary, fields, required = _FIELDS[adapter.endpoint]
    schema: dict[str, Any] = {"type": "object", "properties": {"model": _MODEL, **fields}}
    if required:
        schema["required"] = required
    answers: dict[str, Any] = dict(_JSON_OBJECT)
    if adapter.streams:
        answers["text/event-stream"] = {}
    return {
        "summary": summary,
        "operationId": adapter.endpoint.value,
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
        "responses": {"200": {"description": "The upstream's answer, as it came.", "content": answers}},
    }
