"""A gateway with further models before one scripted upstream of theirs."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.contract.gateway import NEVER_OPEN, TIMEOUTS, TRANSPORT, Gateway, merged, running
from tests.contract.scripted import ScriptedUpstream

MODEL_KEY = "sk-model-canary-77aa"
ADMIN = {"authorization": "Bearer the-admin-key"}
JSON = {"content-type": "application/json"}


def model(upstream: ScriptedUpstream, name: str, **fields: Any) -> dict[str, Any]:
    """The section of a further model at this upstream."""
    common = {"api_key_env": "T_MODEL_KEY", "timeouts": TIMEOUTS, "breaker": NEVER_OPEN, **TRANSPORT}
    return {"name": name, "base_url": upstream.url, **common, **fields}


def key(name: str, **rules: Any) -> dict[str, Any]:
    return {"name": name, "sha256": hashlib.sha256(f"secret-{name}".encode()).hexdigest(), **rules}


def models_of(upstream: ScriptedUpstream) -> list[dict[str, Any]]:
    """One of each kind."""
    return [
        model(upstream, "embed", model="embed-v3", usd_per_million={"input": 0.02}),
        model(upstream, "ranks", paths=["/rerank", "/score"], usd_per_request=0.002),
        model(
            upstream,
            "hears",
            model="whisper-1",
            paths=["/audio/transcriptions", "/audio/translations"],
            usd_per_million={"input": 6, "output": 10},
            usd_per_request=0.003,
        ),
        model(upstream, "draws", paths=["/images/generations", "/images/edits"], usd_per_request=0.04),
        model(upstream, "speaks", paths=["/audio/speech"]),
        model(
            upstream,
            "chats",
            model="chat-xl",
            paths=["/chat/completions", "/completions", "/responses", "/embeddings"],
            usd_per_million={"input": 3, "output": 15},
        ),
        model(upstream, "org/other-7b", paths=["/classify"]),
    ]


@contextlib.contextmanager
def with_models(
    folder: Path, changes: dict[str, Any] | None = None, models: list[dict[str, Any]] | None = None, **options: Any
) -> Iterator[tuple[Gateway, ScriptedUpstream]]:
    """The gateway, and the upstream of its further models."""
    environment = {"T_MODEL_KEY": MODEL_KEY, "BREAKEVEN_ADMIN_KEY": "the-admin-key"}
    with ScriptedUpstream("embed-v3") as upstream:
        config = merged({"models": models_of(upstream) if models is None else models}, changes or {})
        with running(folder, config, environment=environment, **options) as gateway:
            yield gateway, upstream


def form(*parts: tuple[str, bytes], boundary: str = "----WebKitFormBoundaryx7") -> tuple[bytes, dict[str, str]]:
    """A multipart form and its headers; a part named `file` is a file."""
    body = b""
    for name, value in parts:
        filename = '; filename="speech.wav"\r\nContent-Type: audio/wav' if name == "file" else ""
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{filename}\r\n\r\n'
        body += head.encode() + value + b"\r\n"
    return body + f"--{boundary}--\r\n".encode(), {"content-type": f"multipart/form-data; boundary={boundary}"}
