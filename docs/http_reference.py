"""The reference of the HTTP API, from the app's own OpenAPI document."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_INTRO = """# HTTP API

The gateway publishes this as an OpenAPI document at `GET /openapi.json`. Requests to `/v1` carry a client key as
`Authorization: Bearer <key>` where the config has `auth.keys`; requests to `/admin` carry the admin key. Fields that
are not listed go to the upstream unchanged. Any route may answer with an [error](errors.md).

The gateway refuses no request that vLLM takes: numbers and flags may be written as `16.0`, `"16"`, `1` or `"yes"`,
any field may be null, embeddings may have `messages`, completions `prompt_embeds`, and a byte order mark is skipped. A
number that cannot be read is relayed, and the upstream says what is wrong with it. The body of a request may be
compressed: `content-encoding` is `gzip`, `deflate`, `br` or `zstd`; `server.max_body_bytes` limits its decoded size.
"""


def page() -> str:
    """The page as Markdown."""
    found = document()
    lines = [_INTRO]
    for path, operations in found["paths"].items():
        for method, operation in operations.items():
            lines += _operation(method, path, operation)
    lines += _schemas(found)
    return "\n".join(lines) + "\n"


def document() -> dict[str, Any]:
    """The OpenAPI document of a gateway with a minimal config and the router that ships."""
    from breakeven.gateway.config.load import load_config
    from breakeven.gateway.server.app import create_app
    from breakeven.gateway.server.startup import open_services

    upstream = {"base_url": "http://127.0.0.1:1/v1", "model": "small"}
    teacher = {**upstream, "model": "big", "usd_per_million": {"input": 1, "output": 1}}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "breakeven.yaml"
        path.write_text(json.dumps({"student": upstream, "teacher": teacher}), encoding="utf-8")
        config = load_config(path)
        artifact, ledger = open_services(config)
        try:
            return create_app(config, artifact, ledger).openapi()
        finally:
            ledger.close()


def _operation(method: str, path: str, operation: dict[str, Any]) -> Iterator[str]:
    yield f"\n## {method.upper()} {path}\n"
    text = operation.get("description") or operation.get("summary") or ""
    yield f"{text.strip()}\n"
    parameters = operation.get("parameters", [])
    if parameters:
        yield "| parameter | in | type | required | what it is |"
        yield "| --- | --- | --- | --- | --- |"
        for parameter in parameters:
            schema = parameter.get("schema", {})
            required = "yes" if parameter.get("required") else "no"
            said = parameter.get("description") or schema.get("description", "")
            yield f"| `{parameter['name']}` | {parameter['in']} | {_type(schema)} | {required} | {_cell(said)} |"
        yield ""
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    if body is not None:
        yield from _body(body)
    for status, answer in operation.get("responses", {}).items():
        if status != "default":
            yield f"- **{status}**: {_answer(answer)}"


def _body(schema: dict[str, Any]) -> Iterator[str]:
    name = _name(schema)
    if name is not None:
        yield f"Body: {_link(name)}.\n"
        return
    yield "| field of the body | type | required | what it is |"
    yield "| --- | --- | --- | --- |"
    yield from _fields(schema)
    yield ""


def _fields(schema: dict[str, Any]) -> Iterator[str]:
    required = schema.get("required", [])
    for name, field in schema.get("properties", {}).items():
        needed = "yes" if name in required else "no"
        yield f"| `{name}` | {_type(field)} | {needed} | {_cell(field.get('description', ''))} |"


def _answer(answer: dict[str, Any]) -> str:
    kinds = []
    for kind, content in answer.get("content", {}).items():
        shape = _type(content.get("schema", {}))
        kinds.append(f"`{kind}`" + (f": {shape}" if shape not in ("any", "object") else ""))
    said = answer.get("description", "")
    return _cell(" ".join([said if said.endswith(".") else f"{said}.", ", ".join(kinds)]).strip())


def _schemas(found: dict[str, Any]) -> Iterator[str]:
    schemas = found.get("components", {}).get("schemas", {})
    yield "\n## Schemas"
    for name, schema in sorted(schemas.items()):
        yield f"\n### {name}\n"
        if schema.get("description"):
            yield f"{' '.join(schema['description'].split())}\n"
        if "enum" in schema:
            yield "One of " + ", ".join(f"`{value}`" for value in schema["enum"]) + "."
        elif "properties" in schema:
            yield "| field | type | required | what it is |"
            yield "| --- | --- | --- | --- |"
            yield from _fields(schema)
        else:
            yield f"{_type(schema)}."


def _name(schema: dict[str, Any]) -> str | None:
    reference = schema.get("$ref")
    return reference.rpartition("/")[2] if isinstance(reference, str) else None


def _link(name: str) -> str:
    return f"[{name}](#{name.lower()})"


def _type(schema: dict[str, Any]) -> str:
    """A JSON schema in words."""
    name = _name(schema)
    if name is not None:
        return _link(name)
    for union in ("anyOf", "oneOf", "allOf"):
        if union in schema:
            return " or ".join(dict.fromkeys(_type(part) for part in schema[union]))
    if "enum" in schema or "const" in schema:
        return " or ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    kind = schema.get("type", "any")
    if isinstance(kind, list):
        return " or ".join(kind)
    if kind == "array":
        return f"array of {_type(schema.get('items', {}))}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"object of {_type(schema['additionalProperties'])}"
    if kind == "object" and schema.get("properties"):
        return "object with " + ", ".join(f"`{name}`" for name in schema["properties"])
    return str(kind)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
