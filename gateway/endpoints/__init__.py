"""One adapter per OpenAI endpoint: how its requests, responses and stream events are read."""
