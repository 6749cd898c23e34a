"""Whether the candidate is asked beside the student, and what is said where its answer cannot be compared."""

from __future__ import annotations

import logging

from breakeven.gateway.accounting.record import ComparisonResult
from breakeven.gateway.errors import RequestError, UpstreamFailure
from breakeven.gateway.road.candidate import Experiment, Phase
from breakeven.gateway.runtime.services import Services
from breakeven.gateway.upstreams.upstream import Upstream

_log = logging.getLogger("breakeven.comparing")


def asked(services: Services) -> Upstream | None:
    """The candidate, if there is one that is still to be compared."""
    candidate, experiment = services.candidate, services.state.experiment
    if candidate is None or is_dropped(experiment, candidate):
        return None
    return candidate


def is_dropped(experiment: Experiment, candidate: Upstream) -> bool:
    """Whether this candidate, of this version, was dropped."""
    return experiment.phase is Phase.DROPPED and experiment.candidate == candidate.version


def said_of(error: Exception) -> ComparisonResult:
    """Log why the candidate's answer was not compared; what it counts as."""
    if isinstance(error, RequestError):
        cause = error.cause if isinstance(error, UpstreamFailure) else None
        _log.info("the candidate was not compared: %s", cause or error.code or type(error).__name__)
    else:
        # The operator's own scorer may raise anything.
        _log.error("the candidate was not compared, internal error: %s", type(error).__name__, exc_info=error)
    return ComparisonResult.FAILED
