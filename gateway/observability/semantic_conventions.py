"""Names of the attributes of spans: OpenTelemetry's conventions for HTTP and generative AI, and our own.

Source: https://opentelemetry.io/docs/specs/semconv/gen-ai/ and /http/. Server addresses are left out: those of the
upstreams are secret.
"""

from __future__ import annotations

from breakeven.gateway.accounting.record import Endpoint

ERROR_TYPE = "error.type"
HTTP_METHOD = "http.request.method"
HTTP_ROUTE = "http.route"
HTTP_STATUS = "http.response.status_code"

OPERATION = "gen_ai.operation.name"
PROVIDER = "gen_ai.provider.name"
REQUEST_MODEL = "gen_ai.request.model"
RESPONSE_MODEL = "gen_ai.response.model"
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
CACHED_TOKENS = "gen_ai.usage.cache_read.input_tokens"
INPUT_MESSAGES = "gen_ai.input.messages"
OUTPUT_MESSAGES = "gen_ai.output.messages"

ATTEMPTS = "breakeven.attempts"
KEY = "breakeven.key"
NOVELTY = "breakeven.novelty"
OUTCOME = "breakeven.outcome"
REASON = "breakeven.reason"
REQUEST_ID = "breakeven.request_id"
ROUTE = "breakeven.route"
SCORE = "breakeven.score"
THRESHOLD = "breakeven.threshold"
UPSTREAM = "breakeven.upstream"
UPSTREAM_REQUEST_ID = "breakeven.upstream_request_id"
WORKLOAD = "breakeven.workload"

# Whose API was spoken, as the conventions have it for servers whose provider is not known.
OPENAI, ANTHROPIC = "openai", "anthropic"
# Requests about stored responses generate nothing.
OPERATIONS = {
    Endpoint.CHAT_COMPLETIONS: "chat",
    Endpoint.COMPLETIONS: "text_completion",
    Endpoint.RESPONSES: "chat",
    Endpoint.COMPACT_RESPONSE: "chat",
    Endpoint.MESSAGES: "chat",
    Endpoint.EMBEDDINGS: "embeddings",
}
