"""What a client's `model` means: routed, routed with a threshold of its own, or pinned; and what a key may ask for."""

from __future__ import annotations

from typing import NamedTuple

from breakeven.gateway.config.access import ClientKey
from breakeven.gateway.config.schema import Config
from breakeven.gateway.errors import RequestError
from breakeven.router.policy import ROUTED, Route

_AUTO = "auto"


class Target(NamedTuple):
    """What a model name means. `pin`: the upstream that it names, None to let the router decide; `threshold`: the
    request's own, None for the one in force; `model`: the name of the further model that it is, else None.
    """

    pin: Route | None
    threshold: float | None
    model: str | None = None


def resolve(name: str | None, config: Config, key: ClientKey | None = None) -> Target:
    """What `name` means in a request with this client key, None without one.

    Raises RequestError 404 for a name that means nothing here, 400 for a threshold outside [0, 1], and 403 for what the
    key may not ask for.
    """
    # vLLM takes an empty name for its only model.
    asked = name or _AUTO
    meant = config.routing.aliases.get(asked, asked)
    found = _target(meant, config)
    # What an alias means is the operator's word; the rules are about what the client asks for itself.
    if key is not None and key.restricted:
        _check(key, asked, found, aliased=meant != asked)
    return found


def names(config: Config, key: ClientKey | None = None) -> tuple[str, ...]:
    """All names that `resolve` knows for this key, apart from `auto@` with a threshold; each once."""
    upstreams = config.upstreams
    own = (upstream.model for upstream in upstreams.values())
    further = (one.name for one in config.models)
    every = tuple(dict.fromkeys((_AUTO, *map(str, upstreams), *own, *further, *config.routing.aliases)))
    return every if key is None else tuple(name for name in every if _allowed(name, config, key))


def _allowed(name: str, config: Config, key: ClientKey) -> bool:
    try:
        resolve(name, config, key)
    except RequestError:
        return False
    return True


def _target(name: str, config: Config) -> Target:
    if name == _AUTO:
        return Target(None, None)
    if name.startswith("auto@"):
        return Target(None, _threshold(name))
    if name in (Route.TEACHER, config.teacher.model):
        return Target(Route.TEACHER, None)
    if config.student is not None and name in (Route.STUDENT, *config.student_names):
        return Target(Route.STUDENT, None)
    if any(name == one.name for one in config.models):
        return Target(Route.MODEL, None, name)
    raise RequestError(
        404,
        "The model does not exist here; use auto, auto@0.35, or another name that GET /v1/models lists.",
        param="model",
        code="model_not_found",
    )


def _check(key: ClientKey, name: str, target: Target, *, aliased: bool) -> None:
    if key.models is not None and name not in key.models:
        raise RequestError(
            403,
            "This key may not use that model name; use one that GET /v1/models lists for it.",
            type="permission_error",
            param="model",
            code="model_not_allowed",
        )
    # A further model is reached by its name only.
    if target.pin in ROUTED and not (key.may_pin or aliased):
        raise RequestError(
            403,
            "This key may not choose the upstream by its name; send auto.",
            type="permission_error",
            param="model",
            code="pin_not_allowed",
        )
    if target.threshold is not None and not (key.may_override or aliased):
        raise RequestError(
            403,
            "This key may not set a threshold of its own; send auto.",
            type="permission_error",
            param="model",
            code="threshold_not_allowed",
        )
    if target.pin is Route.TEACHER and not key.teacher:
        raise teacher_not_allowed()


def teacher_not_allowed() -> RequestError:
    """The 403 for a request that only the teacher could answer, of a key that may not reach it."""
    return RequestError(
        403,
        "This key may not use the teacher, and only the teacher could answer this request.",
        type="permission_error",
        code="teacher_not_allowed",
    )


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
