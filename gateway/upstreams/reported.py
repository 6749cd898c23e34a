"""What an upstream's /v1/models says about a model."""

from __future__ import annotations

from typing import Any, NamedTuple


class Reported(NamedTuple):
    """What an upstream says about its model: the context window in tokens, the kinds of input, who owns it, which a
    vLLM says is "vllm", the name or path that it was loaded from, and of an adapter the model that it is for. None:
    nothing.
    """

    context_window: int | None
    modalities: frozenset[str] | None
    owner: str | None = None
    root: str | None = None
    parent: str | None = None


def reported(model: dict[str, Any]) -> Reported:
    """The facts in one entry of /v1/models: vLLM has `max_model_len`, others have the kinds of input."""
    window = model.get("max_model_len")
    architecture = model.get("architecture")
    kinds = model.get("input_modalities")
    if kinds is None and isinstance(architecture, dict):
        kinds = architecture.get("input_modalities")
    named = frozenset(kind for kind in kinds if isinstance(kind, str)) if isinstance(kinds, list) else None
    owner, root, parent = model.get("owned_by"), model.get("root"), model.get("parent")
    return Reported(
        window if isinstance(window, int) and window > 0 else None,
        named or None,
        owner if isinstance(owner, str) else None,
        root if isinstance(root, str) else None,
        parent if isinstance(parent, str) else None,
    )
