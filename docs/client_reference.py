"""The reference of client programs: which were run against a live gateway, in which versions, with what settings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path(__file__).parents[1]
SNIPPETS = Path(__file__).parent / "snippets"
_INSTALL = "tests/install_real.sh"

# What the tests check of a client, and what they assert there.
CHECKS = {
    "answer": "the whole answer, as the model gave it",
    "stream": "the pieces of a stream, as the model sent them",
    "tools": "a tool loop on either route: the client executes the calls of an answer (libraries: two in one answer), "
    "the model gets the results from it, and the conversation stays on its upstream",
    "schema": "an answer by a JSON schema",
    "routed": "with the model `auto`, an easy prompt went to the student and a difficult one to the teacher",
    "errors": "a refusal of the model (400), an unknown model (404) and a stream that breaks off are errors of the "
    "client's own kinds",
    "tokens": "the ledger has as many tokens as the models reported, complete for each request",
}
ALL = tuple(CHECKS)
CHAT, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/responses", "/v1/messages"


@dataclass(frozen=True)
class Client:
    """One client program. `pins` are the names of versions in tests/install_real.sh, by package; `test` is its test,
    and `snippet` a file in docs/snippets, which the test runs. `refused`, `cut`: the exceptions for a 400 and for a
    stream that breaks off.
    """

    name: str
    pins: dict[str, str]
    endpoints: tuple[str, ...]
    checks: tuple[str, ...]
    setting: str
    test: str
    snippet: str
    refused: str = ""
    cut: str = ""


_DRIVEN = "tests/integration/test_clients.py"
_BOTH = (CHAT, RESPONSES)
# What there is to check of a program that knows HTTP and nothing of models.
_PLAIN = ("answer", "stream", "routed", "tokens")

CLIENTS = (
    Client(
        "OpenAI SDK for Python", {"openai": "OPENAI_PYTHON"}, _BOTH, ALL, "`base_url`", _DRIVEN, "openai_python.py",
        "BadRequestError", "APIError",
    ),
    Client(
        "OpenAI SDK for Node", {"openai": "OPENAI_NODE_CLIENT"}, _BOTH, ALL, "`baseURL`", _DRIVEN, "openai_node.mjs",
        "BadRequestError", "APIError",
    ),
    Client(
        "LangChain", {"langchain": "LANGCHAIN", "langchain-openai": "LANGCHAIN_OPENAI"}, _BOTH, ALL,
        "`base_url`; `use_responses_api=True` for responses", _DRIVEN, "langchain.py", "BadRequestError", "APIError",
    ),
    Client(
        "LlamaIndex",
        {"llama-index-llms-openai": "LLAMA_INDEX_OPENAI", "llama-index-llms-openai-like": "LLAMA_INDEX_OPENAI_LIKE"},
        _BOTH, ALL,
        "the class `OpenAILike`, or `OpenAILikeResponses`, with `api_base`, `is_function_calling_model` and "
        "`context_window`: `OpenAI` takes only names of OpenAI's models",
        _DRIVEN, "llama_index.py", "BadRequestError", "APIError",
    ),
    Client(
        "Pydantic AI", {"pydantic-ai-slim": "PYDANTIC_AI"}, _BOTH, ALL, "`OpenAIProvider(base_url=…)`", _DRIVEN,
        "pydantic_ai.py", "ModelHTTPError", "ModelAPIError",
    ),
    Client(
        "OpenAI Agents SDK", {"openai-agents": "OPENAI_AGENTS"}, _BOTH, ALL,
        "a client with `base_url`, and the class of the model; `set_tracing_disabled(True)`, since traces go to OpenAI",
        _DRIVEN, "openai_agents.py", "BadRequestError", "APIError",
    ),
    Client(
        "Vercel AI SDK",
        {"ai": "VERCEL_AI", "@ai-sdk/openai-compatible": "VERCEL_AI_COMPATIBLE", "@ai-sdk/openai": "VERCEL_AI_OPENAI"},
        _BOTH, ALL,
        "`baseURL`; with `createOpenAICompatible` also `includeUsage` and `supportsStructuredOutputs`",
        _DRIVEN, "vercel_ai.mjs", "APICallError", "StreamProviderError",
    ),
    Client(
        "Codex CLI", {"@openai/codex": "CODEX"}, (RESPONSES,), ALL,
        "`base_url` and `wire_api` of a provider in `~/.codex/config.toml`; no web search and no subagents: only the "
        "teacher has their tools",
        "tests/integration/test_codex.py", "codex.toml", "`turn.failed`", "`turn.failed`",
    ),
    Client(
        "Anthropic SDK for Python", {"anthropic": "ANTHROPIC_PYTHON"}, (MESSAGES,), ALL,
        "`base_url`, without `/v1`", _DRIVEN, "anthropic_python.py", "BadRequestError", "APIStatusError",
    ),
    Client(
        "Claude Code", {"@anthropic-ai/claude-code": "CLAUDE_CODE"}, (MESSAGES,),
        ("answer", "stream", "tools", "routed", "errors", "tokens"),
        "`ANTHROPIC_BASE_URL`, without `/v1`; models, or [aliases](config.md) for Anthropic's names of models",
        "tests/integration/test_claude_code.py", "claude_code.sh", "`is_error`", "`is_error`",
    ),
    Client(
        "vllm bench serve", {"vllm": "VLLM"}, (CHAT,), ("stream", "routed", "tokens"),
        "`--base-url` without `/v1`; `--tokenizer`, since it finds none for `auto`; `--skip-chat-template`: else the "
        "router sees the template's marks in every prompt",
        "tests/integration/test_load_clients.py", "vllm_bench.sh",
    ),
    Client(
        "GuideLLM", {"guidellm": "GUIDELLM"}, (CHAT, RESPONSES), ("stream", "routed", "tokens"),
        "`target`, `model` and the tokenizer", "tests/integration/test_load_clients.py", "guidellm.sh",
    ),
    Client(
        "HttpClient of Java", {"openjdk": "JAVA"}, (CHAT,), _PLAIN,
        "nothing: it offers HTTP/2 with each request, and is answered in HTTP/1.1",
        "tests/integration/test_http2_clients.py", "java_http_client.java",
    ),
    Client(
        "curl --http2", {"curl": "CURL"}, (CHAT,), _PLAIN, "nothing, as before",
        "tests/integration/test_http2_clients.py", "curl_http2.sh",
    ),
)  # fmt: skip

_INTRO = """# Client programs

These programs were run against a live gateway by the tests named below, each in a process of its own and in the version
that stands here; CI runs them all. The gateway's address is the only thing that they need to be told, besides a model:
`auto` is routed, `student` and `teacher` are not, and [aliases](config.md) give other names a meaning.

The tests check what an answer, a stream, a tool loop and an answer by a schema are to the client, and what the gateway
wrote into its [ledger](ledger-schema.md). The models behind it are a real vLLM for the load generators, and scripted
for all others.
"""
_ERRORS = """
## Errors

What the client raises where the model refuses a request, and where a stream breaks off in the middle: none of these
takes half an answer for a whole one.
"""


def page() -> str:
    """The page as Markdown."""
    return "\n".join([_INTRO, *_table(), *_checks(), _ERRORS, *_errors(), *_snippets()]) + "\n"


def versions() -> dict[str, str]:
    """The pinned versions of tests/install_real.sh by name."""
    text = (_ROOT / _INSTALL).read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.startswith("readonly ")]
    return {name: version for line in lines for name, version in re.findall(r"\b([A-Z_]+)=([\d.]+)", line)}


def _table() -> Iterator[str]:
    pinned = versions()
    yield f"| client | version | endpoints | {' | '.join(CHECKS)} | what to set |"
    yield "| --- | --- | --- | " + " | ".join(":-:" for _ in CHECKS) + " | --- |"
    for client in CLIENTS:
        packages = "<br>".join(f"`{package}` {pinned[name]}" for package, name in client.pins.items())
        endpoints = "<br>".join(f"`{path}`" for path in client.endpoints)
        marks = " | ".join("yes" if check in client.checks else "–" for check in CHECKS)
        yield f"| [{client.name}](#{_anchor(client)}) | {packages} | {endpoints} | {marks} | {client.setting} |"


def _anchor(client: Client) -> str:
    kept = re.sub(r"[^\w\s-]", "", client.name.lower())
    return re.sub(r"[\s-]+", "-", kept)


def _checks() -> Iterator[str]:
    yield "\nA dash: the program does not have it, or it was not tried.\n"
    yield "| check | what the test asserts |"
    yield "| --- | --- |"
    for check, meaning in CHECKS.items():
        yield f"| {check} | {meaning} |"


def _errors() -> Iterator[str]:
    yield "| client | the model refuses | a stream breaks off |"
    yield "| --- | --- | --- |"
    for client in CLIENTS:
        if client.refused:
            yield f"| {client.name} | {_code(client.refused)} | {_code(client.cut)} |"


def _code(text: str) -> str:
    return f"`{text.strip('`')}`"


def _snippets() -> Iterator[str]:
    for client in CLIENTS:
        yield f"\n## {client.name}\n"
        language = {"py": "python", "mjs": "javascript", "toml": "toml", "sh": "sh", "java": "java"}[
            client.snippet.rpartition(".")[2]
        ]
        where = "In `~/.codex/config.toml`. " if language == "toml" else ""
        yield f"{where}Test: `{client.test}`, which runs this with the address of its gateway.\n"
        yield f"```{language}\n{(SNIPPETS / client.snippet).read_text(encoding='utf-8').rstrip()}\n```"
