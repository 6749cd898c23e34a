"""What a client's `model` means: routed, routed with a threshold of its own, or pinned."""

from __future__ import annotations

from typing import NamedTuple

from breakeven.gateway.config.schema import Config
from breakeven.gateway.errors import RequestError
from breakeven.router.policy import Route


class Target(NamedTuple):
    """What a model name means. `pin`: the upstream that it names, None to let the router decide; `threshold`: the
    request's own, None for the one in force.
    """

    pin: Route | None
    threshold: float | None


def resolve(name: str | None, config: Config) -> Target:
    """Raise RequestError 404 for a name that means nothing here, 400 for a threshold outside [0, 1]."""
    if name is None or name == "auto":
        return Target(None, None)
    if name.startswith("auto@"):
        return Target(None, _threshold(name))
    if name in (Route.TEACHER, config.teacher.model):
        return Target(Route.TEACHER, None)
    if config.student is not None and name in (Route.STUDENT, config.student.model):
        return Target(Route.STUDENT, None)
    raise RequestError(
        404,
        "The model does not exist here; use auto, auto@0.35, or another name that GET /v1/models lists.",
        param="model",
        code="model_not_found",
    )


def names(config: Config) -> tuple[str, ...]:
    """All names that `resolve` knows, apart from `auto@` with a threshold; each once."""
    own = (upstream.model for upstream in config.upstreams.values())
    return tuple(dict.fromkeys(("auto", *map(str, config.upstreams), *own)))


def _threshold(name: str) -> float:
    try:
        threshold = float(name.removeprefix("auto@"))
    except ValueError:
        threshold = -1.0
    if not 0.0 <= threshold <= 1.0:
        raise RequestError(
            400,
            "The threshold after auto@ must be a number in [0, 1], such as auto@0.35.",
            param="model",
            code="invalid_threshold",
        )
    return threshold
