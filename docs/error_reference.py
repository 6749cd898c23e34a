"""The reference of HTTP errors, read from the sources: every RequestError and UpstreamFailure with a code."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import NamedTuple

from docs.rooms import ROOT

_CLASSES = {
    "RequestError": "invalid_request_error",
    "OverBudget": "insufficient_quota",
    "Untranslatable": "invalid_request_error",
    "UpstreamFailure": "upstream_error",
}
_INTRO = """# Errors

Every error of the gateway has OpenAI's shape, with these four fields:

```json
{"error": {"message": "…", "type": "…", "param": null, "code": "…"}}
```

`code` is a string or null. Program against `code` and the HTTP status; messages may change. OpenAI's SDKs retry 408,
409, 429 and 5xx by themselves and respect `Retry-After`.

An error that an upstream sent keeps its status, message, type, param and code, except that the upstream's key and
address are removed, and that 401 and 403 become 502 `upstream_auth`: the client's own key was fine. With
`routing.fallback` a failed attempt is repeated at the other upstream first, as long as nothing was sent to the client.

After the first byte of a stream the HTTP status cannot change any more. The gateway then sends one
`data: {"error": …}` event and `data: [DONE]`, without a `finish_reason`. The Responses API gets `event: error` instead.

`/v1/messages` and `/v1/messages/count_tokens` answer every error in Anthropic's shape,
`{"type": "error", "error": {"type": "…", "message": "…"}}`, with the same status and message; the type follows from the
status, such as `rate_limit_error` for 429 and `overloaded_error` for 529. A stream that has begun ends with
`event: error`.

## Codes

In a message, braces stand for a value.

| status | code, type | message | what to do |
| --- | --- | --- | --- |"""
# What a caller or an operator can do. Codes without a line here have a message that says it.
ADVICE: dict[str, str] = {
    "change_refused": "Send the admin key as a bearer token: its cookie is good for the console's own page only.",
    "comparison_not_found": "`GET /admin/comparisons` lists those that there are.",
    "context_length_exceeded": "Shorten the conversation, or allow fallback to an upstream with a larger window.",
    "draining": "Retry: the gateway is restarting, and the load balancer sends you to another one.",
    "duplicate_key": "Fix the client's JSON encoder.",
    "empty_stream": "Retry. The operator looks at the upstream's log.",
    "gateway_error": "A bug in Breakeven. The gateway's log has the exception's type and traceback.",
    "host_not_allowed": "Use 127.0.0.1 or localhost; the operator lists other names in `server.allowed_hosts`.",
    "invalid_form": "Send the form as `multipart/form-data`, as an HTTP library writes it.",
    "insufficient_quota": "Where the budget is spent, `Retry-After` ends with the month (UTC); the operator sets "
    "`monthly_budget_usd`. Where running requests hold the rest: send a limit of output tokens, or fewer at once.",
    "invalid_api_key": "The operator lists the SHA-256 of valid keys under `auth.keys`.",
    "ledger_unavailable": "Retry. The operator looks at `breakeven_ledger_write_failures_total`.",
    "nothing_to_change": "`breakeven road` says whether there is a proposal, and what was in force before; "
    "`breakeven candidate status` where the candidate stands.",
    "routed_by_operator": "Remove `routing.artifact` and `routing.threshold`, and DELETE /admin/policy.",
    "max_tokens_not_allowed": "Send a smaller limit, or none: the key's then holds. The operator sets "
    "`auth.keys[].max_output_tokens`.",
    "conversation_not_found": "Send the conversation with the key that began it.",
    "item_not_found": "Send the item itself in place of the reference, or use the key that made it.",
    "model_not_allowed": "The operator lists the key's names under `auth.keys[].models`.",
    "path_not_supported": "Use a path of the message. The operator lists the model's paths under `models[].paths`.",
    "pin_not_allowed": "Send `auto`, or the operator sets `may_pin` of the key.",
    "teacher_not_allowed": "The operator sets `teacher` of the key. Images, tools or long prompts may need it.",
    "threshold_not_allowed": "Send `auto`, or the operator sets `may_override` of the key.",
    "model_not_found": "Use one of the names that the message lists.",
    "not_translatable": "Ask for `auto` with fallback, or the operator sets `messages: native` where that is spoken.",
    "not_the_next_pair": "`GET /admin/labels` says which pair is to be judged next.",
    "nothing_to_undo": "`GET /admin/changes` says in `undo` which changes can be undone.",
    "not_found": "See the [HTTP API](http-api.md) for the paths.",
    "origin_not_allowed": "The operator lists the page's origin in `server.cors_origins`, or configures keys.",
    "rate_limit_exceeded": "Wait for `Retry-After`. The operator sets the key's limits and `max_concurrency`.",
    "previous_response_not_found": "Send the conversation itself. Only the key that made a response can continue it.",
    "response_not_found": "Only the key that made a response gets it, for as long as its upstream keeps it.",
    "request_not_found": "Feedback needs the `x-request-id` of an answer that was made with the same key; operators "
    "find ids with `GET /admin/decisions`.",
    "no_files_left": "Try again. The operator raises the limit of open files, or lowers `server.max_connections`.",
    "too_many_connections": "Use fewer connections at once. The operator raises `server.max_connections_per_peer`.",
    "bodies_full": "Try again. The operator raises `server.max_bodies_bytes`, or runs more workers.",
    "too_many_values": "Send less in one request, or the operator raises `server.max_body_values`.",
    "request_too_large": "Send less, or the operator raises `server.max_body_bytes`.",
    "stored_not_counted": "Send the whole input, without `previous_response_id` and other references.",
    "stream_truncated": "Retry. What arrived is incomplete.",
    "timeout": "Retry, or the operator raises the upstream's `timeouts`.",
    "upstream_auth": "The operator checks the environment variable that `api_key_env` names, and `auth_header`.",
    "upstream_disconnected": "Retry. The operator looks at the upstream's log.",
    "unsupported_encoding": "The response's `accept-encoding` lists what is supported.",
    "upstream_invalid_answer": "The operator checks `base_url`, and whether a proxy's page to log in is before it.",
    "answer_too_long": "Ask for less; or the operator raises `max_answer_bytes` or `max_event_bytes` of the upstream.",
    "upstream_encoding": "The operator turns compression off at the upstream, or at a proxy before it.",
    "upstream_unavailable": "Retry after `Retry-After`: the circuit breaker is open.",
    "upstream_unreachable": "The operator checks `base_url`, the network, and the log for a proxy that refuses.",
}


class Raised(NamedTuple):
    """One place in the sources that makes an error."""

    code: str
    status: str
    type: str
    message: str


def page() -> str:
    """The page as Markdown: a row for each code, status and type, with every message that it comes with."""
    rows: dict[tuple[str, str, str], list[str]] = {}
    for error in raised():
        rows.setdefault(error[:3], []).append(_cell(error.message))
    lines = [
        f"| {status} | `{code}`<br>`{type}` | {'<br>'.join(messages)} | {ADVICE.get(code, '')} |"
        for (code, status, type), messages in rows.items()
    ]
    return "\n".join([_INTRO, *lines]) + "\n"


def raised() -> list[Raised]:
    """Every error with a literal code in gateway/, by code; the same error from two places once."""
    found = {
        error for path in (ROOT / "gateway").rglob("*.py") for error in _in_source(path.read_text(encoding="utf-8"))
    }
    return sorted(found)


def _in_source(source: str) -> Iterator[Raised]:
    for node in ast.walk(ast.parse(source)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
            continue
        named = {keyword.arg: keyword.value for keyword in node.keywords}
        for code in _texts(named.get("code")):
            if node.func.id == "read_model":
                yield Raised(code, "400", _CLASSES["RequestError"], "{field}: {what is wrong with it}")
            elif node.func.id in _CLASSES and len(node.args) > 1:
                status, message = node.args[:2]
                yield Raised(
                    code,
                    str(status.value) if isinstance(status, ast.Constant) else "as the upstream's",
                    next(_texts(named.get("type")), _CLASSES[node.func.id]),
                    next(_texts(message), "says what is wrong"),
                )


def _texts(node: ast.expr | None) -> Iterator[str]:
    """The literal values that an expression can have, an f-string with its expressions in braces."""
    if isinstance(node, ast.Constant) and node.value is not None:
        yield str(node.value)
    elif isinstance(node, ast.JoinedStr):
        yield "".join(
            str(part.value) if isinstance(part, ast.Constant) else f"{{{_name(part)}}}" for part in node.values
        )
    elif isinstance(node, ast.IfExp):
        yield from _texts(node.body)
        yield from _texts(node.orelse)


def _name(part: ast.expr) -> str:
    """What a replaced field of an f-string stands for: the first name in it, the last part of a dotted one."""
    found = next((node for node in ast.walk(part) if isinstance(node, ast.Name | ast.Attribute)), None)
    if found is None:
        return "…"
    return found.attr if isinstance(found, ast.Attribute) else found.id


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")
