#!/bin/sh
# Ask through the gateway with curl: one answer with the headers that say what was decided, and one as a stream.
set -eu
url=${OPENAI_BASE_URL:-http://127.0.0.1:8080/v1}
question=${1:-Where is my order 76175?}
escaped=$(printf %s "$question" | sed 's/\\/\\\\/g; s/"/\\"/g')

ask() {
  curl --silent --show-error --fail-with-body "$@" "$url/chat/completions" \
    -H "authorization: Bearer ${OPENAI_API_KEY:-not-needed}" -H 'content-type: application/json'
}

ask --include -d "{\"model\": \"auto\", \"messages\": [{\"role\": \"user\", \"content\": \"$escaped\"}]}"
printf '\n\n'
ask --no-buffer -d "{\"model\": \"auto\", \"stream\": true, \"messages\": [{\"role\": \"user\", \"content\": \"$escaped\"}]}"
