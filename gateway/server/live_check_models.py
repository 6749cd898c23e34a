"""`breakeven check --live` for further models: one short request each, to a path for which a question is known."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from breakeven.gateway.config.schema import Config, FurtherModel
from breakeven.gateway.endpoints.further import Further
from breakeven.gateway.server.live_check import CHAT, Finding, ask, one_token, seconds_for
from breakeven.gateway.server.live_check_advice import failed, key_refused, served
from breakeven.gateway.upstreams.chain import further
from breakeven.gateway.upstreams.listing import Listing, list_models
from breakeven.gateway.upstreams.upstream import Upstream

# The cheapest request to a path, one that leaves nothing behind; others want a file, or make an image.
_QUESTIONS: dict[str, dict[str, Any]] = {
    "/embeddings": {"input": "yes"},
    "/rerank": {"query": "yes", "documents": ["yes", "no"]},
    "/score": {"text_1": "yes", "text_2": "no"},
    "/moderations": {"input": "yes"},
    "/completions": {"prompt": "yes", "max_tokens": 1},
    "/responses": {"input": "Say yes.", "max_output_tokens": 16, "store": False},
}
_UNAUTHORIZED = 401


def check_models(config: Config) -> list[Finding]:
    """Ask all further models of the config, and return what was found, in their order."""

    async def run() -> list[Finding]:
        found = await asyncio.gather(*(_check(further(section), section) for section in config.models))
        return [one for findings in found for one in findings]

    return asyncio.run(run())


async def _check(upstream: Upstream, section: FurtherModel) -> list[Finding]:
    await upstream.start()
    try:
        listing = await list_models(upstream, seconds_for(section))
        if listing.status is None:
            return [Finding(upstream.title, "FAIL", f"not reached at {section.base_url}; {listing.failure}")]
        reached = Finding(upstream.title, "ok", f"reached at {section.base_url}")
        path = next((one for one in section.paths if one == CHAT or one in _QUESTIONS), None)
        if path is None:
            return [reached, *_not_asked(upstream, section, listing)]
        return [reached, *await _asked(upstream, section, listing, path)]
    finally:
        await upstream.aclose()


def _not_asked(upstream: Upstream, section: FurtherModel, listing: Listing) -> Iterator[Finding]:
    """What the list of the upstream's models says: about the key and the model's name."""
    title, listed = upstream.title, listing.models
    if listing.status == _UNAUTHORIZED:
        yield Finding(title, "FAIL", key_refused(section, listing.status))
    elif listed is None:
        yield Finding(
            title, "note", f"it does not list its models (status {listing.status}): key and model not checked"
        )
    elif section.model not in listed:
        yield Finding(
            title, "FAIL", f"it does not serve {section.model}; correct model: {served(section.model, listed)}"
        )
    else:
        yield Finding(title, "ok", f"it lists {section.model}")
    yield Finding(title, "note", f"not asked: a request to {', '.join(section.paths)} needs a file, or is expensive")


async def _asked(upstream: Upstream, section: FurtherModel, listing: Listing, path: str) -> list[Finding]:
    title = upstream.title
    if path == CHAT:
        _, answer = await one_token(upstream)
    else:
        answer = await ask(upstream, path, _QUESTIONS[path])
    if answer.failure is not None:
        return [Finding(title, "FAIL", failed(section, listing, answer.failure, path))]
    found = [Finding(title, "ok", f"{section.model} answers at {path} in {answer.seconds:.1f} s")]
    usage = Further(path).usage(answer.body)
    if section.usd_per_million is not None and (usage is None or not usage.complete):
        found.append(Finding(title, "note", "it reports no usage: tokens and cost will be estimated"))
    return found
