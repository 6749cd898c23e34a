"""All upstreams of a config: the first of each route, the teacher's other providers, and further models."""

from __future__ import annotations

from collections.abc import Iterable

from breakeven.gateway.accounting.record import CANDIDATE
from breakeven.gateway.config.schema import Config, FurtherModel
from breakeven.gateway.config.student import Candidate
from breakeven.gateway.config.teacher import Fallback, Teacher
from breakeven.gateway.config.upstream import Upstream as Section
from breakeven.gateway.upstreams.upstream import Upstream
from breakeven.router.policy import Route


def fallback(section: Fallback) -> Upstream:
    """The upstream of one of the teacher's other providers; it opens no connection before `start`."""
    return Upstream(Route.TEACHER, section, section.name)


def further(section: FurtherModel) -> Upstream:
    """The upstream of a further model; it opens no connection before `start`."""
    return Upstream(Route.MODEL, section, section.name)


def candidate(section: Candidate) -> Upstream:
    """The upstream of the candidate; it opens no connection before `start`."""
    return Upstream(Route.STUDENT, section, CANDIDATE)


def kept(before: Upstream | None, section: Section) -> Upstream | None:
    """The upstream from before a reload if its section is unchanged, but for the teacher's list of fallbacks."""
    return before if before is not None and _own(before.config) == _own(section) else None


def routed_upstreams(config: Config) -> list[Upstream]:
    """New upstreams for the sections of the student, the candidate and all providers of the teacher."""
    first = [Upstream(route, section) for route, section in config.upstreams.items()]
    beside = [] if config.candidate is None else [candidate(config.candidate)]
    return [*first, *beside, *map(fallback, config.teacher.fallbacks)]


def every_upstream(config: Config) -> list[Upstream]:
    """New upstreams for all sections of a config, in the order of `Config.sections`."""
    return [*routed_upstreams(config), *map(further, config.models)]


def section_of(upstream: Upstream) -> str:
    """The section of the config that an upstream is from, in words for an operator."""
    if upstream.route is Route.STUDENT and upstream.provider:
        return upstream.provider
    if upstream.route is Route.MODEL:
        return f"models[{upstream.provider}]"
    return f"{upstream.route}.fallbacks[{upstream.provider}]" if upstream.provider else upstream.route.value


def by_label(upstreams: Iterable[Upstream]) -> dict[str, Upstream]:
    """The upstreams by their labels."""
    return {one.label: one for one in upstreams}


def _own(section: Section) -> Section:
    return section.model_copy(update={"fallbacks": []}) if isinstance(section, Teacher) else section
