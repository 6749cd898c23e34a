"""The data plane: one OpenAI-compatible request, from bytes in to bytes out and settled."""
