"""One adapter per endpoint of OpenAI's and Anthropic's APIs: how its requests, answers and events are read."""
