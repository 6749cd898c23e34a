"""Making a smaller student from a larger model by keeping only some of its layers."""

from __future__ import annotations

import copy
from typing import Any

from breakeven.models.errors import DistillError


def evenly_spaced(have: int, wanted: int) -> list[int]:
    """The indices of `wanted` evenly spaced layers of `have`, including the first and the last.

    Raises DistillError where `wanted` is not between 1 and `have`.
    """
    if not 1 <= wanted <= have:
        raise DistillError(f"--layers {wanted}: the model has {have} layers; give 1 to {have}")
    if wanted == 1:
        return [0]
    return [round(i * (have - 1) / (wanted - 1)) for i in range(wanted)]


def shrunk_config(config: Any, layers: int) -> Any:
    """A copy of a model's config with only `layers` layers. Raises DistillError where it has too few."""
    config = copy.deepcopy(config)
    text = config.get_text_config()
    kept = evenly_spaced(text.num_hidden_layers, layers)
    text.num_hidden_layers = layers
    if getattr(text, "layer_types", None):
        text.layer_types = [text.layer_types[i] for i in kept]
    return config


def shrink(model: Any, layers: int) -> Any:
    """A copy of a transformers decoder with only `layers` of its layers, evenly spaced.

    Raises DistillError where the model has too few layers or its list of layers is not found.
    """
    have = text_config(model).num_hidden_layers
    kept = evenly_spaced(have, layers)
    config = shrunk_config(model.config, layers)
    small = type(model)(config).to(model.dtype)
    prefix = _layers_prefix(model, have)
    numbers = {str(old): str(new) for new, old in enumerate(kept)}
    state = {}
    for name, value in model.state_dict().items():
        if not name.startswith(prefix):
            state[name] = value
            continue
        number, _, rest = name.removeprefix(prefix).partition(".")
        if number in numbers:
            state[f"{prefix}{numbers[number]}.{rest}"] = value
    small.load_state_dict(state)
    small.tie_weights()
    small.generation_config = copy.deepcopy(model.generation_config)
    return small


def text_config(model: Any) -> Any:
    """The config of a model's decoder; of a model for images too, such as Gemma 3, the nested `text_config`."""
    return model.config.get_text_config()


def _layers_prefix(model: Any, count: int) -> str:
    # The encoder of images may have as many layers.
    decoder = model.get_decoder() if hasattr(model, "get_decoder") else None
    inside = {id(module) for module in decoder.modules()} if decoder is not None else set()
    for name, module in model.named_modules():
        if type(module).__name__ == "ModuleList" and len(module) == count and (not inside or id(module) in inside):
            return f"{name}."
    raise DistillError(f"{type(model).__name__}: no list of {count} layers found; --layers cannot shrink this model")
