"""The teacher's providers: which of them a request may be sent to, in which order, and what is said if all fail."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from breakeven.gateway.config.teacher import Fallback
from breakeven.gateway.errors import OverBudget, Untranslatable, UpstreamFailure
from breakeven.gateway.policy.capabilities import takes
from breakeven.gateway.proxy.downstream import Reply
from breakeven.gateway.runtime.services import Services
from breakeven.gateway.upstreams.upstream import Upstream
from breakeven.router.policy import Hold, Route
from breakeven.router.text import Conversation

# With which upstreams refuse what they do not know.
REFUSED = frozenset({400, 404, 422})
TOO_MANY = 429
# What is wrong with this provider or the config, and says nothing about the request.
_OF_THE_PROVIDER = frozenset({401, 403, 404})


class Providers(NamedTuple):
    """The teacher's providers that a request may be sent to, in order; at least one.

    `maker` is the provider that made the last answer of the conversation, None if that is not known or was the student.
    `several` is whether a second one may be asked; `elsewhere` whether another may know what one refuses.
    """

    upstreams: Sequence[Upstream]
    maker: str | None
    several: bool = True
    elsewhere: bool = False

    @property
    def available(self) -> bool:
        """Whether any of them accepts a request now."""
        return any(upstream.available for upstream in self.upstreams)

    def foreign_to(self, upstream: Upstream) -> bool:
        """Whether what the conversation's model thought is known to be another provider's."""
        return upstream.route is Route.TEACHER and self.maker is not None and upstream.provider != self.maker


def providers_for(
    services: Services,
    seen: Conversation | None,
    hold: Hold | None,
    *,
    stored_at: str | None,
    max_output_tokens: int | None,
    elsewhere: bool,
    several: bool,
) -> Providers:
    """The providers for one request. `seen` is what the router read of it, `hold` what earlier turns say about it.

    `stored_at` is the provider that stores the response that the request continues, None if that is not known. State
    stays with the provider that has it. Where calls or thoughts of the last answer come back, its provider is asked
    first; what is declared of a provider and does not fit the request excludes it.
    """
    every = (services.upstreams[Route.TEACHER], *services.fallbacks)
    maker = hold.provider if hold is not None and hold.answered is Route.TEACHER else None
    holder = stored_at
    if holder is None and seen is not None and (seen.stored or seen.made):
        holder = maker
    found = [one for one in every if one.provider == holder]
    if found:
        return Providers(found, maker, several=False)
    fit = [one for one in every if _fits(one, seen, max_output_tokens)]
    if maker and seen is not None and (seen.thoughts or seen.answers_tool):
        fit.sort(key=lambda one: one.provider != maker)
    return Providers(fit, maker, several, elsewhere)


async def in_order(providers: Providers, call: Callable[[Upstream], Awaitable[Reply]]) -> Reply:
    """Call the available providers one after the other until one answers; the first of all if none is available.

    The next one is asked after a failure that another may not have. Raises UpstreamFailure: the one that says most;
    and Untranslatable where no provider speaks an API in which the request can be said.
    """
    waiting = [one for one in providers.upstreams if one.available] or providers.upstreams[:1]
    failures: list[UpstreamFailure] = []
    untranslatable: Untranslatable | None = None
    for upstream in waiting if providers.several else waiting[:1]:
        if failures and not upstream.available:
            continue
        try:
            return await call(upstream)
        except OverBudget:
            if not failures:
                raise
            break
        except Untranslatable as error:
            # The next one may speak the client's API.
            untranslatable = error
        except UpstreamFailure as failure:
            failures.append(failure)
            if not _another_may_answer(failure, providers, first=len(failures) == 1):
                break
    if untranslatable is not None and not failures:
        raise untranslatable
    raise says_most(failures) from None


def says_most(failures: Sequence[UpstreamFailure]) -> UpstreamFailure:
    """The failure that the client gets, of several providers one after the other.

    A 429 stays one, with its headers: a client that waits is served. A refusal of the request by the last one is about
    the request. Else the first one with a status, else the first one.
    """
    limited = next((one for one in failures if one.upstream_status == TOO_MANY), None)
    if limited is not None:
        return limited
    if not failures[-1].retryable and failures[-1].upstream_status not in _OF_THE_PROVIDER:
        return failures[-1]
    return next((one for one in failures if one.upstream_status is not None), failures[0])


def _another_may_answer(failure: UpstreamFailure, providers: Providers, *, first: bool) -> bool:
    if failure.retryable or (providers.elsewhere and failure.upstream_status in REFUSED):
        return True
    # A later provider's key or path may be wrong: that is no reason not to ask the one after it.
    return not first and failure.upstream_status in _OF_THE_PROVIDER


def _fits(upstream: Upstream, seen: Conversation | None, max_output_tokens: int | None) -> bool:
    section = upstream.config
    return seen is None or not isinstance(section, Fallback) or takes(section, seen, max_output_tokens)
