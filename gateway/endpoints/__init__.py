"""A small adapter for each OpenAI endpoint: where is the text, where is the usage."""
