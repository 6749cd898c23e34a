"""What the scripted model answers, without the format of an endpoint."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

_EXAMPLES = {"integer": 2, "number": 2.5, "boolean": True, "null": None}


@dataclass(frozen=True)
class Usage:
    """Token counts; `cached` is a part of `prompt`."""

    prompt: int = 20
    cached: int = 4
    output: int = 7


@dataclass(frozen=True)
class Call:
    """A call of a function; `arguments` is JSON."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True)
class Reply:
    """The answer to the request of this number: a text, or calls."""

    number: int
    text: str = ""
    calls: tuple[Call, ...] = ()
    usage: Usage = field(default_factory=Usage)


def pieces(text: str, count: int = 4) -> list[str]:
    """The text in about this many parts, cut anywhere."""
    size = max(1, -(-len(text) // count))
    return [text[i : i + size] for i in range(0, len(text), size)]


def filled(schema: Any, definitions: Any = None) -> Any:
    """A value that a JSON schema allows; a `city` is Paris."""
    definitions = definitions or schema.get("$defs", {})
    if "$ref" in schema:
        return filled(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if "enum" in schema:
        return schema["enum"][0]
    if "anyOf" in schema:
        return filled(schema["anyOf"][0], definitions)
    if "properties" in schema:
        return {
            name: "Paris" if name == "city" else filled(value, definitions)
            for name, value in schema["properties"].items()
        }
    if schema.get("type") == "array":
        return [filled(schema["items"], definitions)]
    return _EXAMPLES.get(schema.get("type", ""), "text")
