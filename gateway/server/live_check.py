"""`breakeven check --live`: asks each upstream whether it does what the config expects of it.

No line has a key or an answer. Each upstream gets one request for one token, and one more with a tool.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from breakeven.gateway.config.schema import Config
from breakeven.gateway.config.upstream import Upstream as Section
from breakeven.gateway.endpoints.base import answer_usage
from breakeven.gateway.errors import Cause, UpstreamFailure
from breakeven.gateway.server.live_check_advice import advice, failed, said, without_version
from breakeven.gateway.upstreams.chain import routed_upstreams, section_of
from breakeven.gateway.upstreams.deadline import Deadline
from breakeven.gateway.upstreams.failures import response_failure
from breakeven.gateway.upstreams.listing import Listing, list_models
from breakeven.gateway.upstreams.response import UpstreamResponse
from breakeven.gateway.upstreams.upstream import Upstream, translated_errors
from breakeven.gateway.wire.refusals import LIMITS, too_small
from breakeven.router.policy import Route

_SECONDS = 60.0
_ANSWER_BYTES = 1 << 22
_HEADERS = {"content-type": "application/json", "accept": "application/json"}
CHAT = "/chat/completions"
# Reasoning models refuse to answer with fewer tokens than they think with, some APIs with fewer than 16.
_TOKENS = (1, 16, 1024)
_TOOL = {
    "type": "function",
    "function": {
        "name": "get_time",
        "description": "The time in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


class Finding(NamedTuple):
    """One line: about which upstream, whether that is well, a failure, or only worth knowing, and the text."""

    upstream: str
    level: Literal["ok", "FAIL", "note"]
    text: str

    def __str__(self) -> str:
        return f"{self.level:<4}  {self.upstream}: {self.text}"


class Answer(NamedTuple):
    """What came of a request: the seconds that it took, and its body or why it failed."""

    seconds: float
    body: bytes
    failure: UpstreamFailure | None


def check_upstreams(config: Config) -> list[Finding]:
    """Ask the student and all providers of the teacher, and return what was found, the student's first."""

    async def run() -> list[Finding]:
        found = await asyncio.gather(*(_check(upstream) for upstream in routed_upstreams(config)))
        return [one for findings in found for one in findings]

    return asyncio.run(run())


async def _check(upstream: Upstream) -> list[Finding]:
    name, section = upstream.label, upstream.config
    await upstream.start()
    try:
        listing = await list_models(upstream, seconds_for(section))
        if listing.status is None:
            return [Finding(name, "FAIL", f"not reached at {section.base_url}; {listing.failure}")]
        fields, answer = await one_token(upstream)
        findings = [Finding(name, "ok", f"reached at {section.base_url}"), *_about_answer(upstream, listing, answer)]
        if answer.failure is None:
            findings += _about_limit(upstream, fields)
            findings += await _about_tools(upstream, fields)
        return findings + list(_about_window(upstream, listing))
    finally:
        await upstream.aclose()


def seconds_for(section: Section) -> float:
    """The longest time to wait for an answer."""
    return min(_SECONDS, section.timeouts.total_seconds)


async def one_token(upstream: Upstream) -> tuple[dict[str, Any], Answer]:
    """Ask for one token, or for as many as the model writes at least. Returns the fields that were accepted, with the
    limit of the output, and the answer.
    """
    wanted = upstream.config.max_tokens_field or LIMITS[0]
    most = iter(_TOKENS)
    fields: dict[str, Any] = {wanted: next(most)}
    while True:
        answer = await _ask(upstream, fields)
        failure = answer.failure
        if failure is None:
            return fields, answer
        status, words = failure.upstream_status, failure.message
        limit = upstream.refusals.limit_field(wanted)
        if upstream.config.max_tokens_field is None and upstream.refusals.learn(status, failure.param, words, fields):
            fields = {upstream.refusals.limit_field(wanted): fields[limit]}
        elif too_small(status, words) and (more := next(most, None)) is not None:
            # A reasoning model is not done with thinking, or the API has a minimum.
            fields = {limit: more}
        else:
            return fields, answer


async def _ask(upstream: Upstream, fields: dict[str, Any]) -> Answer:
    messages = [{"role": "user", "content": "Say yes."}]
    return await ask(upstream, CHAT, {"messages": messages, **fields})


async def ask(upstream: Upstream, path: str, fields: dict[str, Any]) -> Answer:
    """Ask the model at this path, with these fields of a JSON body."""
    body = json.dumps({"model": upstream.config.model, **fields}).encode()
    deadline = Deadline(seconds_for(upstream.config))
    response: UpstreamResponse | None = None
    started = time.perf_counter()
    failure: UpstreamFailure | None = None
    data = b""
    try:
        response = await upstream.post(path, body, _HEADERS, deadline, fresh=True)
        with translated_errors(upstream.route, deadline):
            if not 200 <= response.status < 300:
                raise await response_failure(upstream, response)
            data = await response.read(_ANSWER_BYTES)
    except UpstreamFailure as error:
        failure = error
    finally:
        deadline.close()
        if response is not None:
            response.close()
    return Answer(time.perf_counter() - started, data, failure)


def _about_answer(upstream: Upstream, listing: Listing, answer: Answer) -> Iterator[Finding]:
    """The key, the model's name, and the answer of one token."""
    name, section = upstream.label, upstream.config
    failure = answer.failure
    if failure is not None:
        yield Finding(name, "FAIL", failed(section, listing, failure, CHAT))
        return
    usage = answer_usage(answer.body)
    if usage is None and not _is_answer(answer.body):
        yield Finding(name, "FAIL", f"{Cause.INVALID_ANSWER}: {advice(Cause.INVALID_ANSWER)}{without_version(section)}")
        return
    if section.api_key_env is None:
        yield Finding(name, "ok", "it asks for no key")
    else:
        yield Finding(name, "ok", f"it accepts the key of {section.api_key_env}")
    listed = ""
    if listing.models is None:
        listed = "; it does not list its models"
    elif section.model not in listing.models:
        listed = "; it lists its models under other names"
    yield Finding(name, "ok", f"{section.model} answers, one token in {answer.seconds:.1f} s{listed}")
    if usage is None or not usage.complete:
        yield Finding(
            name, "note", "it reports no usage: tokens and cost will be estimated; turn usage on at the server"
        )


def _about_limit(upstream: Upstream, fields: dict[str, Any]) -> Iterator[Finding]:
    limit = next(iter(fields))
    if upstream.config.max_tokens_field is None and limit != LIMITS[0]:
        key = f"{section_of(upstream)}.max_tokens_field"
        yield Finding(upstream.label, "note", f"it refuses {LIMITS[0]}; set {key} to {limit}")


async def _about_tools(upstream: Upstream, fields: dict[str, Any]) -> list[Finding]:
    """Whether a request with a tool is accepted. The student's config says whether it should be; the teacher gets all
    requests with tools that the student is not meant for, and its fallbacks those that they are meant for.
    """
    name = upstream.label
    expected = getattr(upstream.config, "tools", None)
    if expected is False:
        return [Finding(name, "note", "tools: off in the config, so not asked")]
    answer = await _ask(upstream, {**fields, "tools": [_TOOL]})
    if answer.failure is None:
        return [Finding(name, "ok", "it accepts tools")]
    words = said(answer.failure, " It says: ")
    if expected is None:
        return [Finding(name, "note", f"it refuses tools; requests with tools will fail.{words}")]
    if upstream.provider:
        return [Finding(name, "FAIL", f"it refuses tools; set {section_of(upstream)}.tools to false.{words}")]
    mend = "set student.tools to false, or start vLLM with --enable-auto-tool-choice and --tool-call-parser"
    return [Finding(name, "FAIL", f"it refuses tools; {mend}.{words}")]


def _about_window(upstream: Upstream, listing: Listing) -> Iterator[Finding]:
    route, section = upstream.route, upstream.config
    if route is not Route.STUDENT:
        return
    set_to: int | None = getattr(section, "context_window", None)
    has = listing.window(section.model)
    if has is None and set_to is None:
        yield Finding(route, "note", "context window: not known; set student.context_window, else long prompts fail")
    elif has is not None and set_to is not None and set_to > has:
        yield Finding(route, "FAIL", f"context window: {has} tokens, and student.context_window is {set_to}; lower it")
    elif has is None:
        yield Finding(route, "note", f"context window: {set_to} tokens by the config; the server does not say")
    else:
        yield Finding(route, "ok", f"context window: {set_to or has} tokens")


def _is_answer(body: bytes) -> bool:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and "choices" in value
